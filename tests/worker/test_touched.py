"""Pages that workers write to are copied for those that come later, before they write."""
import os
import signal
import time
import unittest

from server import PATIENCE_S, Server

MIB = 1024 * 1024


def own_bytes(pid):
    """What a process has written to and shares with nobody."""
    with open("/proc/%d/smaps_rollup" % pid) as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty:"))


class Touched(unittest.TestCase):
    def fresh(self, server, number):
        """What a worker has copied that was just forked, and has served nobody, by when it has all that it will have."""
        pid, _ = server.fork(number, 1)
        server.until_slot(lambda slot: slot[4] == pid, 1)
        most = own_bytes(pid)
        for _ in range(10):
            time.sleep(0.02)
            most = max(most, own_bytes(pid))
        os.kill(pid, signal.SIGKILL)
        server.wait(pid)
        return most

    def until(self, server, holds):
        end, number = time.monotonic() + PATIENCE_S, 2
        while not holds(self.fresh(server, number)):
            self.assertLess(time.monotonic(), end)
            number += 1

    @unittest.skipIf(os.environ["MAITRED_LOOP"] == "python", "the native loop does it")
    def test_what_a_worker_has_written_to_is_copied_for_the_next(self):
        with Server("scribbler").boot() as server:
            self.assertLess(self.fresh(server, 2), 8 * MIB)
            # A few requests are no pattern.
            for _ in range(16):
                self.assertEqual(server.ask("/memory").body, b"True")
            self.until(server, lambda copied: copied >= 8 * MIB)
            # A copy it is.
            server.fork(3, 1)
            os.kill(server.worker, signal.SIGKILL)
            server.wait(server.worker)
            self.assertEqual(server.ask("/").body, b"True")

    def test_a_worker_that_writes_to_much_is_no_pattern(self):
        with Server("scribbler").boot() as server:
            for _ in range(16):
                self.assertEqual(server.ask("/large").body, b"True")
            until = time.monotonic() + 2
            self.until(server, lambda copied: self.assertLess(copied, 8 * MIB) or time.monotonic() > until)


if __name__ == "__main__":
    unittest.main()
