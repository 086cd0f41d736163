"""The application under test: what it does is told by the path."""
import ctypes
import io
import os
import signal
import subprocess
import sys
import threading
from wsgiref.validate import validator

PLAIN = [("Content-Type", "text/plain")]
barrier = threading.Barrier(2)
kept = []
kept_hints = []


def application(environ, start_response):
    return globals()["do_" + environ["PATH_INFO"].strip("/").replace("-", "_")](environ, start_response)


def hold(fifo):
    """Waits for a byte in the test's fifo."""
    with open(fifo, "rb", buffering=0) as file:
        file.read(1)


class Closing:
    """An iterable that says in the log when it is closed."""

    def __init__(self, chunks, errors):
        self.chunks = iter(chunks)
        self.errors = errors

    def __iter__(self):
        return self.chunks

    def close(self):
        self.errors.write("closed\n")


def do_(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"hello\n"]


def do_environ(environ, start_response):
    start_response("200 OK", PLAIN)
    wanted = environ["QUERY_STRING"].split(",")
    return ["\n".join(repr(environ.get(key)) for key in wanted).encode()]


def do_input(environ, start_response):
    """Evaluates the query: an expression on `f`, the input."""
    f = environ["wsgi.input"]
    start_response("200 OK", PLAIN)
    return [repr(eval(environ["QUERY_STRING"])).encode()]


def do_inputs_descriptor(environ, start_response):
    start_response("200 OK", PLAIN)
    return [str(environ["wsgi.input"].raw._descriptor).encode()]


def do_opened(environ, start_response):
    """What a descriptor is of, or nothing."""
    start_response("200 OK", PLAIN)
    try:
        return [os.readlink("/proc/self/fd/" + environ["QUERY_STRING"]).encode()]
    except FileNotFoundError:
        return [b"nothing"]


def do_stream(environ, start_response):
    start_response("200 OK", PLAIN)

    def chunks():
        yield b""
        for name in (b"one", b"two"):
            yield name
            # Goes on only when the test has seen the chunk and said so.
            hold(environ["QUERY_STRING"])

    return Closing(chunks(), environ["wsgi.errors"])


def do_declared(environ, start_response):
    start_response("200 OK", [("content-LENGTH", "6")])

    def chunks():
        yield b"abc"
        yield b"def"
        environ["wsgi.errors"].write("after the end\n")

    return Closing(chunks(), environ["wsgi.errors"])


def do_endless(environ, start_response):
    start_response("200 OK", PLAIN + ([("Content-Length", "4")] if environ["QUERY_STRING"] else []))

    def chunks():
        while True:
            yield b"abcd" if environ["QUERY_STRING"] else b"abcd" * 10000

    return Closing(chunks(), environ["wsgi.errors"])


def do_lazy(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"lazy"


def do_empty(environ, start_response):
    start_response("200 OK", PLAIN)
    return iter(())


def do_join(environ, start_response):
    start_response("200 OK", PLAIN)
    return (b"a", b"", b"bc")


def do_status(environ, start_response):
    start_response(environ["QUERY_STRING"], PLAIN)
    return [b"body"]


def do_reason_stream(environ, start_response):
    start_response("200 Own words", PLAIN)
    return iter([b"a", b"b"])


def do_reason_file(environ, start_response):
    start_response("200 Own words", PLAIN)
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


def do_reason_write(environ, start_response):
    start_response("200 Own words", PLAIN)(b"written")
    return []


def do_hints(environ, start_response):
    """Early hints: what is special about them is told by the query."""
    query, hint = environ["QUERY_STRING"], environ["wsgi.early_hints"]
    fields = [("Link", "</a.css>; rel=preload"), ("X-B", "c")]
    for stale in kept_hints:
        stale(fields)
    if query == "kept":
        kept_hints[:] = [hint]
    elif query == "after":
        start_response("200 OK", PLAIN)(b"hinted")
        hint(fields)
        return []
    elif query == "late":
        start_response("200 OK", PLAIN)
        hint(fields)
        return [b"hinted"]
    elif query == "bytes":
        hint((name.encode(), value.encode()) for name, value in fields)
    elif query == "broken":
        hint([("X\r\nY", "z")])
    elif query == "huge":
        hint([("X", "x" * 70000)])
    else:
        hint(fields)
    if query == "twice":
        hint(fields)
    start_response("200 OK", PLAIN)
    return [b"hinted"]


def do_save(environ, start_response):
    """Keeps the body under the name that the query tells, in the way that stands before it."""
    how, path = environ["QUERY_STRING"].split(" ")
    file = environ["maitred.input_file"]
    before = os.fstat(file.fileno()).st_ino
    try:
        is_moved = file.save(path, replace=how == "replace")
    except FileExistsError:
        is_moved = "exists"
    text = "%s %s %d" % (is_moved, os.stat(path).st_ino == before, file.size)
    start_response("200 OK", PLAIN)
    return [text.encode()]


def do_fork(environ, start_response):
    """Forks, and answers in both processes."""
    start_response("200 OK", PLAIN)
    return [b"%d" % os.fork()]


def do_own_file(environ, start_response):
    """All that there is in the body's file, when a part of the body was read, and then the rest of the body."""
    body = environ["wsgi.input"]
    beginning = body.readline() if environ["QUERY_STRING"] == "by lines" else body.read(3)
    descriptor = environ["maitred.input_file"].fileno()
    everything = os.pread(descriptor, 1 << 24, 0)
    start_response("200 OK", PLAIN)
    return [everything + b"|" + beginning + body.read()]


def do_kept_read(environ, start_response, kept=[]):
    """What the first request's way to read its body gives, in that request and in later ones."""
    kept.append(environ["wsgi.input"].read)
    start_response("200 OK", PLAIN)
    try:
        return [kept[0]()]
    except ValueError as failure:
        return [str(failure).encode()]


def do_write(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"")
    write(b"written ")
    write(b"twice ")
    return [b"and returned"]


def do_write_declared(environ, start_response):
    write = start_response("200 OK", [("Content-Length", "3")])
    write(b"abc")
    return []


def do_header(environ, start_response):
    name, _, value = environ["QUERY_STRING"].partition("=")
    start_response("200 OK", [(name, value)])
    return [b"x"]


def do_bad_header(environ, start_response):
    start_response("200 OK", eval(environ["QUERY_STRING"]))
    return [b"x"]


def do_twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"x"]


def do_exc_info(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        raise LookupError("the first failure")
    except LookupError:
        start_response("503 Oops", [("X-Replaced", "yes")], sys.exc_info())
    return [b"replaced"]


def do_exc_info_late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"begun"
    try:
        raise LookupError("the late failure")
    except LookupError:
        start_response("500 Oops", PLAIN, sys.exc_info())
    yield b"never"


def do_raise(environ, start_response):
    raise {"key": KeyError, "exit": SystemExit, "interrupt": KeyboardInterrupt, "generator": GeneratorExit}[
        environ["QUERY_STRING"]
    ]("secret")


def do_raise_late(environ, start_response):
    start_response("200 OK", PLAIN)

    def chunks():
        yield b"begun"
        raise RuntimeError("late")

    return Closing(chunks(), environ["wsgi.errors"])


def do_raise_in_close(environ, start_response):
    start_response("200 OK", PLAIN)

    class Result(Closing):
        def close(self):
            raise RuntimeError("in close")

    return Result([b"x"], None)


def do_no_start(environ, start_response):
    return [b"x"]


def do_none(environ, start_response):
    start_response("200 OK", PLAIN)


def do_text(environ, start_response):
    start_response("200 OK", PLAIN)
    return eval(environ["QUERY_STRING"])


def do_stale(environ, start_response):
    """Keeps start_response and write, and uses those of the request before."""
    for old_start, old_write in kept:
        try:
            old_start("500 Stale", [("X-Stale", "1")])
        except AssertionError:
            old_write(b"stale")
    kept[:] = [(start_response, start_response("200 OK", PLAIN))]
    return [b"fresh"]


def do_file(environ, start_response):
    start_response("200 OK", PLAIN)
    opened = open(environ["QUERY_STRING"], "rb")
    opened.seek(3)

    def close():
        environ["wsgi.errors"].write("closed\n")
        type(opened).close(opened)

    opened.close = close
    return environ["wsgi.file_wrapper"](opened, 4096)


def do_file_declared(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))


def do_file_buffered(environ, start_response):
    """The first line has been read, and more of the file with it."""
    opened = open(environ["QUERY_STRING"], "rb")
    opened.readline()
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](opened)


def do_file_in_memory(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"m" * 100000))


def do_file_pipe(environ, start_response):
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](open(reader, "rb"))


def do_file_packed(environ, start_response):
    """Has a fileno(), but of the packed bytes."""
    import gzip

    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](gzip.open(environ["QUERY_STRING"]))


class DjangoLike(Closing):
    streaming = False


def do_django_like(environ, start_response):
    start_response("200 OK", PLAIN)
    return DjangoLike([b"whole", b" page"], environ["wsgi.errors"])


def do_big(environ, start_response):
    start_response("200 OK", PLAIN)
    return Closing([b"x" * int(environ["QUERY_STRING"])], environ["wsgi.errors"])


def do_big_list(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"x" * int(environ["QUERY_STRING"])]


def do_pieces(environ, start_response):
    """So many bytes in so many pieces, all of them there; with a declared length if there is a third number."""
    count, pieces, *declared = map(int, environ["QUERY_STRING"].split(" "))
    start_response("203 Guessed", PLAIN + [("Content-Length", str(number)) for number in declared])
    body = (b"0123456789" * (count // 10 + 1))[:count]
    size = -(-count // pieces)
    return tuple(body[at : at + size] for at in range(0, count, size))


def do_long(environ, start_response):
    """Takes longer than the time after which a response asks for its credit pipe."""
    start_response("200 OK", PLAIN)

    def chunks():
        yield b"first"
        threading.Event().wait(1.05)
        while True:
            yield b"again"

    return Closing(chunks(), environ["wsgi.errors"])


def do_write_until_gone(environ, start_response):
    write = start_response("200 OK", PLAIN)
    try:
        while True:
            write(b"x" * 65536)
    except OSError as failure:
        environ["wsgi.errors"].write("write() raised %s\n" % type(failure).__name__)
        raise


def do_wait(environ, start_response):
    """Says that it runs, then waits for the test."""
    environ["wsgi.errors"].write("waiting\n")
    hold(environ["QUERY_STRING"])
    start_response("200 OK", PLAIN)
    return [b"waited"]


def do_stall(environ, start_response):
    """Tells the worker to leave, but keeps its other threads from running until the test has put a byte in the fifo; then waits for
    another, and lets them run."""
    with open(environ["QUERY_STRING"], "rb", buffering=0) as file:
        environ["wsgi.errors"].write("stalling\n")
        # From here on nobody else gets the GIL: it is not asked for, and a call by PyDLL keeps it.
        sys.setswitchinterval(60)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        ctypes.PyDLL(None).read(file.fileno(), ctypes.create_string_buffer(1), 1)
        file.read(1)
    start_response("200 OK", PLAIN)
    return [b"stalled"]


def do_meet(environ, start_response):
    """Two of these at once, or never."""
    barrier.wait(15)
    start_response("200 OK", PLAIN)
    return [threading.current_thread().name.encode()]


def do_memory(environ, start_response):
    """Blocks that Python has allocated, and the pages of the process."""
    import gc

    gc.collect()
    start_response("200 OK", PLAIN)
    with open("/proc/self/statm") as file:
        return [("%d %s" % (sys.getallocatedblocks(), file.read().split()[1])).encode()]


def do_spoil(environ, start_response):
    environ.update(dict.fromkeys(environ, "spoilt"))
    start_response("200 OK", PLAIN)
    return [b"x"]


def do_ticking(environ, start_response):
    """A thread of the application's that counts; the query says where."""

    def tick():
        with open(environ["QUERY_STRING"], "wb", buffering=0) as file:
            for _ in range(3):
                threading.Event().wait(0.01)
                file.write(b".")

    threading.Thread(target=tick, daemon=True).start()
    start_response("200 OK", PLAIN)
    return [b"x"]


def do_types(environ, start_response):
    """What an application may find out about what it is given, and do to it."""
    seen = []
    for kind in (type(start_response), type(start_response("200 OK", PLAIN))):
        try:
            kind()
        except TypeError:
            seen.append("TypeError")
    return [" ".join(seen).encode()]


def do_print(environ, start_response):
    print("printed")
    print("printed to stderr", file=sys.stderr)
    environ["wsgi.errors"].write("half ")
    environ["wsgi.errors"].writelines(["a", " line\n"])
    start_response("200 OK", PLAIN)
    return [b"x"]


def do_die(environ, start_response):
    os._exit(9)


def do_child(environ, start_response):
    """What a program that the application starts inherits."""
    code = (
        "import os, signal\n"
        "print(sum(os.readlink('/proc/self/fd/' + n).startswith('socket') for n in os.listdir('/proc/self/fd') "
        "if os.path.lexists('/proc/self/fd/' + n)))\n"
        "print(signal.getsignal(signal.SIGHUP) == signal.SIG_DFL, signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    )
    start_response("200 OK", PLAIN)
    return [subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, close_fds=False, check=True).stdout]


def do_facts(environ, start_response):
    import random

    start_response("200 OK", PLAIN)
    return [repr((sys.argv, sys.path[:2], os.getcwd(), random.random(), "maitred_worker" in sys.modules)).encode()]


@validator
def validated(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    environ["wsgi.errors"].flush()
    return [environ["wsgi.input"].read(5)]


do_validated = validated


def factory(word, times=1):
    def made(environ, start_response):
        start_response("200 OK", PLAIN)
        return [word.encode() * times]

    return made


not_callable = 3
