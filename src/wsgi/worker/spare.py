"""A worker that is forked before it is needed, so that whoever takes the place of one that has died is there already, with its pages copied.

Owns when there is to be one, and the socket over which it is told its place. Before that it takes no request and has no line on the scoreboard. It
ends with the zygote, or when that wants another; if it is gone a worker is forked as ever. Called by the zygote, and in the process that
waits.
"""
import array
import os
import select
import socket
import time

# It is forked so long after the last worker, seconds: those that clients wait for come first.
AFTER_S = 0.5
# Of a number.
PLACE_BYTES_MAX = 16


class Reserve:
    """The spare worker, if there is one. `pages`, where it is asked for, is what is copied for a worker (touched.py), empty if that is not known yet."""

    def __init__(self):
        self._due = self._connection = None
        self._pid = 0
        self._is_copied = False

    def forked(self):
        """A worker has begun: from then on there is to be a spare one."""
        self._due = time.monotonic() + AFTER_S

    def wait_seconds(self, pages):
        """Until one is to be forked; None: there is one, or none is wanted."""
        is_wanted = self._connection is None or (pages and not self._is_copied)
        return max(self._due - time.monotonic(), 0) if is_wanted and self._due is not None else None

    def renew(self, fork, pages):
        """Forks one by `fork`, which returns a process id and 0 in the child. Returns that, and in the child the end of the socket that it is to
        `wait` on. Raises OSError, and tries no more until the next worker has begun."""
        self.dismiss()
        due, self._due = self._due, None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            ours.close()
            return 0, theirs
        theirs.close()
        self._due, self._pid, self._connection, self._is_copied = due, pid, ours, bool(pages)
        return pid, None

    def give(self, slot, log):
        """Gives it its place on the scoreboard and its log, if there is one and it lives. Returns its process id, or 0."""
        if self._connection is None:
            return 0
        pid = self._pid if _send(self._connection, slot, log) else 0
        self.dismiss()
        return pid

    def dismiss(self):
        """Lets go of it: without a place it ends."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _send(connection, slot, log):
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    # It says nothing: it has ended. Whoever ends closes its socket before it is reaped, so the number is not another's yet.
    if poll.poll(0):
        return False
    rights = [] if log is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [log]))]
    try:
        connection.sendmsg([b"%d" % slot], rights, socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def wait(connection):
    """In the spare worker: (place on the scoreboard, log or None), when they are known. Ends the process if it is not needed."""
    data, ancillary, _, _ = connection.recvmsg(PLACE_BYTES_MAX, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    if not data:
        # Nothing was begun that would have to be ended.
        os._exit(0)
    connection.close()
    descriptors = array.array("i")
    for _, kind, rights in ancillary:
        if kind == socket.SCM_RIGHTS:
            descriptors.frombytes(rights)
    return int(data), descriptors[0] if descriptors else None
