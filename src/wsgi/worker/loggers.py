"""Gunicorn's loggers, for applications that write to them or take over their handlers and level: `gunicorn.error` and `gunicorn.access`.

Owns their set-up, which comes with the application's own import of `logging`: who does without it does not pay for it. Called by the zygote, before
anything of the user's is imported.
"""
import sys
from importlib.machinery import PathFinder

from .errors import errors

# Beside the server's own words for them: Python has none below DEBUG.
_LEVELS = {"error": "ERROR", "warn": "WARNING", "info": "INFO", "debug": "DEBUG", "trace": "DEBUG"}
# In the log each line has its time already; what goes to standard error as it is has Gunicorn's form.
_LOGGED = ("[%(levelname)s] %(message)s", None)
_RAW = ("%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S %z]")


def prepare(level, is_raw):
    """Sees to it that whoever imports `logging` finds the loggers, `gunicorn.error` at `level`."""
    form = _RAW if is_raw else _LOGGED
    logging = sys.modules.get("logging")
    if logging is not None:
        _set_up(logging, level, form)
    else:
        sys.meta_path.insert(0, _Finder(level, form))


class _Finder:
    """Finds `logging`, once, and sets the loggers up when it has been executed."""

    def __init__(self, level, form):
        self._level = level
        self._form = form

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, lambda module: _set_up(module, self._level, self._form))
        return spec


class _Loader:
    """The loader of one module, after which `then` is called. The module keeps no trace of it."""

    def __init__(self, loader, then):
        self._loader = loader
        self._then = then

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)


def _set_up(logging, level, form):
    if not hasattr(logging, "StreamHandler"):
        # A module of the project's own that has the name.
        return
    handler = logging.StreamHandler(errors)
    handler.setFormatter(logging.Formatter(*form))
    for name, least in (("gunicorn.error", _LEVELS[level]), ("gunicorn.access", "INFO")):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(least)
        logger.addHandler(handler)
