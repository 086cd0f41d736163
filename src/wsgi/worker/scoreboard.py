"""A thread's slot in the scoreboard; the supervisor's side is src/sys/memory.rs.

Owns the map of the shared memory. The head of a slot is written by the kernel: `serve` receives each message's header into
it, so that a request is on record the moment it is taken. A token of 0 means idle.
"""
import mmap
import os

SLOT_BYTES = 64
# Words of 64 bits within a slot.
TOKEN = 0
SHARD = 1
STARTED_NS = 2
DONE = 3
# Written by the supervisor: the request that is to be interrupted, 0 for none.
INTERRUPT = 5
# In a worker's first line, written by the supervisor: not 0 when it is to be reset, to show that the worker lives.
LIFE = 6
# Words of 32 bits within a slot.
PID = 8
STATE = 9

SERVING = 1
LEAVING = 2


class Slot:
    """One thread's slot: `header` to receive into, `words` to read and write."""

    __slots__ = ("header", "words", "halves")

    def __init__(self, view):
        self.header = view[:16]
        self.words = view.cast("Q")
        self.halves = view.cast("I")

    def enter(self, pid):
        self.words[TOKEN] = 0
        self.words[STARTED_NS] = 0
        self.words[DONE] = 0
        self.words[INTERRUPT] = 0
        self.words[LIFE] = 0
        self.halves[PID] = pid
        self.halves[STATE] = SERVING

    def leave(self):
        self.halves[STATE] = LEAVING


def slots(descriptor, first, count):
    """The slots `first` and up of the scoreboard in `descriptor`."""
    size = os.fstat(descriptor).st_size
    if (first + count) * SLOT_BYTES > size:
        raise ValueError("the scoreboard of %d bytes has no slot %d" % (size, first + count - 1))
    view = memoryview(mmap.mmap(descriptor, size))
    return [Slot(view[index * SLOT_BYTES : (index + 1) * SLOT_BYTES]) for index in range(first, first + count)]


def requests(descriptor):
    """How many requests those have answered that have a slot now."""
    content = memoryview(os.pread(descriptor, os.fstat(descriptor).st_size, 0)).cast("Q")
    return sum(content[DONE :: SLOT_BYTES // 8])
