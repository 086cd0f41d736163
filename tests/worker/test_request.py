"""environ and wsgi.input."""
import contextlib
import fcntl
import os
import tempfile
import unittest

from server import Server, environ

# Not in every version's fcntl.
F_SEAL_FUTURE_WRITE = 0x10
F_SETPIPE_SZ = 1031


def spooled(data):
    file = tempfile.TemporaryFile()
    file.write(data)
    file.flush()
    return file


@contextlib.contextmanager
def piped(data):
    """The reading end of a pipe with `data` in it, to whose other end nobody writes."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, F_SETPIPE_SZ, max(len(data), 65536))
        os.write(writer, data)
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().boot()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def read(self, expression, body):
        """What an expression on the input gives: inline, and the same spooled, and in a pipe."""
        inline = self.server.ask("/input", "POST", QUERY_STRING=expression, body=body)
        with spooled(body + b"beyond the body") as file:
            passed = self.server.ask(
                "/input", "POST", QUERY_STRING=expression, body=len(body), descriptor=file.fileno()
            )
        self.assertEqual(inline.body, passed.body)
        with piped(body) as descriptor:
            passed = self.server.ask("/input", "POST", QUERY_STRING=expression, body=len(body), descriptor=descriptor)
        self.assertEqual(inline.body, passed.body)
        self.assertEqual(inline.status, 200)
        return eval(inline.body)

    def test_the_constant_part_of_the_environ(self):
        keys = "wsgi.version,wsgi.multithread,wsgi.multiprocess,wsgi.run_once,wsgi.input_terminated,SERVER_SOFTWARE"
        answer = self.server.ask("/environ", QUERY_STRING=keys)
        self.assertEqual(answer.body.decode().split("\n"), ["(1, 0)", "False", "True", "False", "True", "'maitred/test'"])

    def test_the_requests_part_of_the_environ(self):
        answer = self.server.ask("/environ", QUERY_STRING="REQUEST_METHOD,HTTP_X,wsgi.url_scheme", HTTP_X="caf\xe9")
        self.assertEqual(answer.body.decode().split("\n"), ["'GET'", "'caf\xe9'", "'http'"])

    def test_environs_do_not_leak_into_each_other(self):
        self.server.ask("/", HTTP_X="one")
        self.assertEqual(self.server.ask("/environ", QUERY_STRING="HTTP_X").body, b"None")

    def test_environs_made_from_each_other_do_not_mix(self):
        # The same keys again and again, values that stay, change, come back, grow beyond what is remembered, and are secret.
        keys = "PATH_INFO,HTTP_A,HTTP_B,HTTP_COOKIE,HTTP_AUTHORIZATION,REMOTE_PORT,wsgi.input,SERVER_SOFTWARE"
        seen = []
        for round in range(60):
            more = {
                "HTTP_A": ("same", "x" * 300, "caf\xe9", "")[round // 5 % 4],
                "HTTP_B": str(round // 20),
                "REMOTE_PORT": str(40000 + round),
            }
            if round % 3:
                more["HTTP_COOKIE"] = "id=%d" % (round // 6)
                more["HTTP_AUTHORIZATION"] = "Basic same"
            lines = self.server.ask("/environ", QUERY_STRING=keys, **more).body.decode().split("\n")
            wanted = ["/environ", *(more.get(key) for key in keys.split(",")[1:6])]
            self.assertEqual(lines[:6], [repr(value) for value in wanted], round)
            self.assertEqual(lines[7], "'maitred/test'")
            seen.append(lines[6])
        self.assertTrue(all("BytesIO" in line for line in seen))
        # What an application does to its environ stays there.
        self.server.ask("/spoil")
        self.assertEqual(self.server.ask("/environ", QUERY_STRING="SERVER_NAME").body, b"'127.0.0.1'")

    def test_keys_that_come_twice_or_are_ours_do_not_confuse(self):
        pairs = [*environ("GET", "/environ", QUERY_STRING="HTTP_TWICE,SERVER_SOFTWARE").items(), ("SERVER_SOFTWARE", "theirs")]
        for value in ("one", "two", "two", "one", "one"):
            parts = [b"(\x02\0\0\0N{"]
            for key, text in [*pairs, ("HTTP_TWICE", "first " + value), ("HTTP_TWICE", "last")]:
                parts += [b"z%c" % len(part) + part.encode() for part in (key, text)]
            token = self.server.send_raw(b"".join(parts) + b"0")
            self.assertEqual(self.server.answer(token).body, b"'last'\n'maitred/test'")

    def test_no_body(self):
        for expression in ("f.read()", "f.read(5)", "f.readline()", "b''.join(f)"):
            self.assertEqual(self.server.ask("/input", QUERY_STRING=expression).body, b"b''")
        self.assertEqual(self.server.ask("/input", QUERY_STRING="f.readlines()").body, b"[]")

    def test_a_closed_input_is_not_the_next_requests(self):
        self.assertEqual(self.server.ask("/input", QUERY_STRING="f.close()").status, 200)
        self.assertEqual(self.server.ask("/input", QUERY_STRING="f.read()").body, b"b''")

    def test_reading_in_all_forms(self):
        body = b"first\nsecond\n\nlast"
        self.assertEqual(self.read("f.read()", body), body)
        self.assertEqual(self.read("f.read(-1)", body), body)
        self.assertEqual(self.read("f.read(1000)", body), body)
        self.assertEqual(self.read("[f.read(3), f.read(0), f.read()]", body), [b"fir", b"", b"st\nsecond\n\nlast"])
        self.assertEqual(self.read("[f.read(), f.read(), f.read(5)]", body), [body, b"", b""])
        self.assertEqual(self.read("[f.readline(), f.readline(3), f.readline()]", body), [b"first\n", b"sec", b"ond\n"])
        self.assertEqual(self.read("f.readlines()", body), body.splitlines(True))
        self.assertEqual(self.read("f.readlines(7)", body), [b"first\n", b"second\n"])
        self.assertEqual(self.read("list(f)", body), body.splitlines(True))
        self.assertEqual(self.read("[next(f), f.read()]", body), [b"first\n", b"second\n\nlast"])
        self.assertEqual(self.read("[f.read(2), f.readline(), f.read(3), f.read1(2), f.read(None)]", body)[3], b"on")
        self.assertEqual(self.read("[f.read(2), f.readinto(b := bytearray(4)), bytes(b), f.read(1)]", body)[1:], [4, b"rst\n", b"s"])
        self.assertEqual(self.read("[f.readable(), f.closed, f.close(), f.closed]", body), [True, False, None, True])

    def test_whoever_reads_in_a_way_that_is_none_is_told_so(self):
        for expression in ("f.read('a')", "f.read(1, 2)", "f.read(2 ** 80)", "(f.close(), f.read())", "(f.close(), f.readline())"):
            with piped(b"body") as descriptor:
                answer = self.server.ask("/input", "POST", QUERY_STRING=expression, body=4, descriptor=descriptor)
            self.assertEqual(answer.status, 500, expression)
        # Nor does one that was kept read from what is another's descriptor by now.
        with piped(b"body") as descriptor:
            answer = self.server.ask("/kept-read", "POST", body=4, descriptor=descriptor)
        self.assertEqual(answer.body, b"body")
        self.assertIn(b"closed", self.server.ask("/kept-read").body)

    def test_a_body_in_a_pipe_has_no_descriptor_to_be_read_from(self):
        expression = "[f.fileno() if f.readable() else 0]"
        with piped(b"body") as descriptor:
            answer = self.server.ask("/input", "POST", QUERY_STRING=expression, body=4, descriptor=descriptor)
        self.assertEqual(answer.status, 500)
        self.server.log.until("UnsupportedOperation")

    def test_a_body_in_a_pipe_is_a_file_for_who_asks_for_it_whatever_was_read(self):
        body = bytes(range(256)) * 400
        for query in ("", "by lines"):
            with piped(body) as descriptor:
                answer = self.server.ask("/own_file", "POST", QUERY_STRING=query, body=len(body), descriptor=descriptor)
            self.assertEqual(answer.body, body + b"|" + body, query)
        with tempfile.TemporaryDirectory() as folder, piped(body) as descriptor:
            path = os.path.join(folder, "saved")
            answer = self.server.ask("/save", "POST", QUERY_STRING="new " + path, body=len(body), descriptor=descriptor)
            self.assertEqual(answer.body, b"False False %d" % len(body))
            with open(path, "rb") as file:
                self.assertEqual(file.read(), body)

    def test_requests_with_pipes_leave_no_descriptors(self):
        opened = "len(__import__('os').listdir('/proc/self/fd'))"
        before = self.server.ask("/input", QUERY_STRING=opened).body
        for expression in ("f.read()", "0", "f.readline()", "f.close()", "1 // 0", "(f.readline(), f.close())"):
            with piped(b"a\nbody") as descriptor:
                self.server.ask("/input", "POST", QUERY_STRING=expression, body=6, descriptor=descriptor)
        self.assertEqual(self.server.ask("/input", QUERY_STRING=opened).body, before)

    def test_not_reading_at_all(self):
        self.assertEqual(self.read("1", b"x" * 5000), 1)
        self.assertEqual(self.read("f.read()", b"after"), b"after")

    def test_a_large_spooled_body(self):
        body = os.urandom(300000)
        with spooled(body) as file:
            expression = "hash(f.read(100000) + f.read()) == hash(open('/proc/self/fd/%d' % f.raw._descriptor, 'rb').read())"
            answer = self.server.ask(
                "/input", "POST", QUERY_STRING=expression, body=len(body), descriptor=file.fileno()
            )
        self.assertEqual(answer.body, b"True")

    def test_a_spooled_body_is_saved_by_giving_its_file_a_name(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "saved")
            body = bytes(range(256)) * 20_000
            for how, wanted in (("new", "True True"), ("new", "exists False"), ("replace", "True True")):
                descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
                try:
                    os.write(descriptor, body)
                    answer = self.server.ask(
                        "/save", "POST", QUERY_STRING="%s %s" % (how, path), body=len(body), descriptor=descriptor
                    )
                finally:
                    os.close(descriptor)
                self.assertEqual(answer.body.decode(), "%s %d" % (wanted, len(body)))
                with open(path, "rb") as file:
                    self.assertEqual(file.read(), body)
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)
                self.assertEqual(os.listdir(folder), ["saved"])

    def test_a_spooled_body_that_can_not_have_a_name_is_copied(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "saved")
            body = bytes(range(256)) * 4000
            descriptor = os.memfd_create("body")
            try:
                os.write(descriptor, body + b"beyond the body")
                answer = self.server.ask("/save", "POST", QUERY_STRING="new " + path, body=len(body), descriptor=descriptor)
            finally:
                os.close(descriptor)
            self.assertEqual(answer.body.decode(), "False False %d" % len(body))
            with open(path, "rb") as file:
                self.assertEqual(file.read(), body)
            self.assertEqual(os.listdir(folder), ["saved"])

    def test_a_spooled_body_is_given_back_once_when_its_request_is_over(self):
        # What the requests before have left comes first, before an answer that is too long for a ring.
        self.server.ask("/pieces", QUERY_STRING="2000 1")
        del self.server.released[:]
        tokens = []
        for expression in ("f.read()", "0", "f.detach()", "f.close()", "1 // 0"):
            with spooled(b"body") as file:
                tokens.append(self.server.send("/input", "POST", QUERY_STRING=expression, body=4, descriptor=file.fileno()))
            self.server.answer(tokens[-1])
        self.server.ask("/pieces", QUERY_STRING="2000 1")
        self.assertEqual(self.server.released, tokens)

    def test_memory_of_the_servers_is_copied_for_who_wants_a_file(self):
        """As the server makes it: larger than the body, and not for others to write."""
        body = bytes(range(256)) * 300
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "saved")
            for query in ("/save", "/own_file"):
                descriptor = os.memfd_create("body", os.MFD_ALLOW_SEALING)
                try:
                    os.write(descriptor, body + b"of another request")
                    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE)
                    more = {"QUERY_STRING": "new " + path, "body": len(body), "descriptor": descriptor}
                    answer = self.server.ask(query, "POST", **more)
                finally:
                    os.close(descriptor)
                if query == "/own_file":
                    self.assertEqual(answer.body, body + b"|" + body)
                else:
                    with open(path, "rb") as file:
                        self.assertEqual(file.read(), body)

    def test_a_spooled_bodys_descriptor_is_closed_with_the_request(self):
        with spooled(b"body") as file:
            number = self.server.ask("/inputs-descriptor", body=4, descriptor=file.fileno()).body.decode()
            name = os.readlink("/proc/self/fd/%d" % file.fileno()).encode()
        # The worker may have opened something else meanwhile.
        self.assertNotEqual(self.server.ask("/opened", QUERY_STRING=number).body, name)

    def test_a_spooled_body_without_its_descriptor_is_not_served(self):
        token = self.server.send("/", "POST", body=4)
        message = self.server.receive()
        self.assertEqual((message.token, message.kind, message.end), (token, 4, True))
        self.server.log.until("came with 0 descriptors")

    def test_the_standard_validator_is_content(self):
        self.assertEqual(self.server.ask("/validated", "POST", body=b"12345", CONTENT_LENGTH="5").body, b"12345")
        with spooled(b"12345") as file:
            answer = self.server.ask("/validated", "POST", body=5, CONTENT_LENGTH="5", descriptor=file.fileno())
        self.assertEqual(answer.body, b"12345")


if __name__ == "__main__":
    unittest.main()
