"""`wsgi.errors` and the reports that the worker itself writes there.

Owns the way to descriptor 2, which the supervisor reads line by line. Writes whole lines, so that threads do not mix.
"""
import os
import sys
import threading
import traceback


class ErrorStream:
    """Text stream to descriptor 2 (PEP 3333, "Input and Error Streams"): a line leaves when it is complete."""

    def __init__(self, descriptor=2):
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._pending = ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("wsgi.errors takes str, not %s" % type(text).__name__)
        with self._lock:
            lines, newline, rest = (self._pending + text).rpartition("\n")
            self._pending = rest
            if newline:
                self._emit(lines + newline)
        return len(text)

    def writelines(self, lines):
        self.write("".join(lines))

    def flush(self):
        with self._lock:
            pending, self._pending = self._pending, ""
            self._emit(pending)

    def isatty(self):
        return False

    def fileno(self):
        return self._descriptor

    def _emit(self, text):
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # Nobody reads the log: a request is not to fail for that.
            pass


errors = ErrorStream()


def report_failure(environ, what):
    """Writes the exception in flight with the request that it belongs to, if it belongs to one. `what` says what failed."""
    kind, exception, frames = sys.exc_info()
    if environ:
        what += ": %s %s" % tuple(ascii(environ.get(name, "-"))[1:-1] for name in ("REQUEST_METHOD", "RAW_URI"))
    lines = traceback.format_exception(kind, exception, outside(frames) or frames)
    errors.write("%s\n%s" % (what, "".join(lines)))


def outside(frames):
    """The traceback from the first frame that is not the worker's own, or None."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith("<maitred>"):
        frames = frames.tb_next
    return frames
