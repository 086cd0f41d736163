"""`wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling") and what may be sent as a file.

Never opens or closes anything by itself.
"""
import io
import os
import stat
import tempfile

# Blocks of what has to be read here are no smaller than this: the application's block size is a suggestion.
BLOCK_BYTES_MIN = 32 * 1024

_BUFFERED = (io.BufferedReader, io.BufferedRandom)


class FileWrapper:
    """Iterates over a file-like object by blocks. Returned as a response, a plain file is sent without being read."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = max(blksize, BLOCK_BYTES_MIN)
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        block = self.filelike.read(self.blksize)
        if block:
            return block
        raise StopIteration


def plain_file(filelike):
    """(descriptor, offset, count) of what `filelike` still has to read, or None if it must be read to be known.

    A `fileno()` alone proves nothing: a decompressing or decrypting file has one too. What counts is whose `read` it is.
    """
    if type(filelike) is tempfile._TemporaryFileWrapper:
        filelike = filelike.file
    reader = getattr(getattr(filelike, "read", None), "__self__", None)
    try:
        raw = reader.raw if type(reader) in _BUFFERED else reader
        if type(raw) is not io.FileIO:
            return None
        reader.flush()
        descriptor = reader.fileno()
        status = os.fstat(descriptor)
        offset = reader.tell()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return descriptor, offset, max(0, status.st_size - offset)
