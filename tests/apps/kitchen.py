"""The app behind the black-box tests: one small route for each thing that a test must see from inside.

A request that has to stay in the app brings two paths: the app writes its pid to `started`, and goes on when `gate`
exists. So no test depends on how fast a machine is. Only the standard library is used.
"""

import hashlib
import io
import json
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

GATE_LIMIT_S = 60
# Descriptors of bodies whose requests are over.
KEPT = []


def application(environ, start_response):
    """Finds the route by the first part of the path."""
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
    name = environ["PATH_INFO"].strip("/").split("/")[0].replace("-", "_")
    route = ROUTES.get(name)
    if route is None:
        return answer(start_response, b"no such route\n", status="404 Not Found")
    return route(environ, start_response, query)


def anything(environ, start_response):
    """Says what it was asked, whatever that was."""
    body = environ["wsgi.input"].read()
    text = "%s %s %d\n" % (environ["REQUEST_METHOD"], environ["PATH_INFO"], len(body))
    return answer(start_response, text.encode("latin-1"))


def answer(start_response, body, status="200 OK", kind="text/plain", more=()):
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *more])
    return [body]


def write_mark(path, text):
    """The file appears with its content, never empty."""
    temporary = "%s.%d.%d" % (path, os.getpid(), threading.get_ident())
    with open(temporary, "w") as file:
        file.write(text)
    os.rename(temporary, path)


def wait_gate(query):
    if "started" in query:
        write_mark(query["started"], str(os.getpid()))
    end = time.monotonic() + GATE_LIMIT_S
    while "gate" in query and not os.path.exists(query["gate"]) and time.monotonic() < end:
        time.sleep(0.005)


def pattern(count):
    block = bytes(range(251))
    return (block * (count // 251 + 1))[:count]


def hello(environ, start_response, query):
    return answer(start_response, b"Hello, world!\n")


def slow(environ, start_response, query):
    """Answers after `s` seconds."""
    time.sleep(float(query["s"]))
    return answer(start_response, b"done\n")


def show_environ(environ, start_response, query):
    def plain(value):
        return value if type(value) in (str, bool, int) else "<%s>" % type(value).__name__

    seen = {key: plain(value) for key, value in environ.items()}
    stream, errors = environ["wsgi.input"], environ["wsgi.errors"]
    seen["test.environ_type"] = type(environ).__name__
    seen["test.version"] = list(environ["wsgi.version"])
    seen["test.input"] = all(hasattr(stream, name) for name in ("read", "readline", "readlines", "__iter__"))
    seen["test.errors"] = all(hasattr(errors, name) for name in ("write", "writelines", "flush"))
    seen["test.file_wrapper"] = callable(environ["wsgi.file_wrapper"])
    return answer(start_response, json.dumps(seen).encode(), kind="application/json")


def echo(environ, start_response, query):
    return answer(start_response, environ["wsgi.input"].read(), kind="application/octet-stream")


def digest(environ, start_response, query):
    """Reads the body in pieces, so that the size of one read never matters."""
    total, sha = 0, hashlib.sha256()
    for piece in iter(lambda: environ["wsgi.input"].read(10_007), b""):
        total += len(piece)
        sha.update(piece)
    return answer(start_response, ("%d %s" % (total, sha.hexdigest())).encode())


def input_methods(environ, start_response, query):
    """Takes the body apart by every method of wsgi.input."""
    stream = environ["wsgi.input"]
    parts = {
        "read": stream.read(3).decode(),
        "readline": stream.readline().decode(),
        "readline_bounded": stream.readline(2).decode(),
        "readlines_hint": [line.decode() for line in stream.readlines(1)],
        "next": next(iter(stream)).decode(),
        "iteration": [line.decode() for line in stream],
        "after": [stream.read().decode(), stream.read(5).decode(), stream.readline().decode()],
    }
    return answer(start_response, json.dumps(parts).encode(), kind="application/json")


def ignore(environ, start_response, query):
    """Answers without looking at the body."""
    return answer(start_response, b"ignored\n")


def hold(environ, start_response, query):
    wait_gate(query)
    return answer(start_response, b"%d\n" % os.getpid())


def stream(environ, start_response, query):
    """One piece at once, the next when the gate opens; no Content-Length."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first\n"
    wait_gate(query)
    yield b""
    yield b"second\n"


def write(environ, start_response, query):
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    send(b"written\n")
    wait_gate(query)
    send(b"again\n")
    return [b"returned\n"]


def hints(environ, start_response, query):
    """Early hints at once, the response when the gate opens."""
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style"), ("Connection", "close")])
    wait_gate(query)
    environ["wsgi.early_hints"]([("Link", "</app.js>; rel=preload; as=script")])
    return answer(start_response, b"hinted\n", more=[("Link", "</style.css>; rel=preload; as=style")])


def counted():
    """Bytes that this process has read and written so far."""
    with open("/proc/self/io") as file:
        counts = dict(line.split(": ") for line in file)
    return int(counts["rchar"]) + int(counts["wchar"])


def save(environ, start_response, query):
    """Keeps the body, which came in a file, under the name `path`."""
    file, path = environ["maitred.input_file"], query["path"]
    before = counted()
    is_moved = file.save(path)
    seen = {"moved": is_moved, "copied": counted() - before, "size": file.size}
    seen["same"] = os.fstat(file.fileno()).st_ino == os.stat(path).st_ino
    return answer(start_response, json.dumps(seen).encode(), kind="application/json")


def keep_input(environ, start_response, query):
    """Keeps a descriptor of the body beyond the request, and says how large its file is."""
    KEPT.append(os.dup(environ["maitred.input_file"].fileno()))
    return answer(start_response, b"%d" % os.fstat(KEPT[-1]).st_size)


def kept_input(environ, start_response, query):
    with os.fdopen(os.dup(KEPT[-1]), "rb") as file:
        file.seek(0)
        return answer(start_response, file.read())


def late_input(environ, start_response, query):
    """Reads the body when the answer is out and the gate has opened; it appears as `path`."""
    start_response("200 OK", [("Content-Length", "1")])
    yield b"."
    wait_gate(query)
    write_mark(query["path"], environ["wsgi.input"].read().decode("ascii"))


def whole(environ, start_response, query):
    """`n` bytes in `pieces`, all of them there; with their Content-Length, or one of the request's own."""
    count, pieces = int(query["n"]), int(query.get("pieces", 1))
    kind = query.get("type", "application/octet-stream")
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", query.get("declared", str(count)))])
    body, size = pattern(count), -(-count // pieces)
    return [body[at : at + size] for at in range(0, count, size)]


def data(environ, start_response, query):
    """`n` bytes in blocks of `size`; Content-Length unless `open` is given."""
    count, size = int(query["n"]), int(query.get("size", 65536))
    headers = [("Content-Type", "application/octet-stream")]
    if "open" not in query:
        headers.append(("Content-Length", str(count)))
    start_response("200 OK", headers)
    source = pattern(size + 251)
    return (source[at % 251 :][: min(size, count - at)] for at in range(0, count, size))


def produce(environ, start_response, query):
    """`n` bytes with their Content-Length; `made` appears when the app has given all of them away."""
    count = int(query["n"])
    headers = [("Content-Type", query.get("type", "application/octet-stream")), ("Content-Length", str(count))]
    if "unbuffered" in query:
        headers.append(("X-Accel-Buffering", "no"))
    if "rate" in query:
        headers.append(("X-Accel-Limit-Rate", query["rate"]))
    start_response("200 OK", headers)
    size = int(query.get("size", 65536))
    source = pattern(size + 251)
    for at in range(0, count, size):
        yield source[at % 251 :][: min(size, count - at)]
    write_mark(query["made"], "")


def produce_and_leave(environ, start_response, query):
    """Half of the `n` bytes that were announced; then the worker's process ends."""
    count = int(query["n"])
    start_response("200 OK", [("Content-Length", str(count))])
    source = pattern(65536 + 251)
    for at in range(0, count // 2, 65536):
        yield source[at % 251 :][:65536]
    write_mark(query["started"], str(os.getpid()))
    os._exit(7)


class Endless:
    """Never ends by itself; close() leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __iter__(self):
        return self

    def __next__(self):
        return b"x" * 16384

    def close(self):
        write_mark(self.mark, "closed")


def endless(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return Endless(query["mark"])


class Closing(Endless):
    """Three pieces, of which the second fails on demand."""

    def __init__(self, mark, fail):
        super().__init__(mark)
        self.count, self.fail = 0, fail

    def __next__(self):
        self.count += 1
        if self.count == 2 and self.fail:
            raise RuntimeError("the second piece fails")
        if self.count > 3:
            raise StopIteration
        return b"piece\n"


def close(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closing(query["mark"], "fail" in query)


def fail(environ, start_response, query):
    raise ValueError("a secret of the app")


def fail_after_start(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"so far\n"
    wait_gate(query)
    raise ValueError("a secret after the start")


def fail_before_body(environ, start_response, query):
    """start_response was called, but no body went out yet: still a clean 500."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise ValueError("a secret before the body")


def exc_info(environ, start_response, query):
    """Replaces the head while nothing has been sent."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "1")])
    try:
        raise KeyError("mistake")
    except KeyError:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"replaced\n"]


def exc_info_late(environ, start_response, query):
    """Too late: start_response has to raise the exception again."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"so far\n"
    wait_gate(query)
    try:
        raise KeyError("late mistake")
    except KeyError:
        start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
    yield b"never\n"


def twice(environ, start_response, query):
    """Without exc_info a second call is an error of the app."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"never\n"]


def never(environ, start_response, query):
    """Returns a body without having called start_response."""
    return [b"no head\n"]


def status(environ, start_response, query):
    start_response(query["code"] + " Whatever", [("X-Kept", "yes")])
    return []


def headers(environ, start_response, query):
    return answer(
        start_response, b"ok\n", more=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Odd", "caf\u00e9")]
    )


def injected(environ, start_response, query):
    """A line break in a value must never reach the wire."""
    return answer(start_response, b"ok\n", more=[("X-Bad", "a\r\nX-Injected: yes")])


def no_length(environ, start_response, query):
    """One block in a list: the server can know the length."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one block\n"]


def empty(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []


def too_long(environ, start_response, query):
    """More bytes than its Content-Length promises."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"four", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]


def too_short(environ, start_response, query):
    """Fewer bytes than its Content-Length promises."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    return [b"short"]


def file(environ, start_response, query):
    """`path` from its current offset `at` on, through wsgi.file_wrapper."""
    source = open(query["path"], "rb")
    source.seek(int(query.get("at", 0)))
    length = os.path.getsize(query["path"]) - source.tell()
    headers = [("Content-Type", "application/octet-stream")]
    if "open" not in query:
        headers.append(("Content-Length", str(length)))
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](source, 8192)


def file_in_memory(environ, start_response, query):
    """A file without a descriptor."""
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "100000")])
    return environ["wsgi.file_wrapper"](io.BytesIO(pattern(100_000)))


def errors(environ, start_response, query):
    environ["wsgi.errors"].write("%s\n" % query["line"])
    environ["wsgi.errors"].flush()
    print("printed " + query["line"], flush=True)
    return answer(start_response, b"logged\n")


def pid(environ, start_response, query):
    return answer(start_response, b"%d\n" % os.getpid())


def stuck(environ, start_response, query):
    wait_gate({"started": query["started"]})
    stuck_for_good()


def stuck_for_good():
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass  # Whoever wants it to let go has to end the process.


def careful(environ, start_response, query):
    """Holds on, whatever fails, and leaves a mark when it lets go all the same."""
    while True:
        try:
            wait_gate(query)
            return answer(start_response, b"held\n")
        except Exception:
            pass
        finally:
            write_mark(query["left"], str(os.getpid()))


def nap(environ, start_response, query):
    end = time.monotonic() + float(query["seconds"])
    while time.monotonic() < end:
        time.sleep(0.001)
    return answer(start_response, b"rested\n")


def grip(environ, start_response, query):
    """A call that never comes back and never lets another thread run."""
    wait_gate({"started": query["started"]})
    ctypes.PyDLL(None).pause()


def deadlock(environ, start_response, query):
    wait_gate({"started": query["started"]})
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def deaf(environ, start_response, query):
    """Stuck, and not even SIGABRT is heard."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGABRT})
    stuck(environ, start_response, query)


LIST_DESCRIPTORS = """
import os
for name in os.listdir("/proc/self/fd"):
    try:
        print(name, os.readlink("/proc/self/fd/" + name))
    except FileNotFoundError:
        pass  # The listing's own.
"""


def inherited(environ, start_response, query):
    """The descriptors of a program that is started without closing any: a number and what it is, a line each."""
    command = [sys.executable, "-I", "-c", LIST_DESCRIPTORS]
    found = subprocess.run(command, close_fds=False, stdout=subprocess.PIPE, check=True).stdout
    return answer(start_response, found)


def leave(environ, start_response, query):
    """The worker's process ends inside the request."""
    os._exit(7)


def orphan(environ, start_response, query):
    """Leaves a grandchild behind whose parent is gone; it ends when the gate opens."""
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            wait_gate(query)
        os._exit(0)
    os.waitpid(child, 0)
    return answer(start_response, b"left an orphan\n")


def fields(environ, start_response, query):
    """Answers with any field lines: `f=Name:value`, as often as wanted, percent-encoded bytes and all."""
    pairs = urllib.parse.parse_qsl(environ["QUERY_STRING"], encoding="latin-1", keep_blank_values=True)
    lines = [tuple(value.split(":", 1)) for name, value in pairs if name == "f"]
    body = environ["REQUEST_METHOD"].encode() + b" " + environ["PATH_INFO"].encode("latin-1") + b"\n"
    start_response(query.get("status", "200 OK"), [*lines, ("Content-Length", str(len(body)))])
    return [body]


def circle_of_redirects(environ, start_response, query):
    """Leads back to itself, for ever."""
    return answer(start_response, b"", more=[("X-Accel-Redirect", "/circle_of_redirects")])


ROUTES = dict(
    hello=hello,
    slow=slow,
    environ=show_environ,
    echo=echo,
    digest=digest,
    input_methods=input_methods,
    ignore=ignore,
    hold=hold,
    stream=stream,
    write=write,
    hints=hints,
    save=save,
    keep_input=keep_input,
    kept_input=kept_input,
    late_input=late_input,
    whole=whole,
    data=data,
    produce=produce,
    produce_and_leave=produce_and_leave,
    endless=endless,
    close=close,
    fail=fail,
    fail_after_start=fail_after_start,
    fail_before_body=fail_before_body,
    exc_info=exc_info,
    exc_info_late=exc_info_late,
    twice=twice,
    never=never,
    status=status,
    headers=headers,
    fields=fields,
    circle_of_redirects=circle_of_redirects,
    injected=injected,
    no_length=no_length,
    empty=empty,
    too_long=too_long,
    too_short=too_short,
    file=file,
    file_in_memory=file_in_memory,
    errors=errors,
    pid=pid,
    stuck=stuck,
    deaf=deaf,
    careful=careful,
    nap=nap,
    grip=grip,
    deadlock=deadlock,
    inherited=inherited,
    leave=leave,
    orphan=orphan,
)
