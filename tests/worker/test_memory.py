"""What a process keeps of the requests that it has answered: nothing."""
import os
import unittest

from server import Server

ROUNDS = int(os.environ.get("MEMORY_ROUNDS", "400"))
BATCHES = 3


class Memory(unittest.TestCase):
    def requests(self, server, number):
        """One of each kind; `number` makes them differ."""
        ask = server.ask
        self.assertEqual(ask("/").body, b"hello\n")
        self.assertEqual(ask("/", "HEAD").body, b"")
        self.assertEqual(ask("/", HTTP_COOKIE="session=%d" % number, HTTP_X="x" * (number % 50)).status, 200)
        self.assertEqual(ask("/", **{"HTTP_X_%d" % number: "new", "HTTP_Y": "caf\xe9"}).status, 200)
        self.assertEqual(ask("/", **{"HTTP_Z_%d" % (number // 4): "seen before"}).status, 200)
        self.assertEqual(ask("/input", "POST", QUERY_STRING="f.read()", body=b"%d" % number).body, b"b'%d'" % number)
        self.assertEqual(ask("/join").body, b"abc")
        self.assertEqual(ask("/status", QUERY_STRING="204 No Content").status, 204)
        self.assertEqual(len(ask("/big-list", QUERY_STRING="30000").body), 30000)
        self.assertEqual(len(ask("/big-list", QUERY_STRING="90000").body), 90000)
        self.assertEqual(ask("/lazy").body, b"lazy")
        self.assertEqual(ask("/empty").body, b"")
        self.assertEqual(ask("/write").body, b"written twice and returned")
        self.assertEqual(ask("/header", QUERY_STRING="X=caf\xe9").status, 200)
        self.assertEqual(ask("/exc-info").status, 503)
        self.assertEqual(ask("/django-like").body, b"whole page")
        self.assertEqual(ask("/stale").body, b"fresh")
        self.assertEqual(ask("/types").body, b"TypeError TypeError")
        self.assertEqual(ask("/raise", QUERY_STRING="key").status, 500)
        self.assertEqual(ask("/twice").status, 500)
        self.assertEqual(server.send_raw(b"N{0"), server.receive().token)
        server.log.until("could not be taken")
        server.log.until("closed\n")
        server.log.text = ""

    def memory(self, server):
        return [int(word) for word in server.ask("/memory").body.split()]

    def test_requests_leave_nothing_behind(self):
        with Server().boot() as server:
            for number in range(800):
                self.requests(server, number)
            before, grown = self.memory(server), None
            # One block lost in one kind of request would be as many as there were rounds, each time. What the interpreter itself keeps, up to a
            # bound, is there after the first rounds nearly always.
            for batch in range(1, 1 + BATCHES):
                for number in range(ROUNDS):
                    self.requests(server, batch * 1000 + number)
                after = self.memory(server)
                grown = [more - less for more, less in zip(after, before)]
                before = after
                if grown[0] < ROUNDS // 2:
                    break
            self.assertLess(grown[0], ROUNDS // 2)
            self.assertLess(grown[1], 256)


if __name__ == "__main__":
    unittest.main()
