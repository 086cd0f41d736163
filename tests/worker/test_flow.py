"""Big and long responses: messages, credit, clients that leave."""
import os
import select
import unittest

from server import BODY, CREDIT, HEAD, MESSAGE_BYTES_MAX, Server

WINDOW_BYTES = 256 * 1024
CREDIT_BYTES = 64 * 1024


class Flow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().boot()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def setUp(self):
        self.server.log.text = ""

    def until_credit(self, token):
        """(body bytes before it, the pipe)."""
        received = 0
        while True:
            message = self.server.receive()
            self.assertEqual(message.token, token)
            self.assertFalse(message.end)
            if message.kind == CREDIT:
                return received, message.descriptors[0]
            self.assertIn(message.kind, (HEAD, BODY))
            received += len(message.body)

    def test_up_to_the_window_there_is_no_credit(self):
        answer = self.server.ask("/big", QUERY_STRING=str(WINDOW_BYTES))
        self.assertEqual(len(answer.body), WINDOW_BYTES)
        self.assertNotIn(CREDIT, answer.kinds)

    def test_messages_are_as_large_as_they_may_be(self):
        answer = self.server.ask("/big-list", QUERY_STRING="200000")
        self.assertEqual([m.size for m in answer.messages[:-1]], [MESSAGE_BYTES_MAX] * (len(answer.messages) - 1))
        self.assertEqual((answer.headers["content-length"], len(answer.body)), ("200000", 200000))
        self.assertTrue(answer.messages[-1].body)

    def test_a_big_response_pauses_and_goes_on(self):
        size = 1000000
        token = self.server.send("/big", QUERY_STRING=str(size))
        received, pipe = self.until_credit(token)
        passed_on = 0
        ended = False
        while not ended:
            self.assertLessEqual(received, WINDOW_BYTES + passed_on)
            # Nothing comes unless it is allowed: with all credit used up, the socket stays silent.
            while received - passed_on >= CREDIT_BYTES:
                try:
                    os.write(pipe, b"+")
                except BrokenPipeError:
                    # The worker has sent everything already and needs no more.
                    pass
                passed_on += CREDIT_BYTES
            message = self.server.receive()
            received += len(message.body)
            ended = message.end
        os.close(pipe)
        self.assertEqual(received, size)
        self.server.log.until("closed\n")

    def test_without_credit_a_response_stays_where_it_is(self):
        token = self.server.send("/endless")
        received, pipe = self.until_credit(token)
        self.assertLessEqual(received, WINDOW_BYTES)
        self.assertGreater(received, WINDOW_BYTES - CREDIT_BYTES)
        self.server.until_slot(lambda slot: slot[0] == token)
        self.assertEqual(select.select([self.server.replies[0]], [], [], 0)[0], [])
        os.close(pipe)
        self.assertTrue(self.server.receive().end)

    def test_a_client_that_left_ends_the_response(self):
        for goodbye in (b"", b"X", b"+X"):
            self.server.log.text = ""
            token = self.server.send("/endless")
            _, pipe = self.until_credit(token)
            if goodbye:
                os.write(pipe, goodbye)
            else:
                os.close(pipe)
            last = self.server.receive()
            while not last.end:
                last = self.server.receive()
            self.server.log.until("closed\n")
            self.assertNotIn("Traceback", self.server.log.text)
            if goodbye:
                os.close(pipe)
            self.assertEqual(self.server.ask("/").body, b"hello\n")

    def test_write_tells_the_application_that_the_client_left(self):
        token = self.server.send("/write-until-gone")
        _, pipe = self.until_credit(token)
        os.close(pipe)
        self.assertTrue(self.server.receive().end)
        self.server.log.until("write() raised ClientGone\n")
        self.assertEqual(self.server.ask("/").status, 200)
        self.assertNotIn("Traceback", self.server.log.text)

    def test_a_long_response_asks_for_its_pipe_though_it_is_small(self):
        token = self.server.send("/long")
        received, pipe = self.until_credit(token)
        self.assertEqual(received, len(b"first"))
        os.close(pipe)
        while not self.server.receive().end:
            pass
        self.server.log.until("closed\n")


if __name__ == "__main__":
    unittest.main()
