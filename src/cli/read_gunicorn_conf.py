"""Evaluate a gunicorn.conf.py and tell what it says: arguments are the place and the names that count, the latter separated by commas.

The place is a file's name, with `file:` before it or without, or `python:` and the name of a module. The answer is one JSON object on standard
output; what the file prints goes to standard error. An exception is shown as Python shows it, from the file's own frames on.
"""
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import traceback

location, names = sys.argv[1:]
names = set(names.split(","))
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.argv[1:] = []
sys.path[:] = [os.getcwd(), *(entry for entry in sys.path if entry)]


def evaluate():
    kind, _, rest = location.partition(":")
    if kind == "python" and rest:
        return vars(importlib.import_module(rest))
    path = rest if kind == "file" and rest else location
    loader = importlib.machinery.SourceFileLoader("__config__", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("__config__", path, loader=loader))
    sys.modules["__config__"] = module
    loader.exec_module(module)
    return vars(module)


def show(failure):
    frames = failure.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(("<string>", "<frozen importlib", importlib.__file__)):
        frames = frames.tb_next
    traceback.print_exception(type(failure), failure, frames)


try:
    found = evaluate()
except SystemExit as leaving:
    print("the file has called sys.exit(%r)" % (leaving.code,), file=sys.stderr)
    sys.exit(1)
except BaseException as failure:
    show(failure)
    sys.exit(1)
settings, callables, odd = [], [], []
for name, value in found.items():
    # Other cases are variables of the file's own, as for Gunicorn.
    if name not in names:
        continue
    if callable(value):
        callables.append(name)
        continue
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        odd.append(name)
    else:
        settings.append([name, value])
json.dump({"settings": settings, "callables": callables, "odd": odd}, answer)
answer.flush()
sys.stderr.flush()
os._exit(0)
