"""A request that takes too long gets an exception in its thread, so that the thread lets go of it and the process lives on.

Owns that exception, and the two promises about it: it is raised in the application's code and not in ours, and never for a request that is over.
The supervisor writes the request's token into the thread's line of the scoreboard and sends SIGURG, again and again as long as the thread has the
request; what becomes of a process that does not let go is its affair. By the same signal it asks whether the process lives, and takes the work that waits.
"""
import faulthandler
import signal
import sys
import threading

from .scoreboard import INTERRUPT, LIFE, TOKEN


class RequestTimeout(BaseException):
    """The request has taken longer than `timeout`. Not an Exception: code that goes on after anything that fails is not to swallow it."""


# Our functions that call the application.
_CALLERS = frozenset(("respond", "deliver", "send_stream", "__next__", "serve", "with_static_files", "at", "watched", "call"))
# The one that waits for the application's client.
_WAITS = "take"


def may_be_struck(frame):
    """Whether an exception at this frame is the application's: the first of our functions on the way out has called it."""
    is_inner = True
    while frame is not None and not frame.f_code.co_filename.startswith("<maitred>"):
        is_inner = False
        frame = frame.f_back
    if frame is None:
        return False
    name = frame.f_code.co_name
    return name == _WAITS or (name in _CALLERS and not is_inner)


class Interrupter:
    """Hears the supervisor's word and passes it on to the threads of one worker."""

    def __init__(self, slots, raise_in=None, abort=None):
        """`raise_in` is what `raiser` makes, where there are several threads; `abort` is called once for each request that takes too long, before its
        thread is struck, in the main thread."""
        self._raise_in = raise_in
        self._abort = abort
        self._aborting = False
        self._words = [slot.words for slot in slots]
        # For each thread: the request for which it was struck, the one whose stacks were written, and its identity.
        self._struck = [0] * len(slots)
        self._told = [0] * len(slots)
        self._threads = [None] * len(slots)
        # Between a look at a thread's token and its strike the token must not change.
        self._lock = threading.Lock()

    def enter(self, index):
        """The calling thread is that of this line."""
        self._threads[index] = threading.get_ident()

    def hear_alone(self):
        """The only thread serves: it is struck out of the handler, at once."""
        signal.signal(signal.SIGURG, self._strike_here)

    def _strike_here(self, _signal, frame):
        words = self._words[0]
        words[LIFE] = 0
        token = words[INTERRUPT]
        # A handler that interrupts the hook has nothing to add.
        if token and token == words[TOKEN] and not self._aborting:
            if self._tell(0, token):
                self._call_abort()
            if self._struck[0] != token and may_be_struck(frame):
                self._struck[0] = token
                raise RequestTimeout("the request took too long")

    def strike(self, wake):
        """Strikes the threads that are to be, from the main thread, which serves nothing. `wake` has idle ones look for work; who serves
        alone looks anyway when its wait was interrupted."""
        if self._words[0][LIFE]:
            self._words[0][LIFE] = 0
            wake()
        for index, words in enumerate(self._words):
            token = words[INTERRUPT]
            if token and token == words[TOKEN]:
                if self._tell(index, token):
                    # It may take long, and no thread is to wait for it that has finished meanwhile.
                    self._call_abort()
                with self._lock:
                    if token == words[TOKEN]:
                        self._strike(index, token)

    def _strike(self, index, token):
        thread = self._threads[index]
        if self._raise_in is None or self._struck[index] == token:
            return
        if _runs_at_once() or may_be_struck(sys._current_frames().get(thread)):
            self._struck[index] = token
            self._raise_in(thread, RequestTimeout)

    def _tell(self, index, token):
        """All stacks, once for each request. Whether it was now."""
        if self._told[index] == token:
            return False
        self._told[index] = token
        faulthandler.dump_traceback(file=2, all_threads=True)
        return True

    def has_told(self):
        """Whether a request is in hand for which `abort` was called."""
        return any(told and told == words[TOKEN] for told, words in zip(self._told, self._words))

    def _call_abort(self):
        if self._abort is not None:
            self._aborting = True
            try:
                self._abort()
            finally:
                self._aborting = False

    def settle(self, index):
        """The request that was to be struck is over, and its token is gone: what is on its way to this thread is taken back."""
        while True:
            try:
                with self._lock:
                    if self._raise_in is not None:
                        self._raise_in(self._threads[index], None)
                    self._words[index][INTERRUPT] = 0
                return
            except RequestTimeout:
                # It was faster. There is one for each request.
                continue


def _runs_at_once():
    """Whether another thread goes on while this one looks at its frames, which then must not be looked at."""
    has_gil = getattr(sys, "_is_gil_enabled", None)
    return has_gil is not None and not has_gil()


def raiser(extension):
    """What raises an exception in a thread when that comes to its next line of Python, or takes back what is on its way (None). There is none
    where the interpreter can't do it: then the process is ended instead. Called before the fork: an import takes long while other threads compute."""
    if extension is not None:
        return extension.Loop.raise_in
    try:
        import ctypes

        set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (AttributeError, ImportError):
        return None

    def raise_in(thread, exception):
        set_exception(ctypes.c_ulong(thread), None if exception is None else ctypes.py_object(exception))

    return raise_in
