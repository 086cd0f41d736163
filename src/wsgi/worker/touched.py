"""Which of the zygote's pages a worker writes to as it answers requests: counts of references are in the objects.

Owns when and how that is found out, of workers that have served for a while, and not only the probe that asks whether the site is up. A worker that is forked later has those pages copied by a thread while it
begins (`copy_pages` of the native loop), and need not stop at each of them in its first request. What requests like those before would not have
written to is copied in vain. Called by the zygote.
"""
import array
import os
import re
import time

from . import scoreboard as scoreboards

# When workers are looked at, seconds after the last of them was forked. There is no other reason to wake.
LOOKS_S = (1.0, 5.0, 30.0)
# What is copied for a worker, bytes. A worker that has written to more is no pattern for others' first requests.
TOUCHED_BYTES_MAX = 16 * 1024 * 1024
# More memory than this is not looked through, bytes: it would hold up orders.
SEEN_BYTES_MAX = 512 * 1024 * 1024
# Workers that have answered fewer requests between them are no pattern either.
REQUESTS_MIN = 16
# Of so many workers, those that came last, one is looked at.
WORKERS_MAX = 64

_PAGE = os.sysconf("SC_PAGE_SIZE")
# proc_pid_pagemap(5): the page is in memory, and nobody else has it.
_OWN = 1 << 63 | 1 << 56
_PRIVATE = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) rw-p ")


class Touched:
    """What is known so far. `ranges` has pairs of addresses, in native byte order; empty as long as nothing is known."""

    def __init__(self, scoreboard):
        self.ranges = b""
        # Its descriptor.
        self._scoreboard = scoreboard
        # Process ids, of which some may have ended.
        self._workers = []
        self._looks = []

    def forked(self, pid):
        """A worker was forked."""
        self._workers = [*self._workers[1 - WORKERS_MAX :], pid]
        now = time.monotonic()
        self._looks = [*self._looks[:1], *(now + seconds for seconds in LOOKS_S)]

    def wait_seconds(self):
        """Until the next look; None: there is none."""
        return max(self._looks[0] - time.monotonic(), 0) if self._looks else None

    def look(self):
        """Looks at the worker that has written to most, if it is time."""
        if not self._looks or time.monotonic() < self._looks[0]:
            return
        del self._looks[0]
        faults = {pid: _faults(pid) for pid in self._workers}
        self._workers = [pid for pid in self._workers if faults[pid]]
        try:
            if scoreboards.requests(self._scoreboard) < REQUESTS_MIN:
                return
            found = _own_pages(max(self._workers, key=faults.get))
        except (OSError, ValueError):
            # It has ended, or it is not for this process to see.
            return
        if 0 < sum(found[1::2]) - sum(found[0::2]) <= TOUCHED_BYTES_MAX:
            self.ranges = found.tobytes()


def _faults(pid):
    """Faults of pages so far, 0 if there is no such process (proc_pid_stat(5): minflt)."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[7])
    except OSError:
        return 0


def _own_pages(pid):
    """Of the memory that this process can write to, what that other one has for itself."""
    found = array.array("Q")
    writable = list(_writable())
    if sum(end - start for start, end in writable) > SEEN_BYTES_MAX:
        return found
    with open("/proc/%d/pagemap" % pid, "rb", buffering=0) as pagemap:
        for start, end in writable:
            pagemap.seek(start // _PAGE * 8)
            entries = array.array("Q")
            entries.frombytes(pagemap.read((end - start) // _PAGE * 8))
            for index, entry in enumerate(entries):
                if entry & _OWN == _OWN:
                    at = start + index * _PAGE
                    if found and found[-1] == at:
                        found[-1] = at + _PAGE
                    else:
                        found.extend((at, at + _PAGE))
    return found


def _writable():
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            match = _PRIVATE.match(line)
            if match:
                yield int(match[1], 16), int(match[2], 16)
