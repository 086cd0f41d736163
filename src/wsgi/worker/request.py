"""`wsgi.input`: the request's body as a file (PEP 3333, "Input and Error Streams").

A body that came with the message is an `io.BytesIO`; one that was spooled is read from its descriptor, which is closed with
the request. Either ends where the body ends, whatever CONTENT_LENGTH says to the application.
"""
import io
import os

BUFFER_BYTES = 64 * 1024


class SpooledBody(io.RawIOBase):
    """The first `length` bytes of `descriptor`, which it owns. Does not share the descriptor's offset with anybody."""

    def __init__(self, descriptor, length):
        super().__init__()
        self._descriptor = descriptor
        self._length = length
        self._offset = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        wanted = min(len(buffer), self._length - self._offset)
        if wanted <= 0:
            return 0
        with memoryview(buffer) as view:
            count = os.preadv(self._descriptor, [view[:wanted]], self._offset)
        self._offset += count
        return count

    def readall(self):
        pieces = []
        while self._offset < self._length:
            piece = os.pread(self._descriptor, self._length - self._offset, self._offset)
            if not piece:
                break
            self._offset += len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def close(self):
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def spooled_input(descriptor, length):
    """A buffered reader over a spooled body."""
    return io.BufferedReader(SpooledBody(descriptor, length), BUFFER_BYTES)
