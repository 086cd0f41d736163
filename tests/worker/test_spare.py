"""A worker waits for the next place that falls vacant, and for nothing else."""
import contextlib
import os
import select
import signal
import time
import unittest

from server import PATIENCE_S, Server
from test_touched import own_bytes

MIB = 1024 * 1024


class Spare(unittest.TestCase):
    def kill(self, server, pid):
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(server.wait(pid), -signal.SIGKILL)

    def until_copied(self, server):
        """Waits until one that waits has memory of its own; the one before may have gone meanwhile."""
        end, copied = time.monotonic() + PATIENCE_S, 0
        while copied < 8 * MIB:
            self.assertLess(time.monotonic(), end)
            if select.select([server.control], [], [], 0.02)[0]:
                server.until_spare()
            with contextlib.suppress(OSError):
                copied = own_bytes(server.spares[-1])

    def test_it_takes_the_place_of_the_next_and_another_one_comes(self):
        for threads in (1, 3):
            with self.subTest(threads=threads), Server(threads=threads, spare=True).boot() as server:
                spare = server.until_spare()
                self.kill(server, server.worker)
                pid, log = server.fork(2, 0)
                self.assertEqual(pid, spare)
                self.assertEqual(server.ask("/").body, b"hello\n")
                self.assertEqual(server.slot()[4], spare)
                # What it prints is in the log of its place.
                server.ask("/raise", QUERY_STRING="key")
                log.until("Traceback")
                self.assertNotEqual(server.until_spare(), spare)
                os.kill(spare, signal.SIGTERM)
                self.assertEqual(server.wait(spare), 0)

    def test_it_takes_no_request_before(self):
        with Server(spare=True).boot() as server:
            spare = server.until_spare()
            self.kill(server, server.worker)
            token = server.send("/")
            self.assertFalse(select.select([server.replies[0]], [], [], 0.5)[0])
            self.assertNotIn(spare, [server.slot(index)[4] for index in range(4)])
            server.fork(2, 3)
            self.assertEqual(server.answer(token).body, b"hello\n")
            self.assertEqual(server.slot(3)[4], spare)

    def test_without_it_a_worker_is_forked(self):
        with Server(spare=True).boot() as server:
            spare = server.until_spare()
            os.kill(spare, signal.SIGKILL)
            os.waitpid(spare, 0)
            pid, _ = server.fork(2, 1)
            self.assertNotEqual(pid, spare)
            server.until_slot(lambda slot: slot[4] == pid, 1)
            # Of two places it takes one.
            spare = server.until_spare()
            self.assertEqual(server.fork(3, 2)[0], spare)
            self.assertNotEqual(server.fork(4, 3)[0], spare)

    def test_it_ends_with_the_zygote(self):
        for kill in (False, True):
            with self.subTest(kill=kill), Server(spare=True).boot() as server:
                spare = server.until_spare()
                if kill:
                    server.zygote.kill()
                else:
                    server.control.shutdown(2)
                self.assertEqual(os.waitpid(spare, 0)[1], 0)
                # Whoever serves goes on.
                self.assertEqual(server.ask("/").body, b"hello\n")

    def test_there_is_none_unless_it_is_asked_for(self):
        with Server().boot() as server:
            self.assertFalse(select.select([server.control], [], [], 1.0)[0])

    @unittest.skipIf(os.environ["MAITRED_LOOP"] == "python", "the native loop does it")
    def test_it_has_copies_of_what_workers_write_to(self):
        with Server("scribbler", spare=True).boot() as server:
            first = server.until_spare()
            self.assertLess(own_bytes(first), 8 * MIB)
            for _ in range(16):
                self.assertEqual(server.ask("/memory").body, b"True")
            # Workers are looked at a while after the last fork.
            self.assertIn(server.fork(2, 1)[0], server.spares)
            self.until_copied(server)
            self.assertEqual(server.fork(3, 2)[0], server.spares[-1])
            os.kill(server.worker, signal.SIGKILL)
            server.wait(server.worker)
            self.assertEqual(server.ask("/").body, b"True")


if __name__ == "__main__":
    unittest.main()
