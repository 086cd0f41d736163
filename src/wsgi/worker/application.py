"""Finds and imports the WSGI application.

Never imports Django for an application that does not. Called by the zygote, by each worker without preload, and by `maitred check`.
"""
import ast
import importlib
import os
import sys
import traceback
from functools import partial

from .errors import outside
from .native import Unavailable

# A traceback has to fit a control message, in which a character can take six bytes.
EXPLANATION_CHARACTERS_MAX = 8 * 1024

_LOADERS = ("<frozen importlib", importlib.__file__)

# Flags of a coroutine function's code, and of an asynchronous generator's (CO_COROUTINE and CO_ASYNC_GENERATOR of inspect).
_CO_ASYNC = 0x80 | 0x200


class AttributeMissing(Exception):
    """The module was imported but has no such application."""


class NotWsgi(AttributeMissing):
    """What is named there is no WSGI application."""


class NotNamed(Exception):
    """There is no application to be found."""


def enter_directory(directory, pythonpath):
    """Makes the project importable: its directory and `pythonpath`, the first of which wins, come before all else."""
    if directory is not None:
        os.chdir(directory)
    for path in [os.getcwd()] + [os.path.abspath(path) for path in reversed(pythonpath)]:
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)


def load(name, serves_static=False):
    """The application that `name` means: `module`, `module:attribute`, `module:factory("literal")`, or None for Django's. If it
    `serves_static`, with Django's static files before it."""
    if name is None:
        loaded = _load_django()
    else:
        module_name, _, expression = name.partition(":")
        loaded = _evaluate(importlib.import_module(module_name), expression or "application")
    _set_script_prefix(os.environ.get("SCRIPT_NAME", ""))
    if serves_static:
        from . import statics

        return statics.around(loaded)
    return loaded


def full_name(name):
    """`name` as `module:attribute`."""
    if name is None:
        from django.conf import settings

        dotted = settings.WSGI_APPLICATION
        if dotted is None:
            return "django.core.wsgi:get_wsgi_application()"
        return ":".join(dotted.rpartition(".")[::2])
    return name if ":" in name else name + ":application"


def _load_django():
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise NotNamed("no application is named, and DJANGO_SETTINGS_MODULE is not set")
    from django.conf import settings

    if settings.WSGI_APPLICATION is None:
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()
    module_name, _, attribute = settings.WSGI_APPLICATION.rpartition(".")
    return _evaluate(importlib.import_module(module_name), attribute)


def _evaluate(module, expression):
    """An attribute of the module, or what its factory returns for literal arguments (as gunicorn has it)."""
    try:
        tree = ast.parse(expression, mode="eval").body
        call = tree if isinstance(tree, ast.Call) else None
        target = ast.unparse(call.func if call else tree)
        arguments = [ast.literal_eval(argument) for argument in call.args] if call else []
        keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords} if call else {}
        if None in keywords:
            raise ValueError("a mapping's items are no literal arguments")
    except (SyntaxError, ValueError, TypeError):
        raise AttributeMissing("%r is neither an attribute nor a call with literal arguments" % expression) from None
    found = module
    for attribute in target.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise AttributeMissing("module %r has no attribute %r" % (module.__name__, target)) from None
    if call:
        try:
            found = found(*arguments, **keywords)
        except TypeError as failure:
            # It never began: it does not take these arguments, or is nothing to be called.
            if failure.__traceback__.tb_next is None:
                raise AttributeMissing("%r in module %r: %s" % (expression, module.__name__, failure)) from None
            raise
    if not callable(found):
        raise AttributeMissing("%r in module %r is not callable" % (expression, module.__name__))
    if _is_asgi(found):
        raise NotWsgi(
            "%r in module %r is an ASGI application, since calling it gives a coroutine, and applications are WSGI here: name the project's WSGI "
            "application, in Django PROJECT.wsgi:application; one of Starlette or FastAPI can be wrapped in a2wsgi.ASGIMiddleware"
            % (expression, module.__name__)
        )
    return found


def _is_asgi(found):
    """Whether it is a coroutine function, or an object that is called like one. As `inspect` has it, which costs the start of small applications too
    much."""
    while isinstance(found, partial):
        found = found.func
    called = found if hasattr(found, "__code__") else getattr(type(found), "__call__", None)
    return bool(getattr(getattr(called, "__code__", None), "co_flags", 0) & _CO_ASYNC)


def _set_script_prefix(name):
    """Has Django put it before relative URLs in its settings, which it does once for all when they are first read. Where nothing reads them ahead
    it has it from the first request."""
    conf = sys.modules.get("django.conf")
    if name and conf is not None and conf.settings.configured:
        from django.urls import set_script_prefix

        set_script_prefix(name.rstrip("/") + "/")


def import_urls():
    """Imports what Django puts off until its first request: the URLs, and with them the views."""
    conf, urls = sys.modules.get("django.conf"), sys.modules.get("django.urls")
    if conf is not None and urls is not None and conf.settings.configured and hasattr(conf.settings, "ROOT_URLCONF"):
        urls.get_resolver().url_patterns


def explain(failure):
    """The traceback of a failed import, without the frames that led to it."""
    if isinstance(failure, (AttributeMissing, NotNamed)):
        return "%s\n" % failure
    if isinstance(failure, Unavailable):
        return "worker_loop = \"native\", but the native loop can't run here: %s\n" % failure
    frames = outside(failure.__traceback__)
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_LOADERS):
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(failure), failure, frames))
    if len(text) > EXPLANATION_CHARACTERS_MAX:
        text = "[...]\n" + text[-EXPLANATION_CHARACTERS_MAX:]
    return text


def mounted(application, environment):
    """`application` under the path that SCRIPT_NAME in the process's environment names, as Gunicorn has it; without one, itself."""
    prefix = environment.get("SCRIPT_NAME", "").rstrip("/")
    if not prefix:
        return application
    # As paths come: each byte is a character (PEP 3333, "Unicode Issues").
    prefix = prefix.encode("utf-8", "surrogateescape").decode("latin-1")
    # In development: an absolute STATIC_URL lies beside it.
    files = getattr(application, "files", lambda environ, path, start_response: None)

    def at(environ, start_response):
        path = environ["PATH_INFO"]
        rest = path[len(prefix) :]
        if not path.startswith(prefix) or rest[:1] not in ("", "/"):
            found = files(environ, path, start_response)
            if found is not None:
                return found
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Not Found\n"]
        environ["SCRIPT_NAME"] = prefix
        environ["PATH_INFO"] = rest
        return application(environ, start_response)

    return at


def kind(failure):
    """Which sort of failure an exception of `load` is, for the control protocol."""
    return "attribute" if isinstance(failure, AttributeMissing) else "import"
