"""Executes a gunicorn.conf.py where it has its effects: in the process that imports the application and forks the workers.

Owns how such a file becomes a module, once in a process. Its settings were read elsewhere and earlier; what it does beside them, to the environment, to
`sys.path`, to modules that it patches, is for the application. Called by the zygote, by `hooks` and by `trial`.
"""
import importlib
import importlib.machinery
import importlib.util
import os
import sys

# By their paths.
_loaded = {}


def execute(place, names, depth):
    """Executes what `place` tells of, where it is to be executed. Variables of these names keep their values, which the configuration
    has set; `depth` is how many directories come first in `sys.path` whatever happens. Raises what the file does."""
    fixed = {name: os.environ.get(name) for name in names}
    directory, back = place["directory"], os.getcwd()
    try:
        os.chdir(directory)
    except OSError:
        # Where the server was begun may be closed to this user.
        directory = back
    if directory not in sys.path:
        sys.path.insert(depth, directory)
    try:
        load(place["file"], place["module"])
    finally:
        os.chdir(back)
    os.environ.update({name: value for name, value in fixed.items() if value is not None})


def load(path, name):
    """The module that a file is, by the name that it has in Gunicorn; or, if there is no path, the module of this name."""
    if path is None:
        return importlib.import_module(name)
    if path not in _loaded:
        loader = importlib.machinery.SourceFileLoader("__config__", path)
        module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("__config__", path, loader=loader))
        sys.modules["__config__"] = module
        loader.exec_module(module)
        _loaded[path] = module
    return _loaded[path]
