"""`wsgi.input`: the request's body as a file (PEP 3333, "Input and Error Streams").

A body that came with the message is an `io.BytesIO`; one that was spooled is read from its descriptor, which is closed with
the request: a file, or a pipe with the whole body in it. Either ends where the body ends, whatever CONTENT_LENGTH says to the application. A spooled one
can also be had as a file, so that nothing has to read it: `environ["maitred.input_file"]`.
"""
import fcntl
import io
import os
import secrets
import stat
import tempfile

BUFFER_BYTES = 64 * 1024
COPY_BYTES_MAX = 1 << 30

# fcntl(2): nobody can write to the memory but the server, which does so for another request once this one has ended.
F_SEAL_FUTURE_WRITE = 0x10

# The module of the native loop, where that is loaded.
native = None


class SpooledBody(io.RawIOBase):
    """The first `length` bytes of `descriptor`, which it owns. Does not share the descriptor's offset with anybody."""

    # The server may wait for it to be closed.
    is_lent = True

    def __init__(self, descriptor, length):
        super().__init__()
        self._descriptor = descriptor
        self._length = length
        self._offset = 0

    def readable(self):
        return True

    def is_servers(self):
        """Whether it lies in memory of the server's, for as long as the request lasts."""
        try:
            return bool(fcntl.fcntl(self._descriptor, fcntl.F_GET_SEALS) & F_SEAL_FUTURE_WRITE)
        except OSError:
            # A file on a disk has no seals.
            return False

    def descriptor(self):
        """The descriptor of a file with the body in it."""
        return self._descriptor

    def own_descriptor(self):
        """The descriptor of a file that is nobody else's and has nothing but the body in it."""
        if self.is_servers():
            own = _memory_file()
            try:
                copy_file(self._descriptor, own, self._length)
            except BaseException:
                os.close(own)
                raise
            os.close(self._descriptor)
            self._descriptor = own
        return self._descriptor

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


class PipedBody(io.BufferedIOBase):
    """A body in a pipe at whose other end is nobody any more, as the file that an application reads: `pipe`, of the native loop. `whole` is another one with
    the same in it, as what is read is gone from a pipe; it has `length` bytes. Owns both."""

    is_lent = False
    _file = None
    _buffered = None

    def __init__(self, pipe, length, whole):
        # All that most applications do.
        self.read = self._pipe = pipe
        self._length = length
        self._whole = whole

    def is_servers(self):
        return False

    def descriptor(self):
        """The descriptor of a file with the body in it."""
        if self._file is None:
            self._file = _drained(self._whole, self._length)
        return self._file

    own_descriptor = descriptor

    def readable(self):
        return True

    def read1(self, size=-1):
        return self._buffer().read1(size)

    def peek(self, size=0):
        return self._buffer().peek(size)

    def readline(self, size=-1):
        return self._buffer().readline(size)

    def _buffer(self):
        """For what has to look ahead. From then on everything is read through it."""
        if self._buffered is None:
            if self.closed:
                raise ValueError("I/O operation on closed file")
            self._buffered = io.BufferedReader(io.FileIO(self._pipe.fileno(), closefd=False), BUFFER_BYTES)
            self.read = self._buffered.read
        return self._buffered

    def close(self):
        if not self.closed:
            super().close()
            if self._buffered is not None:
                self._buffered.close()
            self._pipe.close()
            os.close(self._whole)
            if self._file is not None:
                os.close(self._file)


class InputFile:
    """A spooled body as a file, from its beginning, as long as the request lasts."""

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
        return self._body.own_descriptor()

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
        if self._body.is_servers():
            return False
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
            # On another file system, another user's, or no /proc.
            return False
        finally:
            os.close(folder)
        return True

    def _copy(self, path, mode):
        if self._body.closed:
            raise ValueError("the body is closed")
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(target, mode)
            copy_file(self._body.descriptor(), target, self.size)
        finally:
            os.close(target)


def copy_file(source, target, size):
    """Has the kernel copy the first `size` bytes of `source` to `target`, at its position."""
    done = 0
    while done < size:
        wanted = min(size - done, COPY_BYTES_MAX)
        try:
            count = os.copy_file_range(source, target, wanted, offset_src=done)
        except (AttributeError, OSError):
            # Not between these file systems.
            count = os.sendfile(target, source, done, wanted)
        if not count:
            raise EOFError("the body has become shorter")
        done += count


def _drained(pipe, size):
    """A file in memory with the first `size` bytes of what is in `pipe`."""
    file = _memory_file()
    try:
        done = 0
        while done < size:
            piece = os.read(pipe, size - done)
            if not piece:
                raise EOFError("the body has become shorter")
            done += os.pwrite(file, piece, done)
    except BaseException:
        os.close(file)
        raise
    return file


def _memory_file():
    try:
        return os.memfd_create("maitred-body", os.MFD_CLOEXEC)
    except AttributeError:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


def spooled_input(descriptor, length):
    """A spooled body: as the file that it is, and as what the application reads it from. Raises OSError without a descriptor or memory for it."""
    whole = _duplicate(descriptor)
    if whole is not None:
        body = PipedBody(native.Pipe(descriptor, length), length, whole)
        return body, body
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        body = SpooledBody(_drained(descriptor, length), length)
        os.close(descriptor)
    else:
        body = SpooledBody(descriptor, length)
    return body, io.BufferedReader(body, BUFFER_BYTES)


def _duplicate(descriptor):
    """Another pipe with the same in it as that one has; None if it is none, or there can't be another one."""
    if native is None:
        return None
    try:
        return native.duplicate_pipe(descriptor)
    except OSError:
        # Or its user has as many pipes as they may have (pipe(7)).
        return None
