"""Server hooks that write down when they are called, in which process and with what, each a line of the file that HOOKS_FILE names."""

import functools
import os
import threading


def note(name, *words):
    with open(os.environ["HOOKS_FILE"], "a") as file:
        file.write(" ".join([name, str(os.getpid()), *map(str, words)]) + "\n")


def on_starting(server):
    server.log.info("a hook says hello to the log")
    note("on_starting", server.cfg.workers, server.pid)


def on_reload(server):
    note("on_reload")


def when_ready(server):
    note("when_ready")


def nworkers_changed(server, new, old):
    note("nworkers_changed", new, old)


def pre_fork(server, worker):
    note("pre_fork", worker.age)


def post_fork(server, worker):
    note("post_fork", worker.age, worker.pid)


def post_worker_init(worker):
    note("post_worker_init", worker.pid, callable(worker.wsgi))


def worker_int(worker):
    note("worker_int", worker.pid)


def worker_abort(worker):
    note("worker_abort", worker.pid)


def pre_request(worker, request):
    if request.path == "/refused":
        raise ValueError("refused by a hook")
    note("pre_request", worker.pid, request.method, request.path, request.query, dict(request.headers).get("HOST") is not None)


def post_request(worker, request, environ, response):
    note("post_request", worker.nr, environ["PATH_INFO"], response.status_code)
    if request.path == "/late":
        raise ValueError("too late to matter")


def with_two(worker, request):
    note("post_request", request.path)


def with_three(worker, request, environ):
    note("post_request", environ["PATH_INFO"])


def with_any(*arguments):
    note("post_request", arguments[1].path, len(arguments))


class Called:
    def __call__(self, worker, request):
        note("post_request", request.path)


with_object = Called()
with_partial = functools.partial(lambda mark, worker, request: note("post_request", request.path, mark), "partial")


def with_one(worker):
    pass


def with_five(worker, request, environ, response, more):
    pass


def begin_thread(server):
    threading.Thread(target=threading.Event().wait, name="ticker", daemon=True).start()


def child_exit(server, worker):
    note("child_exit", worker.pid)


def worker_exit(server, worker):
    note("worker_exit", worker.pid)


def on_exit(server):
    note("on_exit")


def broken(*arguments):
    raise RuntimeError("this hook does not work")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]
