"""The process that imports the application once and forks workers on request.

Owns the control socket: one JSON object a packet. Workers have a share of it in development only, to say what they import. Single-threaded; leaves no zombies: a worker is forked twice, so that it
belongs to the server, which is a child subreaper (prctl(2)). Called by bootstrap.
"""
import array
import errno
import json
import os
import select
import signal
import socket
import sys
import threading
from functools import partial

from . import collector, connections, interrupt, loggers, native, project, spare, touched, warm, worker
from . import application as applications

CONTROL_BYTES_MAX = 64 * 1024
# Names of threads that are told.
THREADS_TOLD_MAX = 8
# How long templates are compiled before the first fork, seconds: at a start, for which clients wait, and at a reload, for which they do not.
TEMPLATES_S, TEMPLATES_AT_RELOAD_S = 0.05, 2.0


class Pool:
    """The descriptors by which workers are tied to the server."""

    def __init__(self, inbox, scoreboard, outbox, requests, bell, replies):
        self.inbox = inbox
        self.scoreboard = scoreboard
        self.outbox = outbox
        # -1, both of them: all requests come through the inbox.
        self.requests = requests
        self.bell = bell
        self.replies = replies


def main(descriptors, image):
    """Runs the zygote; in a forked child, the worker. Returns at the end of the control socket."""
    control_descriptor, code, inbox, scoreboard, outbox = (
        int(descriptors[name]) for name in ("control", "code", "inbox", "scoreboard", "outbox")
    )
    requests, bell = (int(descriptors.get(name, -1)) for name in ("requests", "bell"))
    replies = [int(descriptor) for descriptor in descriptors["replies"].split(",")]
    os.close(code)
    shared = (requests, bell) if requests >= 0 else ()
    for descriptor in (control_descriptor, inbox, scoreboard, outbox, *shared, *replies):
        # Programs that the application starts must not keep the server's sockets open.
        os.set_inheritable(descriptor, False)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    worker.leave_signals_to_the_server()
    worker.ignore_signals_at_the_end()
    control = Control(socket.socket(fileno=control_descriptor))
    try:
        settings, _ = control.receive()
        _decode_paths(settings)
        zygote = _Zygote(control, Pool(inbox, scoreboard, outbox, requests, bell, replies), settings, image)
        try:
            serve_requests = zygote.run()
        finally:
            zygote.let_spare_go()
    except (EOFError, ConnectionError):
        # The server is gone, or done with this generation, or the import failed.
        return
    serve_requests()


class Control:
    """JSON messages to and from the supervisor."""

    def __init__(self, connection):
        self._connection = connection

    def receive(self):
        """(message, descriptor or None). Raises EOFError."""
        data, ancillary, _, _ = self._connection.recvmsg(
            CONTROL_BYTES_MAX, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            raise EOFError
        descriptors = array.array("i")
        for _, kind, rights in ancillary:
            if kind == socket.SCM_RIGHTS:
                descriptors.frombytes(rights)
        return json.loads(data), descriptors[0] if descriptors else None

    def is_readable(self, seconds):
        """Whether there is a message, or the end, within that time; None: however long it takes."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000 + 1))

    def send(self, message):
        # The other side takes no lone surrogates, which stand for bytes of a file's name that are no text; escaped they would get there.
        self._connection.send(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))

    def close(self):
        self._connection.close()


def _decode_paths(settings):
    """Makes of the paths in the first message, in which each byte is a character, what Python has for them."""

    def decoded(path):
        return os.fsdecode(path.encode("latin-1"))

    settings["chdir"] = decoded(settings["chdir"])
    settings["pythonpath"] = [decoded(path) for path in settings["pythonpath"]]
    places = list(settings.get("hooks", {}).values())
    program = settings.get("program")
    if program is not None:
        program["directory"] = decoded(program["directory"])
        places.append(program)
    for place in places:
        if place["file"] is not None:
            place["file"] = decoded(place["file"])


class _Zygote:
    def __init__(self, control, pool, settings, image):
        self._control = control
        self._pool = pool
        self._settings = settings
        self._image = image
        self._application = None
        # The native loop, or None and why not.
        self._extension = None
        self._extension_missing = None
        # Server hooks, and the server as they see it; None without any.
        self._hooks = self._server = None
        # Threads that hooks have begun, as far as that was told.
        self._threads_of_hooks = frozenset()
        # What is said of the application's files in development; None otherwise.
        self._watch = None
        # Where workers write to what they share with this process.
        self._touched = touched.Touched(pool.scoreboard)
        # A worker that waits to be needed.
        self._reserve = spare.Reserve()

    def run(self):
        """Serves the supervisor. Returns in a forked worker only, with what it is to do."""
        try:
            if self._settings.get("proc_name"):
                _name_process(self._settings["proc_name"])
            self._choose_loop(self._settings.get("worker_loop", "auto"))
            loggers.prepare(self._settings.get("log_level", "info"), self._settings.get("raw_output", False))
            directories = self._settings["pythonpath"]
            applications.enter_directory(self._settings["chdir"], directories)
            if self._settings.get("reload"):
                from .watch import Watch

                self._watch = Watch(self._control, [os.getcwd(), *directories])
            if self._settings.get("program"):
                from . import program

                program.execute(self._settings["program"], self._settings["cfg"]["env"], 1 + len(directories))
            if self._settings.get("hooks"):
                self._begin_hooks()
            self._tell_threads_of_hooks()
            if self._settings["threads"] > 1:
                interrupt.raiser(self._extension)
            report = self._import() if self._settings.get("preload", True) else self._report(self._settings["wsgi"], None)
        except BaseException as failure:
            explanation = applications.explain(failure)
            kind = applications.kind(failure)
            if self._watch:
                self._watch.report(failure)
            self._control.send({"type": "import_failed", "traceback": explanation, "kind": kind})
            raise EOFError from None
        if self._watch:
            self._watch.report()
        self._control.send(report)
        while True:
            while not self._control.is_readable(self._wait_seconds()):
                self._touched.look()
                waits = self._renew_spare()
                if waits is not None:
                    return self._begin(partial(spare.wait, waits), ())
            message, log = self._control.receive()
            if message["type"] == "fork":
                forked = self._fork(message["worker"], message["slot"], log)
                if forked is not None:
                    return self._begin(lambda: (message["slot"], log), forked)
            elif self._hooks:
                self._call_hook(message)
            if log is not None:
                os.close(log)

    def _wait_seconds(self):
        """Until there is something to do that nobody has asked for; None: there is nothing."""
        waits = (self._touched.wait_seconds(), self._reserve.wait_seconds(self._touched.ranges))
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def _renew_spare(self):
        """Forks the spare worker, if it is time. Returns in it what it is to wait on, else None."""
        if self._reserve.wait_seconds(self._touched.ranges) != 0:
            return None
        try:
            pid, waits = self._reserve.renew(self._fork_process, self._touched.ranges)
        except OSError:
            # It would be of use, no more.
            return None
        if pid:
            self._control.send({"type": "spare", "pid": pid})
        return waits

    def let_spare_go(self):
        """This process ends, and the spare worker before it."""
        self._reserve.dismiss()

    def _begin(self, place, forked):
        """In a worker that was just forked: what it is to do."""
        control = self._control
        if self._application is not None:
            if not self._watch:
                control.close()
            control = None
        return partial(
            worker.run, self._pool, self._settings, place, self._application, self._extension, forked, control, self._watch
        )

    def _begin_hooks(self):
        """Finds the hooks and calls those of the server's start, or of its reload. Raises what they raise."""
        from . import hooks

        self._hooks = hooks.Hooks(self._settings["hooks"])
        self._server = hooks.server(self._settings, self._hooks)
        workers, before = self._server.num_workers, self._settings["workers_before"]
        if workers != before:
            self._hooks.call("nworkers_changed", self._server, workers, before)
        self._hooks.call("on_starting" if before is None else "on_reload", self._server)
        if "pre_request" in self._hooks or "post_request" in self._hooks:
            # These are called by the loop in Python.
            self._extension = None
            self._extension_missing = "pre_request and post_request are called by the loop in Python"

    def _tell_threads_of_hooks(self, others=frozenset()):
        """Tells the supervisor of threads that hooks have begun, if that is news. `others`: threads that were there before them."""
        threads = frozenset(threading.enumerate()) - {threading.current_thread()} - others
        if not threads <= self._threads_of_hooks:
            self._threads_of_hooks |= threads
            names = sorted(thread.name[:64] for thread in self._threads_of_hooks if thread.is_alive())
            self._control.send({"type": "hook_threads", "threads": names[:THREADS_TOLD_MAX]})

    def _call_hook(self, message):
        before = frozenset(threading.enumerate()) - self._threads_of_hooks
        self._call_hook_of(message)
        if message["type"] != "exit":
            self._tell_threads_of_hooks(before)

    def _call_hook_of(self, message):
        if message["type"] == "ready":
            self._hooks.tell("when_ready", self._server)
        elif message["type"] == "worker_exited":
            worker_gone = self._server.WORKERS.pop(message["pid"], None)
            if worker_gone is not None:
                self._hooks.tell("child_exit", self._server, worker_gone)
        elif message["type"] == "workers_wanted":
            self._server.num_workers = message["workers"]
            self._hooks.tell("nworkers_changed", self._server, message["workers"], message["before"])
        elif message["type"] == "exit":
            self._hooks.tell("on_exit", self._server)

    def _choose_loop(self, wanted):
        """Loads the native loop if `wanted` is not "python". Raises native.Unavailable if it is "native" and cannot be."""
        image, self._image = self._image, None
        if wanted == "python":
            return
        try:
            self._extension = native.load(image)
        except native.Unavailable as failure:
            if wanted == "native":
                raise
            self._extension_missing = str(failure)

    def _import(self):
        with collector.importing():
            self._application = applications.load(self._settings["wsgi"], self._settings.get("serve_static", False))
            if self._server:
                self._server.app.callable = self._application
            if self._watch:
                applications.import_urls()
                warm.warm(0)
            else:
                at_start = self._settings.get("workers_before") is None
                warm.warm(TEMPLATES_S if at_start else TEMPLATES_AT_RELOAD_S)
        report = self._report(applications.full_name(self._settings["wsgi"]), project.facts())
        connections.close()
        report.update(_threads(self._threads_of_hooks))
        collector.settle()
        return report

    def _report(self, name, facts):
        return {
            "type": "imported",
            "python": sys.version.split()[0],
            "app": name,
            "django": facts,
            "loop": "native" if self._extension else "python",
            "native_missing": self._extension_missing,
            "gil": _gil(),
        }

    def _fork(self, number, slot, log):
        """Sees to it that there is one worker more, and tells the supervisor its process id, or why there is none. In a worker that was forked
        for it returns what it has to know of hooks, else None."""
        forked = ()
        if self._hooks:
            from . import standins

            self._server.worker_age = number
            forked = (self._hooks, self._server, standins.Worker(self._server, number))
            self._hooks.tell("pre_fork", *forked[1:])
            # Hooks may have opened some since the import.
            connections.close()
        try:
            pid = self._reserve.give(slot, log) or self._fork_process()
        except OSError as failure:
            self._control.send({"type": "fork_failed", "worker": number, "error": str(failure)})
            return None
        if pid == 0:
            return forked
        self._control.send({"type": "forked", "worker": number, "pid": pid})
        if self._application is not None:
            if self._extension:
                self._touched.forked(pid)
            if self._settings.get("spare"):
                self._reserve.forked()
        if forked:
            forked[2].pid = pid
            self._server.WORKERS[pid] = forked[2]
        return None

    def _fork_process(self):
        """Forks a process that belongs to the server. Returns its process id, in it 0. Raises OSError."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        pid = self._extension.fork_orphan() if self._extension else _fork_orphan()
        if pid == 0 and self._extension and self._touched.ranges:
            self._extension.copy_pages(self._touched.ranges)
        return pid


def _threads(of_hooks):
    """Threads beside this one and those of hooks, which workers will not have: the names of some of Python's, and how many others there are."""
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    try:
        native = len(os.listdir("/proc/self/task")) - 1 - len(others)
    except OSError:
        native = 0
    return {"threads": [thread.name[:64] for thread in others if thread not in of_hooks][:THREADS_TOLD_MAX], "native_threads": max(native, 0)}


def _gil():
    """Whether a free-threaded interpreter (PEP 703) has a GIL all the same; None for any other interpreter."""
    if "t" not in getattr(sys, "abiflags", ""):
        return None
    return sys._is_gil_enabled()


def _name_process(name):
    """The name that `top` shows (proc_pid_comm(5)), for this process and those that it forks."""
    with open("/proc/self/comm", "w") as file:
        file.write(name)


def _fork_orphan():
    """Forks a process that forks the worker and ends. Returns the worker's process id; in the worker, 0."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with os.fdopen(reader, "rb") as pipe, os.fdopen(writer, "wb", buffering=0) as told:
        between = os.fork()
        if between == 0:
            try:
                worker = os.fork()
                if worker == 0:
                    return 0
                os.write(writer, b"%d" % worker)
            except OSError as failure:
                os.write(writer, b"%d" % -failure.errno)
            os._exit(0)
        told.close()
        answer = int(pipe.read() or -errno.ECHILD)
        os.waitpid(between, 0)
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))
    return answer
