"""A plain WSGI application that shows one thing at each path: what black-box tests and load tests ask for.

`app:application` is the probe, `app:validated` the same inside wsgiref's validator (PEP 3333), `app:hello` a bare hello world, `app:spin` computes.
Some paths hurt on purpose: they hang, crash or end the worker that runs them.
"""

import ctypes
import json
import os
import sys
import tempfile
import time
from urllib.parse import parse_qsl
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain; charset=utf-8")]
FILE_BYTES = 300_000

closed = 0
pages = []


def hello(environ, start_response):
    """13 bytes, nothing else: the application for load tests."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]


def page(environ, start_response):
    """The file that PROBE_PAGE names, kept in memory: the application for load tests of compression."""
    if not pages:
        with open(os.environ["PROBE_PAGE"], "rb") as file:
            pages.append(file.read())
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(pages[0])))])
    return [pages[0]]


def spin(environ, start_response):
    """Some milliseconds of computing in Python: the application for load tests of threads."""
    total = 0
    for number in range(50_000):
        total += number * number % 7
    body = b"%d" % total
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def environ_json(environ, start_response):
    """All of the environ whose values are JSON's: strings, numbers, flags, and tuples as lists."""
    plain = {key: value for key, value in environ.items() if isinstance(value, (str, int, bool, tuple))}
    plain["(types)"] = {key: type(value).__name__ for key, value in environ.items()}
    body = json.dumps(plain, sort_keys=True).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def echo(environ, start_response):
    """The request's body, read at once."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def echo_all(environ, start_response):
    """The request's body, read to its end without asking for its length (chunked bodies too)."""
    body = b"".join(iter(lambda: environ["wsgi.input"].read(8192), b""))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def count(environ, start_response):
    """How many bytes the request's body has, read in pieces of 64 KiB."""
    pieces = iter(lambda: environ["wsgi.input"].read(65536), b"")
    body = str(sum(len(piece) for piece in pieces)).encode()
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def readline(environ, start_response):
    """What readline, readline(n), readlines, iteration and read give, in this order, as JSON."""
    source = environ["wsgi.input"]
    parts = {"readline": source.readline().decode("latin-1"), "readline_5": source.readline(5).decode("latin-1")}
    parts["read_3"] = source.read(3).decode("latin-1")
    parts["next"] = next(iter(source), b"").decode("latin-1")
    parts["readlines"] = [line.decode("latin-1") for line in source.readlines()]
    parts["after"] = source.read(1).decode("latin-1")
    body = json.dumps(parts).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def unread(environ, start_response):
    """Answers without reading the request's body."""
    start_response("200 OK", TEXT)
    return [b"not read"]


def stream(environ, start_response, n="3", size="5", delay="0"):
    """`n` pieces of `size` bytes, `delay` seconds before each but the first, without a Content-Length."""
    start_response("200 OK", TEXT)

    def pieces():
        for number in range(int(n)):
            if number and float(delay):
                time.sleep(float(delay))
            yield bytes([ord("a") + number % 26]) * int(size)

    return pieces()


def sleep(environ, start_response, s="1"):
    """Answers after `s` seconds; X-Pid names the worker process."""
    time.sleep(float(s))
    start_response("200 OK", [*TEXT, ("Content-Length", "5"), ("X-Pid", str(os.getpid()))])
    return [b"slept"]


def work(environ, start_response, cpu="0.002", s="0.008"):
    """Uses the processor for `cpu` seconds and waits for `s` seconds, as a page with a database does."""
    end = time.thread_time() + float(cpu)
    while time.thread_time() < end:
        pass
    time.sleep(float(s))
    start_response("200 OK", [*TEXT, ("Content-Length", "6")])
    return [b"worked"]


def sized(environ, start_response, n="1024"):
    """`n` bytes with a Content-Length."""
    body = b"x" * int(n)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def file(environ, start_response, length="yes", offset="0"):
    """A file of 300,000 bytes (byte i is i mod 251) through wsgi.file_wrapper, read from `offset` on."""
    handle = tempfile.TemporaryFile()
    handle.write(bytes(number % 251 for number in range(FILE_BYTES)))
    handle.seek(int(offset))
    fields = [("Content-Type", "application/octet-stream")]
    if length == "yes":
        fields.append(("Content-Length", str(FILE_BYTES - int(offset))))
    start_response("200 OK", fields)
    return environ["wsgi.file_wrapper"](handle, 65536)


def raises(environ, start_response):
    """An exception before the response began."""
    raise RuntimeError("raised on purpose")


def raises_after_start(environ, start_response):
    """An exception after the first piece left."""
    start_response("200 OK", TEXT)

    def pieces():
        yield b"one"
        raise RuntimeError("raised on purpose after the start")

    return pieces()


def exc_info(environ, start_response, late="no"):
    """Replaces the response's head through exc_info; with `late=yes` a piece has left, so start_response must raise again."""

    def pieces():
        start_response("200 OK", [*TEXT, ("X-First", "yes")])
        if late == "yes":
            yield b"one"
        try:
            raise ValueError("replaced on purpose")
        except ValueError:
            start_response("503 Service Unavailable", [*TEXT, ("X-Second", "yes")], sys.exc_info())
        yield b"replaced"

    return pieces()


def write(environ, start_response):
    """Sends through the callable that start_response returns, then through the iterable."""
    send = start_response("200 OK", TEXT)
    send(b"written ")
    send(b"twice, ")
    return [b"then returned"]


def status(environ, start_response, code="204", reason="Chosen"):
    """Answers with the status `code`."""
    bodiless = code in ("204", "304")
    start_response(f"{code} {reason}", [] if bodiless else TEXT)
    return [] if bodiless else [b"status " + code.encode()]


def headers(environ, start_response, **fields):
    """Each query parameter becomes a response field."""
    start_response("200 OK", [*TEXT, *((name, value) for name, value in fields.items())])
    return [b"headers"]


def pid(environ, start_response):
    """The worker's process id."""
    start_response("200 OK", TEXT)
    return [str(os.getpid()).encode()]


def errors(environ, start_response, text="written to wsgi.errors"):
    """Writes a line to wsgi.errors."""
    environ["wsgi.errors"].write(text + "\n")
    environ["wsgi.errors"].flush()
    start_response("200 OK", TEXT)
    return [b"logged"]


def prints(environ, start_response, text="printed"):
    """Writes a line to the worker's stdout and one to its stderr."""
    print(text, "out", flush=True)
    print(text, "err", file=sys.stderr, flush=True)
    start_response("200 OK", TEXT)
    return [b"printed"]


def stuck(environ, start_response):
    """Never answers, whatever happens around it."""
    while True:
        pass


def exits(environ, start_response, code="7"):
    """Ends the worker without a word."""
    os._exit(int(code))


def segv(environ, start_response):
    """Crashes the worker with SIGSEGV."""
    ctypes.string_at(0)


class Closing:
    """An iterable that counts its close()."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self.pieces

    def close(self):
        """Called once a response, also when it failed or its client left (PEP 3333)."""
        global closed
        closed += 1


def close(environ, start_response, mode="list", n="1000", size="65536"):
    """An iterable with close(): a short one, an endless-looking one (`mode=long`), or one that raises (`mode=raise`)."""
    start_response("200 OK", TEXT)

    def pieces():
        yield b"closing"
        if mode == "raise":
            raise RuntimeError("raised on purpose before close")
        if mode == "long":
            for _ in range(int(n)):
                yield b"x" * int(size)

    return Closing(pieces())


def closes(environ, start_response):
    """How often this worker process called close()."""
    start_response("200 OK", TEXT)
    return [str(closed).encode()]


def bad_length(environ, start_response, mode="short"):
    """Promises 10 bytes and sends 5 (`short`) or 15 (`long`)."""
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"12345"] * (1 if mode == "short" else 3)


def no_start(environ, start_response):
    """Never calls start_response."""
    return [b"headless"]


def empty(environ, start_response):
    """A 200 without any body."""
    start_response("200 OK", TEXT)
    return []


def not_found(environ, start_response):
    """What every other path gets."""
    start_response("404 Not Found", TEXT)
    return [b"no such probe"]


PATHS = {
    "/": hello,
    "/bad-length": bad_length,
    "/bytes": sized,
    "/close": close,
    "/closed": closes,
    "/count": count,
    "/echo": echo,
    "/echo-all": echo_all,
    "/empty": empty,
    "/environ": environ_json,
    "/errors": errors,
    "/exc-info": exc_info,
    "/exit": exits,
    "/file": file,
    "/headers": headers,
    "/hello": hello,
    "/no-start": no_start,
    "/pid": pid,
    "/print": prints,
    "/raise": raises,
    "/raise-after-start": raises_after_start,
    "/readline": readline,
    "/segv": segv,
    "/sleep": sleep,
    "/status": status,
    "/stream": stream,
    "/stuck": stuck,
    "/unread": unread,
    "/work": work,
    "/write": write,
}


def application(environ, start_response):
    """Hands the request to the probe of its path; the query gives the probe's parameters."""
    probe = PATHS.get(environ.get("PATH_INFO", ""), not_found)
    if probe is environ_json:
        return probe(environ, start_response)
    return probe(environ, start_response, **dict(parse_qsl(environ.get("QUERY_STRING", ""))))


validated = validator(application)
