"""A worker process after its fork: signals, threads, end.

Owns everything of the process that is not one request. Called by the zygote in the child.
"""
import atexit
import faulthandler
import os
import random
import signal
import socket
import sys
import threading
from functools import partial
# By their names: gevent takes epoll out of the module when it patches it.
from select import EPOLLEXCLUSIVE, EPOLLIN, epoll

from . import application as applications
from . import collector, connections, native, project, scoreboard
from .errors import errors
from .interrupt import Interrupter, raiser
from .serve import Leave, answer, constants, serve

# How a worker ends that could not import the application, and one whose module has no such application.
EXIT_NOT_IMPORTED = 3
EXIT_NO_APPLICATION = 4

_FOR_THE_SERVER = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def run(pool, settings, place, loaded, extension, forked=(), control=None, watch=None):
    """Serves until the inbox ends or SIGTERM; then raises SystemExit.

    `pool` has the descriptors; `place` returns the place on the scoreboard, and what becomes 1 and 2, or None, and may take long; `loaded` is the application, or None if it is to be
    imported here; `extension` has the native loop, or is None; `forked` has server hooks with the server and the worker as they see
    them, or nothing. `control` is there if the application is to be imported here: the supervisor hears of a Django project over it.
    `watch` is told of what is imported, if anybody wants to know.
    """
    _make_lines_leave_at_once()
    _reset_signals()
    connections.abandon()
    faulthandler.enable(file=2, all_threads=True)
    random.seed()
    slot, log = place()
    if log is not None:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    hooked = _Hooked(*forked) if forked else None
    try:
        if hooked:
            hooked.call("post_fork", hooked.server, hooked.worker)
        if loaded is None:
            with collector.importing():
                loaded = applications.load(settings["wsgi"], settings.get("serve_static", False))
                if watch:
                    applications.import_urls()
            _tell_project(control, watch)
            collector.settle()
        if hooked:
            hooked.worker.wsgi = hooked.server.app.callable = loaded
            hooked.call("post_worker_init", hooked.worker)
            hooked.worker.booted = True
    except BaseException as failure:
        explanation = applications.explain(failure)
        errors.write(explanation)
        if watch:
            watch.fail(failure, explanation, applications.kind(failure))
        sys.exit(EXIT_NO_APPLICATION if applications.kind(failure) == "attribute" else EXIT_NOT_IMPORTED)
    if watch:
        watch.follow()
    loaded = applications.mounted(loaded, os.environ)
    threads = settings["threads"]
    first = slot * threads
    slots = scoreboard.slots(pool.scoreboard, first, threads)
    inbox = socket.socket(fileno=pool.inbox)
    replies = [socket.socket(fileno=descriptor) for descriptor in pool.replies]
    shared_environ = constants(settings)
    interrupter = Interrupter(slots, raiser(extension) if threads > 1 else None, hooked.abort if hooked else None)

    def prepare(index, receive, idle):
        """What a thread calls to serve, and what tells it to take no more. The loop in Python waits in `receive`, which has to
        know that by itself; the native one waits for the inbox, or for the descriptor `idle` if that is not negative."""
        settle = partial(interrupter.settle, index)
        if extension is None:
            answering = hooked.answering() if hooked else None
            return partial(serve, receive, slots[index], replies, loaded, shared_environ, settle, answering), lambda: None
        hooks = native.Hooks(slots[index], replies, loaded, settle)
        lines = (pool.scoreboard, first + index, pool.outbox, settings["generation"], pool.requests, pool.bell)
        loop = extension.Loop(pool.inbox, idle, *lines, tuple(pool.replies), loaded, shared_environ, hooks)
        os.register_at_fork(after_in_child=loop.leave_rings)
        return partial(native.serve, loop, hooks), loop.leave

    waking = [pool.inbox] if pool.bell < 0 or extension is None else [pool.inbox, pool.bell]
    crew = _Alone(inbox, slots[0], prepare, interrupter) if threads == 1 else _Crew(inbox, waking, slots, prepare, interrupter)
    os.close(pool.scoreboard)
    os.close(pool.outbox)
    if pool.requests >= 0:
        os.close(pool.requests)
    if hooked:
        hooked.heed_signals(interrupter)
    fatal = crew.run()
    if hooked:
        hooked.ending()
    _exit(fatal)


def _tell_project(control, watch):
    """Tells the supervisor what the zygote tells with preload. Closes the socket, unless it is needed on: its end means that there is no
    zygote any more."""
    facts = project.facts()
    try:
        if facts is not None:
            control.send({"type": "project", "django": facts})
        if not watch:
            control.close()
    except OSError:
        # The server is gone: the inbox says so too.
        pass


class _Hooked:
    """The server hooks of this worker."""

    def __init__(self, hooks, server, worker):
        self._hooks = hooks
        self.call = hooks.call
        self.server = server
        self.worker = worker
        worker.pid = os.getpid()
        server.WORKERS = {}

    def answering(self):
        """What stands in for `serve.answer`, or None."""
        if "pre_request" not in self._hooks and "post_request" not in self._hooks:
            return None
        from .hooks import around_requests

        return around_requests(self._hooks, self.worker, answer)

    def heed_signals(self, interrupter):
        self._interrupter = interrupter
        if "worker_int" in self._hooks:
            signal.signal(signal.SIGINT, self._interrupted)
        if "worker_abort" in self._hooks:
            signal.signal(signal.SIGABRT, self._aborted)

    def abort(self):
        """A request takes too long. Once for each."""
        self._hooks.tell("worker_abort", self.worker)

    def ending(self):
        self.worker.alive = False
        self._hooks.tell("worker_exit", self.server, self.worker)

    def _interrupted(self, _signal, _frame):
        # Ctrl+C comes from the terminal and from the server.
        if not self.worker.alive:
            return
        self.worker.alive = False
        self._hooks.tell("worker_int", self.worker)

    def _aborted(self, _signal, _frame):
        """The stacks first, as without a hook: what follows may hang."""
        faulthandler.dump_traceback(file=2, all_threads=True)
        self.worker.aborted = True
        if not self._interrupter.has_told():
            self.abort()
        self.ending()
        errors.flush()
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGABRT)


def _exit(fatal):
    errors.flush()
    if isinstance(fatal, SystemExit):
        raise fatal
    sys.exit(1 if isinstance(fatal, KeyboardInterrupt) else 0)


class _Alone:
    """The main thread serves.

    SIGTERM is heard between two bytecodes or in the wait for a message. The slot tells which: with a token in it, a message
    has been taken, even if `recvmsg_into` has not returned yet, and will be answered first. (A signal that falls exactly
    between the last bytecode and the system call is heard at the next one: who sends SIGTERM, repeats it.)
    """

    def __init__(self, inbox, slot, prepare, interrupter):
        self._inbox = inbox
        self._slot = slot
        self._interrupter = interrupter
        self._leaving = False
        self._serve, self._leave = prepare(0, self._receive, -1)

    def run(self):
        fatal = None
        try:
            # Whoever sees that this worker is there may signal it from then on.
            signal.signal(signal.SIGTERM, self._terminate)
            self._interrupter.enter(0)
            self._interrupter.hear_alone()
            self._slot.enter(os.getpid())
            fatal = self._serve()
            self._slot.leave()
            signal.signal(signal.SIGTERM, _ignore)
        except Leave:
            signal.signal(signal.SIGTERM, _ignore)
        return fatal

    def _terminate(self, _signal, _frame):
        self._leaving = True
        self._leave()
        self._slot.leave()
        if self._slot.words[scoreboard.TOKEN] == 0:
            raise Leave

    def _receive(self, buffers, ancillary_bytes, flags):
        if self._leaving:
            raise Leave
        return self._inbox.recvmsg_into(buffers, ancillary_bytes, flags)


class _Crew:
    """Several threads serve; the main thread waits for signals and for them."""

    def __init__(self, inbox, waking, slots, prepare, interrupter):
        """`waking`: descriptors that are readable when there is something for one of the threads: the inbox, and the bell if there is one."""
        self._inbox = inbox
        self._waking = waking
        self._slots = slots
        self._interrupter = interrupter
        self._fatal = None
        self._leaving = False
        # What happened: a byte for each signal, written by the interpreter in whatever thread, or 0 for a thread's end.
        self._news, self._tell = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._tell, False)
        # Readable for good, once its other end is closed.
        self._stop, self._stopper = os.pipe2(os.O_CLOEXEC)
        # Idle threads wait here and not in recvmsg: nothing can wake a thread from that but a message.
        self._idle = epoll()
        self._watch()
        self._idle.register(self._stop, EPOLLIN)
        self._serves = [prepare(index, self._receive, self._idle.fileno()) for index in range(len(slots))]

    def run(self):
        for number in (signal.SIGTERM, signal.SIGURG):
            signal.signal(number, _ignore)
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        for slot in self._slots:
            slot.enter(os.getpid())
        threads = [
            threading.Thread(target=self._serve, args=(index, slot, serve_here), name="maitred-%d" % index, daemon=True)
            for index, (slot, (serve_here, _)) in enumerate(zip(self._slots, self._serves))
        ]
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            for event in os.read(self._news, 64):
                if event == 0:
                    running -= 1
                elif event == signal.SIGTERM:
                    self._leave()
                elif event == signal.SIGURG:
                    self._interrupter.strike(self._wake)
        for thread in threads:
            thread.join()
        signal.set_wakeup_fd(-1)
        return self._fatal

    def _wake(self):
        """Has an idle thread look for work: what is registered anew is looked at, and wakes one if there is something."""
        for descriptor in self._waking:
            self._idle.unregister(descriptor)
        self._watch()
        for bell in self._waking[1:]:
            # There may be something that nobody has rung for.
            os.write(bell, (1).to_bytes(8, sys.byteorder))

    def _watch(self):
        """One message wakes one worker."""
        for descriptor in self._waking:
            self._idle.register(descriptor, EPOLLIN | EPOLLEXCLUSIVE)

    def _leave(self):
        if not self._leaving:
            self._leaving = True
            for slot, (_, leave_here) in zip(self._slots, self._serves):
                leave_here()
                slot.leave()
            os.close(self._stopper)

    def _serve(self, index, slot, serve_here):
        try:
            self._interrupter.enter(index)
            fatal = serve_here()
            if fatal is not None:
                self._fatal = fatal
                # The other threads stop too: said as if by signal, for the main thread alone closes things.
                os.write(self._tell, bytes((signal.SIGTERM,)))
        finally:
            slot.leave()
            os.write(self._tell, b"\0")

    def _receive(self, buffers, ancillary_bytes, flags):
        flags |= socket.MSG_DONTWAIT
        if self._leaving:
            raise Leave
        while True:
            try:
                return self._inbox.recvmsg_into(buffers, ancillary_bytes, flags)
            except BlockingIOError:
                if self._leaving:
                    raise Leave from None
                # A message wakes one idle thread of all workers. Whoever was woken looks for it, told to leave or not: nobody
                # else would until the next one comes.
                self._idle.poll()


def ignore_signals_at_the_end():
    """Keeps signals from a process that ends by itself: the interpreter gives those that have a handler their default meaning back before it
    clears the modules away, which may take long, and whoever sends SIGTERM repeats it. Called first of all, so that what the application
    does at its exit comes before, and programs that it starts there are not deaf."""
    atexit.register(_turn_deaf)


def _turn_deaf():
    for number in (signal.SIGTERM, *_FOR_THE_SERVER):
        signal.signal(number, signal.SIG_IGN)


def _ignore(_signal, _frame):
    """A handler rather than SIG_IGN, which would be passed on to programs that the application starts."""


def leave_signals_to_the_server():
    """Those of the terminal and of an operator."""
    for number in _FOR_THE_SERVER:
        signal.signal(number, _ignore)


def _reset_signals():
    """SIGTERM has a meaning of its own once there is something to finish."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    leave_signals_to_the_server()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _make_lines_leave_at_once():
    """`print()` in the application reaches the log line by line."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.reconfigure(line_buffering=True)
        except (AttributeError, ValueError):
            # The application put something of its own there.
            pass
