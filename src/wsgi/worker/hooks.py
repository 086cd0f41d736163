"""Server hooks: callables of the user's that are called where the server's life has a corner, by the names that Gunicorn gives them.

Owns how they are found, what they are given, and what follows when one fails. The objects that they are given have those attributes of Gunicorn's
that hooks use. Called by the zygote, which plays the part of Gunicorn's arbiter, and by the worker. Nothing of this is imported without hooks.
"""
import importlib
import importlib.machinery
import importlib.util
import logging
import os
import sys
import types

from .errors import errors, report_failure


class Hooks:
    """The hooks that are configured. One that is not does nothing."""

    def __init__(self, named):
        """`named`: for each hook's name the file or None, the module or None, and the attribute. Raises what importing them does."""
        files = {}
        self._found = {name: _find(place, files) for name, place in named.items()}

    def __contains__(self, name):
        return name in self._found

    def call(self, name, *arguments):
        """Calls a hook that may end what is being done, by raising."""
        hook = self._found.get(name)
        if hook is not None:
            hook(*arguments)

    def tell(self, name, *arguments):
        """Calls a hook that is only told: a failure goes to the log, and life goes on."""
        try:
            self.call(name, *arguments)
        except Exception:
            report_failure({}, "the hook %s failed" % name)


def _find(place, files):
    if place["file"] is None:
        found = importlib.import_module(place["module"])
    else:
        path = place["file"]
        found = files.get(path) or files.setdefault(path, _load(path))
    for attribute in place["attribute"].split("."):
        found = getattr(found, attribute)
    if not callable(found):
        raise TypeError("the hook %s is not callable" % place["attribute"])
    return found


def _load(path):
    """The module that a file is, by the name that it has in Gunicorn."""
    loader = importlib.machinery.SourceFileLoader("__config__", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("__config__", path, loader=loader))
    sys.modules["__config__"] = module
    loader.exec_module(module)
    return module


def _logger():
    """Lines for the server's log, by the name of the logger that hooks may ask logging for."""
    logger = logging.getLogger("gunicorn.error")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(errors))
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


class Server:
    """In the place of Gunicorn's arbiter."""

    def __init__(self, settings):
        env = {name: os.environ.get(name) for name in settings["cfg"]["env"]}
        self.cfg = types.SimpleNamespace(**{**settings["cfg"], "chdir": settings["chdir"], "env": env})
        self.log = _logger()
        self.pid = os.getppid()
        self.proc_name = settings["cfg"].get("proc_name")
        self.num_workers = settings["cfg"].get("workers")
        self.WORKERS = {}


class Worker:
    """In the place of Gunicorn's worker. `age` counts workers from 1."""

    def __init__(self, server, age):
        self.age = age
        self.pid = None
        self.ppid = server.pid
        self.cfg = server.cfg
        self.log = server.log
        self.timeout = server.cfg.timeout
        self.alive = True
        self.booted = False
        self.aborted = False
        self.nr = 0
        self.wsgi = None

    def __str__(self):
        return "<Worker %s>" % self.pid


class Request:
    """What is known of a request before the application has it."""

    def __init__(self, environ):
        self.method = environ["REQUEST_METHOD"]
        self.uri = environ["RAW_URI"]
        self.path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        self.query = environ["QUERY_STRING"]
        self.fragment = ""
        self.version = (1, 0) if environ["SERVER_PROTOCOL"] == "HTTP/1.0" else (1, 1)
        self.scheme = environ["wsgi.url_scheme"]
        self.remote_addr = (environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", ""))
        self.headers = [(key[5:].replace("_", "-"), value) for key, value in environ.items() if key.startswith("HTTP_")]
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                self.headers.append((key.replace("_", "-"), environ[key]))


class Response:
    """What the application said of its response."""

    def __init__(self):
        self.status = None
        self.status_code = None
        self.headers = []

    def note(self, status, headers):
        self.status = status
        self.status_code = int(status[:3])
        self.headers = list(headers)


def around_requests(hooks, worker, answer):
    """`answer` of `serve`, with pre_request before the application and post_request after the response."""

    def answer_with_hooks(environ, body, descriptors, words, replies, application):
        request, response = Request(environ), Response()

        def watched(environ, start_response):
            hooks.call("pre_request", worker, request)

            def start(status, headers, exc_info=None):
                write = start_response(status, headers, exc_info)
                response.note(status, headers)
                return write

            return application(environ, start)

        fatal = answer(environ, body, descriptors, words, replies, watched)
        worker.nr += 1
        hooks.tell("post_request", worker, request, environ, response)
        return fatal

    return answer_with_hooks
