"""`wsgi.input`: the request's body as a file (PEP 3333, "Input and Error Streams").

A body that came with the message is an `io.BytesIO`; one that was spooled is read from its descriptor, which is closed with
the request. Either ends where the body ends, whatever CONTENT_LENGTH says to the application. A spooled one can also be had as the file that it
is, so that nothing has to read it: `environ["maitred.input_file"]`.
"""
import io
import os
import secrets

BUFFER_BYTES = 64 * 1024
COPY_BYTES_MAX = 1 << 30


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


class InputFile:
    """The file in which a spooled body lies, from its beginning, as long as the request lasts."""

    def __init__(self, body):
        self._body = body

    @property
    def size(self):
        """Bytes of the body."""
        return self._body._length

    def fileno(self):
        """Its descriptor: for os.sendfile() and os.copy_file_range(), from offset 0. It is not the caller's to close."""
        if self._body.closed:
            raise ValueError("the body is closed")
        return self._body._descriptor

    def save(self, path, mode=0o644, replace=False):
        """Puts the body at `path`, where nothing may be unless it is to `replace` that; appears there whole or not at all.

        The spooled file itself gets this name if it can have it (link(2): the same file system, a body on disk, owned by this process's user); else it
        is copied by the kernel. True: nothing was copied. The file is then the application's: it stays when the request is over.
        """
        path = os.fspath(path)
        aside = "%s.%s" % (os.fsdecode(path), secrets.token_hex(8))
        is_moved = self._link(aside, mode)
        try:
            if not is_moved:
                self._copy(aside, mode)
            if replace:
                os.replace(aside, path)
            else:
                os.link(aside, path)
        finally:
            try:
                os.unlink(aside)
            except FileNotFoundError:
                pass
        return is_moved

    def _link(self, path, mode):
        """Whether the file has got this name."""
        try:
            folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            # The copy says why.
            return False
        try:
            descriptor = self.fileno()
            os.fchmod(descriptor, mode)
            # With a directory's descriptor this is linkat(2), which follows; link(2) does not.
            os.link("/proc/self/fd/%d" % descriptor, os.path.basename(path), dst_dir_fd=folder, follow_symlinks=True)
        except OSError:
            # In a memfd, on another file system, another user's, or no /proc.
            return False
        finally:
            os.close(folder)
        return True

    def _copy(self, path, mode):
        source = self.fileno()
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(target, mode)
            done = 0
            while done < self.size:
                wanted = min(self.size - done, COPY_BYTES_MAX)
                try:
                    count = os.copy_file_range(source, target, wanted, offset_src=done)
                except (AttributeError, OSError):
                    # Not between these file systems.
                    count = os.sendfile(target, source, done, wanted)
                if not count:
                    raise EOFError("the body has become shorter")
                done += count
        finally:
            os.close(target)


def spooled_input(descriptor, length):
    """A spooled body: a buffered reader over it, and the file."""
    body = SpooledBody(descriptor, length)
    return io.BufferedReader(body, BUFFER_BYTES), InputFile(body)
