"""Flow control of one long response: a pipe in which the shard writes a byte for every 64 KiB that it has passed on.

Used by responses beyond the window, and by those that take long: the pipe also says that the client is gone.
"""
import array
import os
import select
import socket

from .protocol import CREDIT, CREDIT_BYTES, ClientGone, pack_header

# A response that is still being produced after so long asks for a pipe, to hear of its client's leaving.
CREDIT_AFTER_S = 1.0

_GONE = b"X"


class Credit:
    """The reading end of a response's credit pipe."""

    __slots__ = ("_descriptor", "_poll")

    def __init__(self, replies, token):
        """Makes the pipe and hands its writing end to the shard. A new one for each response: no stale credit."""
        self._descriptor, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            rights = array.array("i", [writer])
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            replies.sendmsg([pack_header(token, CREDIT, 0, 0, 0)], ancillary)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(writer)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def take(self, wait):
        """Bytes that may be sent in addition; 0 only if not to `wait`. Raises ClientGone."""
        while True:
            try:
                credits = os.read(self._descriptor, 4096)
            except BlockingIOError:
                if not wait:
                    return 0
                self._poll.poll()
                continue
            if not credits or _GONE in credits:
                raise ClientGone("the client is gone")
            return CREDIT_BYTES * len(credits)

    def close(self):
        os.close(self._descriptor)
