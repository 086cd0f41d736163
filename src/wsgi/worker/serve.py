"""The loop of a worker thread: take a message, call the application, answer, again.

Owns the hot path and the order of its notes in the scoreboard. Knows nothing of signals or of other threads: whoever wants
it to stop makes `receive` raise Leave or return nothing (end of file). The same loop in C is src/wsgi/native; this one is the
reference, and what runs where that cannot.
"""
import array
import os
import socket
from io import BytesIO
from marshal import loads
from time import monotonic_ns

from .errors import errors, report_failure
from .files import FileWrapper
from .interrupt import RequestTimeout
from .protocol import ABORT, END, HEADER_BYTES, LOST, MESSAGE_BYTES_MAX, OVERDUE, RELEASE, ServerGone, pack_header
from .request import InputFile, spooled_input
from .response import Response, respond
from .scoreboard import DONE, INTERRUPT, SHARD, STARTED_NS, TOKEN

# One descriptor can come with a message.
ANCILLARY_BYTES = socket.CMSG_SPACE(4)


class Leave(BaseException):
    """Raised out of `receive` when a thread without a request is to stop."""


def constants(settings):
    """The part of the environ that is the same for all requests."""
    return {
        "wsgi.version": (1, 0),
        "wsgi.errors": errors,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.multithread": settings["threads"] > 1,
        "wsgi.multiprocess": settings["multiprocess"],
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "maitred.request_timeout": RequestTimeout,
        "SERVER_SOFTWARE": settings["server_software"],
    }


def serve(receive, slot, replies, application, shared_environ, settle, answering=None):
    """Answers requests until there are no more. Returns the exception that ends the worker, or None.

    `receive` has the signature of `socket.recvmsg_into`; `replies` are the shards' sockets. Between a message's arrival and
    the slot's clearing of its token, the request is this thread's to answer. `settle` is called after a request that was to be
    interrupted. `answering` stands in for `answer`.
    """
    yield_to_shards()
    own = os.getpid()
    while True:
        try:
            return _exchanges(receive, slot, replies, application, shared_environ, settle, answering or answer)
        except RequestTimeout:
            if os.getpid() != own:
                end_copy(None)
            fatal = give_up(slot.words, replies, settle)
            if fatal is not None:
                return fatal


def end_copy(fatal):
    """Ends a process that the application has forked and that has come back here: the slot is its parent's, and the next requests are, too. `fatal` may
    be the SystemExit that it has raised."""
    errors.flush()
    code = getattr(fatal, "code", None)
    os._exit(code if isinstance(code, int) else 0)


def give_up(words, replies, settle):
    """Ends a request that was interrupted in our own code, where nobody knows what of its answer is said. Returns what ends the
    worker, or None."""
    token = words[TOKEN]
    try:
        if token:
            # After the end of an answer this is not heard.
            replies[words[SHARD]].send(pack_header(token, LOST, END, OVERDUE, 0))
            words[DONE] += 1
            words[STARTED_NS] = 0
            words[TOKEN] = 0
    except OSError:
        return ServerGone()
    settle()
    return None


def _exchanges(receive, slot, replies, application, shared_environ, settle, answering):
    content = bytearray(MESSAGE_BYTES_MAX)
    # The kernel writes a message's header into the slot (scoreboard.py) and what follows here.
    buffers = [slot.header, content]
    words = slot.words
    cloexec = socket.MSG_CMSG_CLOEXEC
    done = words[DONE]
    own = os.getpid()
    while True:
        try:
            received, ancillary, flags, _ = receive(buffers, ANCILLARY_BYTES, cloexec)
        except Leave:
            return None
        if not received:
            return None
        words[STARTED_NS] = monotonic_ns()
        descriptors = _descriptors(ancillary) if ancillary else ()
        try:
            if received < HEADER_BYTES:
                raise ValueError("the message has no header")
            if flags & socket.MSG_TRUNC:
                raise ValueError("the message is too large")
            # Without what a longer message before it left in the buffer.
            body, environ = loads(content[: received - HEADER_BYTES])
            environ.update(shared_environ)
            environ["REQUEST_METHOD"]
        except Exception as failure:
            if received < HEADER_BYTES:
                fatal = refuse(None, None, descriptors, failure)
            else:
                fatal = refuse(words[TOKEN], replies[words[SHARD]], descriptors, failure)
        else:
            fatal = answering(environ, body, descriptors, words, replies[words[SHARD]], application)
            if os.getpid() != own:
                end_copy(fatal)
        if isinstance(fatal, OSError):
            # The answer could not be sent: the token stays, so that the server learns whose request this was.
            return fatal
        done += 1
        words[DONE] = done
        words[STARTED_NS] = 0
        words[TOKEN] = 0
        if words[INTERRUPT]:
            settle()
        if fatal is not None:
            return fatal


def yield_to_shards():
    """Makes the calling thread one that does not interrupt others when it wakes (SCHED_BATCH, sched(7)).

    On a busy CPU a shard that has sent one request goes on to send the next ones, instead of waiting while this thread answers
    the first. What the application starts is scheduled as usual.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH | os.SCHED_RESET_ON_FORK, os.sched_param(0))
    except (AttributeError, OSError):
        # Not this platform, or not permitted: slower under load, nothing else.
        pass


def answer(environ, body, descriptors, words, replies, application):
    """Answers one request: `body` is as it came, `environ` lacks only `wsgi.input`. Returns what ends the worker, or None."""
    # An input of its own even without a body: an application may close it.
    spooled = None
    if body is None:
        body_input = BytesIO()
    elif type(body) is bytes:
        body_input = BytesIO(body)
    else:
        try:
            if type(body) is not int:
                raise TypeError("a body is bytes or a length, not %s" % type(body).__name__)
            spooled, body_input = spooled_input(_only(descriptors), body)
        except (OSError, TypeError, ValueError) as failure:
            return refuse(words[TOKEN], replies, descriptors, failure, environ)
        descriptors = ()
        environ["maitred.input_file"] = InputFile(spooled)
    environ["wsgi.input"] = body_input
    token = words[TOKEN]
    response = Response(replies, token, environ["REQUEST_METHOD"] == "HEAD")
    response.words = words
    environ["wsgi.early_hints"] = response.early_hints
    fatal = respond(application, environ, response)
    response.release()
    if spooled is not None:
        close_spooled(body_input, spooled, token, replies)
    for surplus in descriptors:
        os.close(surplus)
    return fatal


def refuse(token, replies, descriptors, failure, environ={}):
    """Reports a message that we cannot use, such as one whose descriptor the kernel dropped because we have too many open.

    Gives its token up, unless that did not come either. Returns what ends the worker, or None.
    """
    for descriptor in descriptors:
        os.close(descriptor)
    try:
        raise failure
    except Exception:
        report_failure(environ, "the request could not be taken")
    if token is None:
        return None
    try:
        replies.send(pack_header(token, ABORT, END, 0, 0))
    except OSError:
        return ServerGone()
    return None


def _descriptors(ancillary):
    """The descriptors that came with a message."""
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data)
    return descriptors


def _only(descriptors):
    """The one descriptor of a message."""
    if len(descriptors) != 1:
        raise ValueError("a spooled body came with %d descriptors" % len(descriptors))
    return descriptors[0]


def close_spooled(body_input, spooled, token, replies):
    """Closes what a body was read from when its request is over, and gives it back."""
    _close(body_input)
    if spooled is not body_input:
        # The application may have parted the two.
        _close(spooled)
    if spooled.is_lent:
        try:
            replies.send(pack_header(token, RELEASE, 0, 0, 0))
        except OSError:
            # Whether the server is gone the next message tells; else it lets go of the memory after a while.
            pass


def _close(body_input):
    try:
        body_input.close()
    except (AttributeError, OSError, ValueError):
        # The application detached the buffer or closed the descriptor behind our back.
        pass
