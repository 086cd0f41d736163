"""The application behind the comparison with Gunicorn: the same requests reach it through both servers.

What it sees and what becomes of its calls it notes; `/noted` gives the notes away and begins anew, `/names` says what there is. Only the standard library is used.
"""

import io
import json
import sys
import tempfile
import threading

notes = []
lock = threading.Lock()
PLAIN = ("Content-Type", "text/plain")
FROM_APP = ("X-App", "yes")


def note(text):
    with lock:
        notes.append(text)


def application(environ, start_response):
    """`/noted`, or `/AREA/NAME`: what the area has under this name."""
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    if path == "/noted":
        with lock:
            body = json.dumps(notes).encode()
            notes.clear()
        start_response("200 OK", [PLAIN, ("Content-Length", str(len(body)))])
        return [body]
    if path == "/names":
        body = json.dumps({area: list(probes) for area, probes in AREAS.items()}).encode()
        start_response("200 OK", [PLAIN, ("Content-Length", str(len(body)))])
        return [body]
    area, _, name = path.strip("/").partition("/")

    def start(status, headers, exc_info=None):
        try:
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)
        except BaseException as failure:
            note("start_response refused" if failure is not (exc_info or (0, 0))[1] else "start_response raised it again")
            raise

    return AREAS.get(area, {}).get(name, show_environ)(environ, start)


# What PEP 3333 asks for.
METHODS = {"wsgi.input": ("read", "readline", "readlines", "__iter__"), "wsgi.errors": ("write", "writelines", "flush")}


def show_environ(environ, start_response):
    """The environ, key by key; of what is no plain value, what it can do."""
    seen = {}
    for key, value in environ.items():
        if type(value) in (str, bool, int):
            seen[key] = value
        elif type(value) is tuple:
            seen[key] = list(value)
        else:
            wanted = METHODS.get(key, ("__call__",))
            seen[key] = " ".join(name for name in wanted if callable(getattr(value, name, None)))
    seen["(type)"] = type(environ).__name__
    seen["(keys)"] = all(type(key) is str for key in environ)
    # Wrappers are classes: what counts is what they make.
    seen["wsgi.file_wrapper"] = b"".join(environ["wsgi.file_wrapper"](io.BytesIO(b"abc"), 2)).decode()
    body = json.dumps(seen).encode()
    start_response("200 OK", [FROM_APP, PLAIN, ("Content-Length", str(len(body)))])
    return [body]


def echo(take):
    """Answers with what `take` gets out of the body."""

    def probe(environ, start_response):
        try:
            taken = take(environ["wsgi.input"])
        except BaseException:
            note("reading failed")
            raise
        body = json.dumps(taken, default=lambda data: data.decode("latin-1")).encode()
        start_response("200 OK", [FROM_APP, PLAIN, ("Content-Length", str(len(body)))])
        return [body]

    return probe


BODIES = {
    "read": echo(lambda source: [source.read(), source.read(), source.read(1)]),
    "read-none": echo(lambda source: [source.read(None), source.read(None)]),
    "read-minus": echo(lambda source: [source.read(-1), source.read(-1)]),
    "read-0": echo(lambda source: [source.read(0), source.read(3), source.read(0), source.read()]),
    "read-3": echo(lambda source: list(iter(lambda: source.read(3), b""))),
    "read-huge": echo(lambda source: [source.read(1 << 40), source.read(1)]),
    "readline": echo(lambda source: list(iter(source.readline, b""))),
    "readline-3": echo(lambda source: list(iter(lambda: source.readline(3), b""))),
    "readline-0": echo(lambda source: [source.readline(0), source.readline()]),
    "readline-none": echo(lambda source: [source.readline(None), source.readline(-1)]),
    "readlines": echo(lambda source: [source.readlines(), source.readlines(), source.read()]),
    "readlines-1": echo(lambda source: source.readlines(1) + source.readlines()),
    "iterate": echo(lambda source: [list(source), list(source)]),
    "next": echo(lambda source: [next(iter(source)), next(iter(source)), source.read(2), source.readline(), source.read()]),
    "mixed": echo(lambda source: [source.read(2), source.readline(), source.readline(2), source.readlines(), source.read()]),
    "count": echo(lambda source: [len(source.read()), len(source.read())]),
    "count-pieces": echo(lambda source: sum(map(len, iter(lambda: source.read(8192), b"")))),
    "nothing": echo(lambda source: "left alone"),
    "some": echo(lambda source: source.read(2)),
    "close": echo(lambda source: [source.read(2), getattr(source, "close", lambda: None)() and 0]),
    "bad-size": echo(lambda source: source.read("3")),
}


class Closing:
    """An iterable that notes its end."""

    def __init__(self, pieces, fails=False):
        self.pieces = iter(pieces)
        self.fails = fails

    def __iter__(self):
        return self.pieces

    def close(self):
        note("closed")
        if self.fails:
            raise RuntimeError("close() fails on purpose")


class OldSequence:
    """Iterable by __getitem__ alone."""

    def __getitem__(self, index):
        return [b"one ", b"two"][index]


class Measured(Closing):
    """One piece, and says so."""

    def __len__(self):
        return 1


def answering(result, headers=(), status="200 OK"):
    """Answers with `result`, or with what it makes of the environ."""

    def probe(environ, start_response):
        start_response(status, [FROM_APP, PLAIN, *headers])
        return result(environ) if callable(result) else result

    return probe


def written(*pieces, then=(), headers=()):
    """Sends pieces by write(), then returns others."""

    def probe(environ, start_response):
        write = start_response("200 OK", [FROM_APP, PLAIN, *headers])
        for piece in pieces:
            write(piece)
        return Closing(then)

    return probe


def length(count):
    return [("Content-Length", str(count))]


def failing(*pieces):
    yield from pieces
    note("fails")
    raise RuntimeError("fails on purpose")


def fail(environ, start_response):
    raise RuntimeError("fails on purpose")


def fail_after_start(environ, start_response):
    start_response("200 OK", [FROM_APP, PLAIN])
    raise RuntimeError("fails on purpose")


def fail_after_write(environ, start_response):
    start_response("200 OK", [FROM_APP, PLAIN])(b"written")
    raise RuntimeError("fails on purpose")


def late_start(environ, start_response):
    start_response("200 OK", [FROM_APP, PLAIN])
    yield b"late"


def never_start(environ, start_response):
    return Closing([b"headless"])


def start_twice(environ, start_response):
    start_response("200 OK", [FROM_APP, PLAIN])
    start_response("201 Created", [FROM_APP, PLAIN])
    return [b"twice"]


def replaced(pieces, error=("503 Service Unavailable", [FROM_APP, PLAIN, ("X-Second", "yes")])):
    """Starts anew with exc_info after these pieces."""

    def probe(environ, start_response):
        start_response("200 OK", [FROM_APP, PLAIN, ("X-First", "yes")])
        yield from pieces
        try:
            raise RuntimeError("replaced on purpose")
        except RuntimeError:
            start_response(*error, sys.exc_info())
        yield b"replaced"

    return probe


def replaced_at_once(environ, start_response):
    try:
        raise RuntimeError("replaced on purpose")
    except RuntimeError:
        start_response("500 First And Last", [FROM_APP, PLAIN, *length(8)], sys.exc_info())
    return [b"replaced"]


def changed_list(environ, start_response):
    headers = [FROM_APP, PLAIN, *length(3)]
    start_response("200 OK", headers)
    headers.append(("X-Late", "yes"))
    return [b"abc"]


def file_of(count, offset=0, block=8192):
    """A file of so many bytes behind the server's wrapper."""

    def result(environ):
        file = tempfile.TemporaryFile()
        file.write(bytes(at % 251 for at in range(count)))
        file.seek(offset)
        file = Noted(file)
        return environ["wsgi.file_wrapper"](file.plain, block)

    return result


class Noted:
    """Keeps the file a plain one."""

    def __init__(self, plain):
        self.plain = plain


class Loose:
    """Something like a file without a descriptor, that notes its end."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read

    def close(self):
        note("file closed")


def wrapped(make):
    return lambda environ: environ["wsgi.file_wrapper"](make(), 4)


LONG = b"0123456789abcdef" * 20_000

ANSWERS = {
    "list": answering([b"abc"], length(3)),
    "list-of-two": answering([b"abc", b"def"], length(6)),
    "list-with-empty": answering([b"", b"abc", b"", b"def", b""], length(6)),
    "tuple": answering((b"abc",), length(3)),
    "no-piece": answering([], length(0)),
    "empty-piece": answering([b""], length(0)),
    "long": answering([LONG], length(len(LONG))),
    "long-pieces": answering(lambda _: Closing([LONG] * 4), length(4 * len(LONG))),
    "long-pieces-unknown": answering(lambda _: Closing([LONG] * 4)),
    "list-unknown": answering([b"abc"]),
    "list-of-two-unknown": answering([b"abc", b"def"]),
    "no-piece-unknown": answering([]),
    "empty-piece-unknown": answering([b""]),
    "generator": answering(lambda _: (piece for piece in [b"abc", b"def"]), length(6)),
    "generator-unknown": answering(lambda _: (piece for piece in [b"abc", b"", b"def"])),
    "generator-of-nothing": answering(lambda _: iter([])),
    "sequence": answering(lambda _: OldSequence(), length(7)),
    "measured": answering(lambda _: Measured([b"abc"])),
    "closing": answering(lambda _: Closing([b"abc"]), length(3)),
    "closing-unknown": answering(lambda _: Closing([b"abc", b"def"])),
    "closing-of-nothing": answering(lambda _: Closing([])),
    "closing-fails": answering(lambda _: Closing([b"abc"], fails=True), length(3)),
    "write": written(b"abc", b"def", headers=length(6)),
    "write-unknown": written(b"abc", b"def"),
    "write-then-return": written(b"abc", then=[b"def"], headers=length(6)),
    "write-then-return-unknown": written(b"abc", then=[b"def"]),
    "write-empty": written(b"", then=[b"def"], headers=length(3)),
    "write-str": written("abc"),
    "write-str-later": written(b"abc", "def"),
    "write-bytearray": written(bytearray(b"abc")),
    "too-short": answering(lambda _: Closing([b"abc"]), length(10)),
    "too-short-list": answering([b"abc"], length(10)),
    "too-short-nothing": answering([], length(10)),
    "too-long": answering(lambda _: Closing([b"abc", b"defghijklmn", b"opq"]), length(10)),
    "too-long-list": answering([b"abcdefghijklmn"], length(10)),
    "too-long-write": written(b"abcdefgh", b"ijklmn", headers=length(10)),
    "bytes-for-none": answering([b"abc"], length(0)),
    "fail": fail,
    "fail-after-start": fail_after_start,
    "fail-after-write": fail_after_write,
    "fail-first": answering(lambda _: Closing(failing())),
    "fail-after-empty": answering(lambda _: Closing(failing(b""))),
    "fail-later": answering(lambda _: Closing(failing(b"abc"))),
    "fail-later-length": answering(lambda _: Closing(failing(b"abc")), length(10)),
    "fail-at-the-end": answering(lambda _: Closing(failing(b"abc")), length(3)),
    "late-start": late_start,
    "never-start": never_start,
    "start-twice": start_twice,
    "replaced-at-once": replaced_at_once,
    "replaced": replaced([]),
    "replaced-after-empty": replaced([b""]),
    "replaced-after-piece": replaced([b"abc"]),
    "changed-list": changed_list,
    "headers-tuple": lambda environ, start_response: (start_response("200 OK", (FROM_APP, PLAIN, *length(3))), [b"abc"])[1],
    "headers-iterator": lambda environ, start_response: (start_response("200 OK", iter([FROM_APP, PLAIN, *length(3)])), [b"abc"])[1],
    "headers-lists": lambda environ, start_response: (start_response("200 OK", [list(FROM_APP), list(length(3)[0])]), [b"abc"])[1],
    "none": answering(None),
    "number": answering(7),
    "str": answering("abc"),
    "bytes": answering(b"abc"),
    "list-of-str": answering(["abc"]),
    "list-of-str-later": answering([b"abc", "def"]),
    "list-of-none": answering([None]),
    "list-of-bytearray": answering([bytearray(b"abc")]),
    "list-of-memoryview": answering([memoryview(b"abc")]),
    "generator-of-str": answering(lambda _: Closing(["abc"])),
    "generator-of-str-later": answering(lambda _: Closing([b"abc", "def"])),
    "file": answering(file_of(300_000), length(300_000)),
    "file-unknown": answering(file_of(300_000)),
    "file-offset": answering(file_of(1000, 900), length(100)),
    "file-offset-unknown": answering(file_of(1000, 900)),
    "file-part": answering(file_of(1000, 100), length(50)),
    "file-too-short": answering(file_of(100), length(200)),
    "file-empty": answering(file_of(0), length(0)),
    "file-empty-unknown": answering(file_of(0)),
    "file-at-its-end": answering(file_of(10, 10), length(0)),
    "file-in-memory": answering(wrapped(lambda: io.BytesIO(b"abcdefghij")), length(10)),
    "file-in-memory-unknown": answering(wrapped(lambda: io.BytesIO(b"abcdefghij"))),
    "file-like": answering(wrapped(lambda: Loose(b"abcdefghij")), length(10)),
    "file-like-unknown": answering(wrapped(lambda: Loose(b"abcdefghij"))),
    "file-iterated": answering(lambda environ: iter(wrapped(lambda: Loose(b"abcdefghij"))(environ)), length(10)),
    "file-in-a-list": answering(lambda environ: list(wrapped(lambda: Loose(b"abcdefghij"))(environ)), length(10)),
}

STATUSES = {
    name: answering([b"abc"], length(3), status)
    for name, status in {
        "201": "201 Created",
        "404": "404 Not Found",
        "500": "500 Oh No",
        "299": "299 Odd",
        "599": "599 Odd",
        "999": "999 Odd",
        "no-reason": "200",
        "empty-reason": "200 ",
        "latin-1": "200 caf\xe9",
        "euro": "200 \u20ac",
        "two-spaces": "200  OK",
        "tab": "200\tOK",
        "short": "20 OK",
        "long": "2000 OK",
        "letters": "abc OK",
        "letter": "20x OK",
        "signed": "+20 OK",
        "spaced": " 20 OK",
        "empty": "",
        "line-break": "200 OK\r\nX-Injected: yes",
        "line-feed": "200 OK\nX-Injected: yes",
        "nul": "200 O\0K",
        "number": 200,
        "bytes": b"200 OK",
        "none": None,
        "100": "100 Continue",
        "103": "103 Early Hints",
        "099": "099 Low",
    }.items()
}
STATUSES.update(
    {
        "204": answering([], status="204 No Content"),
        "204-length": answering([], length(0), "204 No Content"),
        "204-body": answering([b"abc"], status="204 No Content"),
        "204-body-length": answering([b"abc"], length(3), "204 No Content"),
        "204-generator": answering(lambda _: Closing([b"abc"]), status="204 No Content"),
        "204-write": answering(lambda _: Closing([]), status="204 No Content"),
        "304": answering([], status="304 Not Modified"),
        "304-length": answering([], length(1234), "304 Not Modified"),
        "304-body": answering([b"abc"], status="304 Not Modified"),
        "304-body-length": answering([b"abc"], length(3), "304 Not Modified"),
        "304-generator": answering(lambda _: Closing([b"abc"]), status="304 Not Modified"),
        "304-file": answering(file_of(100), status="304 Not Modified"),
        "205": answering([], length(0), "205 Reset Content"),
    }
)


def header(*pairs, body=(b"abc",), known=True):
    return answering(list(body), [*pairs, *(length(3) if known else [])])


HEADERS = {
    "two-cookies": header(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/")),
    "order": header(("X-B", "1"), ("X-A", "2"), ("X-B", "3")),
    "empty": header(("X-Empty", "")),
    "spaces-around": header(("X-Spaces", "  a b \t")),
    "tab-inside": header(("X-Tab", "a\tb")),
    "latin-1": header(("X-Latin", "caf\xe9")),
    "euro": header(("X-Euro", "\u20ac")),
    "line-break": header(("X-Break", "a\r\nX-Injected: yes")),
    "line-feed": header(("X-Feed", "a\nX-Injected: yes")),
    "carriage-return": header(("X-Return", "a\rb")),
    "nul": header(("X-Nul", "a\0b")),
    "bell": header(("X-Bell", "a\x07b")),
    "delete": header(("X-Delete", "a\x7fb")),
    "folded": header(("X-Folded", "a\r\n b")),
    "name-space": header(("X Space", "a")),
    "name-colon": header(("X-Colon:", "a")),
    "name-empty": header(("", "a")),
    "name-latin-1": header(("X-Caf\xe9", "a")),
    "name-line-break": header(("X-A\r\nX-B", "a")),
    "name-trailing-space": header(("X-Space ", "a")),
    "name-underscore": header(("X_Under", "a")),
    "name-odd": header(("X!#$%&'*+.^`|~1", "a")),
    "name-bytes": header((b"X-Bytes", "a")),
    "name-number": header((7, "a")),
    "name-none": header((None, "a")),
    "value-bytes": header(("X-Bytes", b"a")),
    "value-number": header(("X-Number", 7)),
    "value-none": header(("X-None", None)),
    "triple": header(("X-A", "b", "c")),
    "single": header(("X-A",)),
    "length-twice": header(*length(3)),
    "length-letters": header(("Content-Length", "abc"), known=False),
    "length-negative": header(("Content-Length", "-3"), known=False),
    "length-plus": header(("Content-Length", "+3"), known=False),
    "length-spaces": header(("Content-Length", " 3 "), known=False),
    "length-empty": header(("Content-Length", ""), known=False),
    "length-lower": header(("content-length", "3"), known=False),
    "length-zeroes": header(("Content-Length", "0003"), known=False),
    "length-list": header(("Content-Length", "3, 3"), known=False),
    "connection-close": header(("Connection", "close")),
    "connection-keep-alive": header(("Connection", "keep-alive")),
    "keep-alive": header(("Keep-Alive", "timeout=5")),
    "chunked": header(("Transfer-Encoding", "chunked"), known=False),
    "chunked-length": header(("Transfer-Encoding", "chunked")),
    "te": header(("TE", "trailers")),
    "trailer": header(("Trailer", "X-A")),
    "trailers": header(("Trailers", "X-A")),
    "upgrade": header(("Upgrade", "h2c")),
    "proxy-authenticate": header(("Proxy-Authenticate", "Basic")),
    "proxy-authorization": header(("Proxy-Authorization", "Basic")),
    "date": header(("Date", "Thu, 01 Jan 1970 00:00:00 GMT")),
    "server": header(("Server", "mine")),
    "type-twice": header(("Content-Type", "text/html")),
    "no-type": lambda environ, start_response: (start_response("200 OK", [FROM_APP, *length(3)]), [b"abc"])[1],
    "long-value": header(("X-Long", "x" * 20_000)),
    "many": header(*((f"X-{number}", "a") for number in range(300))),
    "status": header(("Status", "404 Not Found")),
}



def hinting(*hints, late=False, then=answering([b"abc"], length(3))):
    """Sends early hints, then answers."""

    def probe(environ, start_response):
        def start(*arguments):
            result = start_response(*arguments)
            if late:
                give(environ)
            return result

        if not late:
            give(environ)
        return then(environ, start)

    def give(environ):
        for hint in hints:
            try:
                environ["wsgi.early_hints"](hint)
            except Exception:
                note("hint refused")

    return probe


LINK = ("Link", "</a.css>; rel=preload; as=style")
HINTS = {
    "one": hinting([LINK]),
    "two": hinting([LINK, ("X-B", "c")], [("Link", "</b.js>; rel=preload")]),
    "empty": hinting([]),
    "after-start": hinting([LINK], late=True),
    "after-write": hinting([LINK], then=written(b"abc", headers=length(3))),
    "bytes": hinting([(b"Link", b"</a>; rel=preload")]),
    "tuple": hinting((LINK,)),
    "iterator": hinting(iter([])),
    "stream": hinting([LINK], then=answering(lambda _: Closing([b"abc"]))),
    "file": hinting([LINK], then=answering(file_of(100), length(100))),
    "no-body": hinting([LINK], then=answering([], status="204 No Content")),
    "fail": hinting([LINK], then=fail),
    "line-break": hinting([("X-A", "b\r\nX-C: d")]),
    "bad-name": hinting([("X A", "b")]),
    "number": hinting([("X-A", 7)]),
    "latin-1": hinting([("X-A", "caf\xe9")]),
    "spaces": hinting([("X-A", "  b ")]),
    "none": hinting(None),
}

AREAS = {"body": BODIES, "answer": ANSWERS, "status": STATUSES, "header": HEADERS, "hints": HINTS}
