"""The native loop: loads the extension (src/wsgi/native), and is called by it for all that is out of the ordinary.

Owns the decision whether this interpreter can run it, and the way from its requests to the classes of the loop in Python. Called by
the zygote, which loads it once, and by the worker.
"""
import importlib.machinery
import importlib.util
import os
import sys
from io import BytesIO

from . import response as responses
from . import request
from .interrupt import RequestTimeout
from .response import Response
from .scoreboard import SHARD, TOKEN
from .serve import Leave, answer, close_spooled, give_up, refuse, yield_to_shards

_NAME = "maitred_native"


class Unavailable(Exception):
    """The extension cannot run here. Says why."""


def load(image):
    """The extension from its bytes. Raises Unavailable."""
    if not image:
        raise Unavailable("this maitred was built without it")
    if sys.implementation.name != "cpython":
        raise Unavailable("it is for CPython, not for %s" % sys.implementation.name)
    if "t" in getattr(sys, "abiflags", "") or hasattr(sys, "getobjects"):
        # Their objects are laid out otherwise: the stable ABI is not for them.
        raise Unavailable("free-threaded and tracing builds of CPython have another ABI")
    try:
        descriptor = os.memfd_create("maitred-native", os.MFD_CLOEXEC)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(image)
            # With the process's id, so that the dynamic linker never takes it for another library in a descriptor.
            path = "/proc/%d/fd/%d" % (os.getpid(), descriptor)
            loader = importlib.machinery.ExtensionFileLoader(_NAME, path)
            module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(_NAME, path, loader=loader))
            loader.exec_module(module)
        finally:
            os.close(descriptor)
    except (AttributeError, ImportError, OSError) as failure:
        raise Unavailable(str(failure)) from None
    request.native = module
    return module


def serve(loop, hooks):
    """Answers requests until there are no more. Returns the exception that ends the worker, or None."""
    yield_to_shards()
    while True:
        try:
            return loop.run()
        except Leave:
            return None
        except RequestTimeout:
            fatal = hooks.give_up()
            if fatal is not None:
                return fatal


class Hooks:
    """What a thread's loop calls."""

    BytesIO = BytesIO

    def __init__(self, slot, replies, application, settle):
        self._words = slot.words
        self._replies = replies
        self._application = application
        self.settle = settle

    def give_up(self):
        return give_up(self._words, self._replies, self.settle)

    def make_response(self, token, shard, head_only, status, reason, fields, declared, is_over):
        """The Response that takes over from a request's `start_response`, whose state it is given."""
        response = Response(self._replies[shard], token, head_only)
        response.words = self._words
        response.status = status
        response.reason = reason
        response.fields = fields
        response.declared = declared
        response.started = response.ended = bool(is_over)
        return response

    def deliver(self, result, environ, response):
        fatal = responses.deliver(result, environ, response)
        response.release()
        return fatal

    def failed(self, failure, environ, response):
        fatal = responses.fail(failure, environ, response)
        response.release()
        return fatal

    def open_body(self, descriptor, length):
        """What the application reads a body in a descriptor from, the body as a file, and what else is to be closed. None: `answer` finds out why."""
        try:
            spooled, body_input = request.spooled_input(descriptor, length)
        except (OSError, ValueError):
            return None
        return body_input, request.InputFile(spooled), spooled

    def close_body(self, body_input, spooled):
        words = self._words
        close_spooled(body_input, spooled, words[TOKEN], self._replies[words[SHARD]])

    def answer(self, environ, body, descriptors):
        words = self._words
        return answer(environ, body, descriptors, words, self._replies[words[SHARD]], self._application)

    def refuse(self, has_header, descriptors, what):
        words = self._words
        if has_header:
            return refuse(words[TOKEN], self._replies[words[SHARD]], descriptors, ValueError(what))
        return refuse(None, None, descriptors, ValueError(what))
