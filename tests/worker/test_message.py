"""Messages that are none: whatever comes, the worker says so, gives the request up and goes on."""
import os
import random
import struct
import unittest

from server import ABORT, HEAD, Server, encode, environ
from test_request import spooled

NATIVE = os.environ["MAITRED_LOOP"] == "native"
GOOD = encode((b"body", environ("POST", "/input", QUERY_STRING="f.read()")))
START = b"(\x02\0\0\0"
METHOD = b"z\x0eREQUEST_METHODz\x03GET"
PATH = b"z\x09PATH_INFOz\x01/"


def dictionary(*items):
    return START + b"N{" + b"".join(items) + b"0"


# Refused by either loop.
BAD = {
    "nothing": b"",
    "no tuple": b"N",
    "a bytes object": b"s\x04\0\0\0body",
    "a tuple of one": b"(\x01\0\0\0N",
    "a tuple of three": b"(\x03\0\0\0NNN",
    "no dict": START + b"NN",
    "a dict without an end": dictionary(METHOD, PATH)[:-1],
    "no method": dictionary(PATH),
    "an empty dict": dictionary(),
    "an unknown type": START + b"\xff{" + METHOD + b"0",
    "an unknown type of key": dictionary(METHOD, b"\xfe\x01a"),
    "a text beyond the end": dictionary(METHOD, b"z\x01az\xffvalue"),
    "a text of 2 GiB": dictionary(METHOD, b"z\x01aa\xff\xff\xff\x7fvalue"),
    "a text of minus one byte": dictionary(METHOD, b"z\x01aa\xff\xff\xff\xffvalue"),
    "a body of 2 GiB": START + b"s\xff\xff\xff\x7f{" + METHOD + b"0",
    "bad UTF-8": dictionary(METHOD, b"z\x01au\x02\0\0\0\xc3("),
    "UTF-8 that ends early": dictionary(METHOD, b"z\x01au\x01\0\0\0\xc3"),
    "overlong UTF-8": dictionary(METHOD, b"z\x01au\x02\0\0\0\xc0\x80"),
    "a length with bad digits": START + b"l\x01\0\0\0\xff\xff{" + METHOD + b"0",
    "a length with a leading zero": START + b"l\x02\0\0\0\x01\0\0\0{" + METHOD + b"0",
}
# Python's own decoder would take these, or as much memory as they ask for.
BAD_FOR_C = {
    "something behind the end": dictionary(METHOD, PATH) + b"N",
    "a key without its value": dictionary(METHOD, b"z\x01a"),
    "a huge tuple": b"(\xff\xff\xff\x7fN",
    "a tuple for a body": START + START + b"NN{" + METHOD + b"0",
    "a number for a value": dictionary(METHOD, b"z\x01ai\x01\0\0\0"),
    "a length below zero": START + b"i\xff\xff\xff\xff{" + METHOD + b"0",
    "a length of 75 bits": START + b"l\x05\0\0\0" + b"\xff\x7f" * 5 + b"{" + METHOD + b"0",
    "a length with minus one digits": START + b"l\xff\xff\xff\xff\x01\0{" + METHOD + b"0",
    "a text that claims to be ASCII": dictionary(METHOD, b"z\x01az\x01\xe9"),
    "too many keys": dictionary(METHOD, *(b"z\x04%04dz\x01v" % number for number in range(256))),
}


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().boot()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def assert_given_up(self, content, descriptor=None):
        self.server.log.text = ""
        token = self.server.send_raw(content, descriptor)
        message = self.server.receive()
        self.assertEqual((message.token, message.kind, message.end), (token, ABORT, True))
        self.server.log.until("the request could not be taken")

    def assert_alive(self):
        self.assertEqual(self.server.ask("/").body, b"hello\n")

    def test_what_is_no_request_is_given_up(self):
        for name, content in {**BAD, **(BAD_FOR_C if NATIVE else {})}.items():
            with self.subTest(name):
                self.assert_given_up(content)
                self.assert_alive()

    def test_a_message_that_is_cut_anywhere_is_given_up(self):
        for length in range(len(GOOD)):
            self.assert_given_up(GOOD[:length])
        token = self.server.send_raw(GOOD)
        self.assertEqual(self.server.answer(token).body, b"b'body'")

    def test_a_message_without_a_header_is_logged_and_forgotten(self):
        for length in range(1, 16):
            self.server.log.text = ""
            self.server.inbox.send(b"\xff" * length)
            self.server.log.until("has no header")
        self.server.until_slot(lambda slot: slot[0] == 0)
        self.assert_alive()

    def test_a_message_that_is_too_large_is_given_up(self):
        self.assert_given_up(GOOD + b" " * (65537 - len(GOOD)))
        self.assert_alive()

    def test_what_a_longer_message_left_in_the_buffer_is_not_read(self):
        self.server.send_raw(GOOD)
        self.server.receive()
        self.assert_given_up(GOOD[:-1])

    def test_the_descriptors_of_such_messages_are_closed(self):
        count = lambda: self.server.ask("/input", QUERY_STRING="len(__import__('os').listdir('/proc/self/fd'))").body
        before = count()
        with spooled(b"body") as file:
            for content in (b"N", GOOD[:-1], encode((None, {})), encode(("text", environ()))):
                self.assert_given_up(content, file.fileno())
            # A body that is there needs none.
            for body in (None, b"body"):
                content = encode((body, environ("POST", "/input", QUERY_STRING="f.read()")))
                token = self.server.send_raw(content, file.fileno())
                self.assertEqual(self.server.answer(token).body, repr(body or b"").encode())
        self.assertEqual(count(), before)

    @unittest.skipUnless(NATIVE, "Python's own decoder takes as much memory as it is asked for")
    def test_random_damage_is_survived(self):
        seed = random.randrange(1 << 32)
        draw = random.Random(seed)
        shard = struct.pack("<Q", 0)
        for _ in range(3000):
            content = bytearray(GOOD)
            for _ in range(draw.choice((1, 1, 2, 8))):
                content[draw.randrange(len(content))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256), *b"(l{zau0sNi"))
            # The query is evaluated by the probe: it stays what it is, or is not looked at.
            if b"f.read()" not in content:
                continue
            self.server.log.text = ""
            token = self.server.send_raw(bytes(content))
            message = self.server.receive()
            self.assertEqual(message.token, token, "seed %d, %r" % (seed, content))
            self.assertIn(message.kind, (ABORT, HEAD), "seed %d, %r" % (seed, content))
            if message.kind == ABORT or message.status == 500:
                self.server.log.until("\n")
        self.assert_alive()


if __name__ == "__main__":
    unittest.main()
