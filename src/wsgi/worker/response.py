"""One response: from `start_response` and the application's iterable to messages for the shard.

Owns the order of a response's messages: HEAD first, exactly one with END, or ABORT, last. Leaves HTTP's framing, the reason
phrase and hop-by-hop fields to the shard. Called by `serve`.
"""
import array
import re
import socket
from time import monotonic, monotonic_ns

from .credit import CREDIT_AFTER_S, Credit
from .errors import report_failure
from .files import FileWrapper, plain_file
from .interrupt import RequestTimeout
from .protocol import (
    ABORT,
    BODY,
    END,
    FILE,
    HEAD,
    HINTS,
    LOST,
    OVERDUE,
    PAYLOAD_BYTES_MAX,
    WINDOW_BYTES,
    ClientGone,
    ServerGone,
    pack_file,
    pack_header,
)
from .scoreboard import STARTED_NS

# A final status and its reason phrase, which PEP 3333 puts one space behind it (RFC 9112 section 4).
_STATUS = re.compile(r"[2-9][0-9]{2}(?: [\t -~\x80-\xff]*)?").fullmatch
# Names, which are tokens, and values without control characters (RFC 9110 sections 5.1, 5.5), each name with a NUL behind it.
_FIELDS = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+\0[\t -~\x80-\xff]*\r\n)*").fullmatch

# Statuses without a body (RFC 9110 sections 15.3.5, 15.4.5).
_BODILESS = frozenset((204, 304))

_FAILED_FIELDS = b"Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
_FAILED_BODY = (
    b'<!doctype html>\n<html lang="en">\n<head><title>Server Error (500)</title></head>\n'
    b"<body><h1>Server Error (500)</h1></body>\n</html>\n"
)


class Response:
    """The answer to one request. New for each, so that a `start_response` kept too long can harm nobody else."""

    # Most responses set only the first few of these: the rest stay with the class.
    token = 0
    replies = None  # the shard's reply socket
    head_only = False  # the request's method is HEAD
    status = 0
    reason = b""  # the reason phrase as a line, if it is not OK's (src/http/app.rs)
    fields = None  # encoded field lines with the closing empty line
    declared = None  # Content-Length as the application gave it
    started = False  # the head has been sent
    ended = False  # the last message has been sent
    sent = 0  # bytes of the body
    began = 0.0  # when the head was sent, if that was not the end
    allowed = WINDOW_BYTES  # bytes of the body that may be sent in all
    credit = None
    words = None  # the thread's slot of the scoreboard

    def __init__(self, replies, token, head_only):
        self.replies = replies
        self.token = token
        if head_only:
            self.head_only = True

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333, "The start_response() Callable"."""
        if exc_info is not None:
            try:
                if self.started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.fields is not None:
            raise AssertionError("start_response() was called a second time without exc_info")
        if not _STATUS(status):
            raise ValueError("not a status line of a final response: %r" % (status,))
        text = _field_lines(headers)
        declared = _content_length(text.lower())
        reason = b"" if status == "200 OK" or not status[4:] else b":%b\r\n" % status[4:].encode("latin-1")
        fields = (text + "\r\n").encode("latin-1")
        if len(reason) + len(fields) > PAYLOAD_BYTES_MAX - 64:
            raise ValueError("the headers are too large: %d bytes" % len(fields))
        self.declared = declared
        self.status = int(status[:3])
        self.reason = reason
        self.fields = fields
        return self.write

    def early_hints(self, headers):
        """`wsgi.early_hints`: has the client told of these fields at once, in a response with status 103 (RFC 8297), if it knows of such. Harmless
        once the final response has begun."""
        # Gunicorn takes bytes, too.
        lines = _field_lines([(_text(name), _text(value)) for name, value in headers])
        if self.started or self.ended:
            return
        fields = (lines + "\r\n").encode("latin-1")
        if len(fields) > PAYLOAD_BYTES_MAX:
            raise ValueError("the hints are too large: %d bytes" % len(fields))
        self._transmit(HINTS, 0, 103, fields, b"")

    def write(self, data):
        """The imperative way to send a body: leaves at once."""
        if not isinstance(data, bytes):
            raise TypeError("write() takes bytes, not %s" % type(data).__name__)
        if data and not self.ended:
            self._emit(data)

    def send_list(self, chunks):
        """Sends a body that is complete, with its length."""
        if len(chunks) == 1:
            body = chunks[0]
            if not isinstance(body, bytes):
                raise TypeError("the body must be bytes, not %s" % type(body).__name__)
        else:
            body = b"".join(chunks)
        fields = self.fields
        if fields is None:
            raise AssertionError("the application did not call start_response()")
        if self.started:
            self.write(body)
            self._finish()
            return
        status = self.status
        if status in _BODILESS:
            body = b""
        else:
            # No body may mean that the application left it out because of HEAD: then its length is not known.
            if self.declared is None and (body or not self.head_only):
                self.declared = len(body)
                self.fields = fields = b"Content-Length: %d\r\n%b" % (self.declared, fields)
            if self.head_only:
                body = b""
        fields = self.reason + fields
        length = len(fields)
        if length + len(body) > PAYLOAD_BYTES_MAX:
            self._emit(body)
            self._finish()
            return
        try:
            self.replies.send(pack_header(self.token, HEAD, END, status, length) + fields + body)
        except ConnectionError:
            raise ServerGone from None
        self.started = self.ended = True
        self.sent = len(body)

    def send_stream(self, chunks):
        """Sends each chunk as it comes."""
        for chunk in chunks:
            if chunk:
                # Beyond the end: only an iterable that has nothing more to say is heard out.
                if self.ended:
                    return
                if not isinstance(chunk, bytes):
                    raise TypeError("the body's chunks must be bytes, not %s" % type(chunk).__name__)
                self._emit(chunk)
        self._finish()

    def send_file(self, wrapper):
        """Hands a plain file over to the shard; reads what is not one."""
        plain = None if self.started or self.fields is None else plain_file(wrapper.filelike)
        if plain is None:
            self.send_stream(wrapper)
            return
        descriptor, offset, count = plain
        if self.declared is None:
            if self.status not in _BODILESS:
                self.fields = b"Content-Length: %d\r\n%b" % (count, self.fields)
        else:
            count = min(count, self.declared)
        self.started = True
        if not count or self._is_bodiless():
            self._transmit(HEAD, END, self.status, self.reason + self.fields, b"")
            return
        self._transmit(HEAD, 0, self.status, self.reason + self.fields, b"")
        self.sent = count
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self._transmit(FILE, END, 0, b"", pack_file(offset, count), ancillary)

    def fail(self):
        """Ends a response whose application failed: with a 500 if the client has seen nothing yet."""
        if self.ended:
            return
        if self.started:
            self._transmit(ABORT, END, 0, b"", b"")
            return
        body = b"" if self.head_only else _FAILED_BODY
        self._transmit(HEAD, END, 500, _FAILED_FIELDS % len(_FAILED_BODY), body)

    def lapse(self):
        """Ends a response that took too long: the shard says so to the client, if that has seen nothing yet."""
        if not self.ended:
            self._transmit(LOST, END, OVERDUE, b"", b"")

    def release(self):
        """Closes what the response holds. No more can be sent."""
        self.ended = True
        if self.credit is not None:
            self.credit.close()
            self.credit = None

    def _is_bodiless(self):
        return self.head_only or self.status in _BODILESS

    def _emit(self, data):
        """Sends bytes of the body, behind the head if that is still here. With the last declared byte the response ends."""
        kind, status, fields = BODY, 0, b""
        if not self.started:
            if self.fields is None:
                raise AssertionError("the body came before start_response()")
            kind, status, fields = HEAD, self.status, self.reason + self.fields
            self.started = True
            if self._is_bodiless():
                self._transmit(HEAD, END, status, fields, b"")
                return
            self.began = monotonic()
        end = END if self.declared is not None and self.sent + len(data) >= self.declared else 0
        room = PAYLOAD_BYTES_MAX - len(fields)
        if len(data) <= room:
            self._transmit_body(kind, end, status, fields, data)
            return
        with memoryview(data) as rest:
            while True:
                piece = rest[:room]
                rest = rest[room:]
                self._transmit_body(kind, 0 if rest else end, status, fields, piece)
                if not rest:
                    return
                kind, status, fields, room = BODY, 0, b"", PAYLOAD_BYTES_MAX

    def _transmit_body(self, kind, flags, status, fields, data):
        """Waits for the right to send if the window is full."""
        count = len(data)
        credit = self.credit
        if credit is not None:
            self.allowed += credit.take(False)
        elif self.sent + count > self.allowed or (kind == BODY and monotonic() - self.began > CREDIT_AFTER_S):
            try:
                self.credit = credit = Credit(self.replies, self.token)
            except ConnectionError:
                raise ServerGone from None
        while self.sent + count > self.allowed:
            self.allowed += credit.take(True)
            # The wait was the client's: the application's time begins anew.
            self.words[STARTED_NS] = monotonic_ns()
        self.sent += count
        self._transmit(kind, flags, status, fields, data)

    def _transmit(self, kind, flags, status, fields, data, ancillary=()):
        try:
            self.replies.sendmsg([pack_header(self.token, kind, flags, status, len(fields)), fields, data], ancillary)
        except ConnectionError:
            raise ServerGone from None
        if flags:
            self.ended = True

    def _finish(self):
        """Sends the last message if nothing before it was the last."""
        if self.ended:
            return
        if self.started:
            self._transmit(BODY, END, 0, b"", b"")
            return
        if self.fields is None:
            raise AssertionError("the application did not call start_response()")
        if self.declared is None and not self._is_bodiless():
            self.fields = b"Content-Length: 0\r\n" + self.fields
        self.started = True
        self._transmit(HEAD, END, self.status, self.reason + self.fields, b"")


def _field_lines(headers):
    """The lines of (name, value) pairs. Raises ValueError or TypeError where they are not well-formed: nothing can be smuggled into a head."""
    headers = list(headers)
    text = "".join([name + "\0" + value + "\r\n" for name, value in headers])
    if text.count("\0") != len(headers) or not _FIELDS(text):
        # The names only: a value may be a secret.
        names = [name for name, value in headers if not _FIELDS("%s\0%s\r\n" % (name, value))]
        raise ValueError("a name is no token or a value has a control character: %s" % ", ".join(map(ascii, names)))
    return text.replace("\0", ": ")


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _content_length(text):
    """The Content-Length among field lines in lower case, or None. Raises ValueError when it is not one number (RFC 9110
    section 8.6)."""
    start = text.find("content-length:")
    if start > 0:
        # Not in the middle of another name or of a value.
        start = text.find("\ncontent-length:") + 1 or -1
    if start < 0:
        return None
    end = text.index("\r", start)
    value = text[start + 15 : end].strip(" \t")
    if not (value.isascii() and value.isdigit()) or "\ncontent-length:" in text[end:]:
        raise ValueError("Content-Length must be given once, as a number")
    return int(value)


def respond(application, environ, response):
    """Calls the application and sends what it answers. Returns the exception that ends the worker, or None. Raises nothing."""
    try:
        result = application(environ, response.start_response)
    except BaseException as failure:
        return _failed(failure, environ, response)
    return deliver(result, environ, response)


def deliver(result, environ, response):
    """Sends what the application returned. Returns the exception that ends the worker, or None. Raises nothing.

    `close()` of the result is called exactly once, after everything else.
    """
    fatal = None
    try:
        kind = type(result)
        if kind is list or kind is tuple:
            response.send_list(result)
            return None
        if kind is FileWrapper:
            response.send_file(result)
        elif getattr(result, "streaming", True) is False:
            # Django's HttpResponse: all of it is there.
            response.send_list(list(result))
        else:
            response.send_stream(result)
    except BaseException as failure:
        fatal = _failed(failure, environ, response)
    if result is not None:
        try:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        except BaseException as failure:
            report_failure(environ, "close() of the response failed")
            fatal = fatal or _fatal(failure)
    return fatal


def fail(failure, environ, response):
    """Ends a response whose application raised `failure`. Returns the exception that ends the worker, or None."""
    try:
        raise failure
    except BaseException as failure:
        return _failed(failure, environ, response)


def _failed(failure, environ, response):
    if isinstance(failure, ServerGone):
        # Our caller exits; the result is closed first.
        return failure
    is_late = isinstance(failure, RequestTimeout)
    if not isinstance(failure, ClientGone):
        report_failure(environ, "the application was interrupted" if is_late else "the application failed")
    try:
        if is_late:
            response.lapse()
        else:
            response.fail()
    except (ServerGone, OSError) as gone:
        return gone
    return _fatal(failure)


def _fatal(failure):
    """Failures that the application means to end the process with."""
    return failure if isinstance(failure, (SystemExit, KeyboardInterrupt, ServerGone)) else None
