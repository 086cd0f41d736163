"""Tries an application out for `maitred check`: imports it as the workers do, and tells what a Django project says of itself.

Owns a process of its own, which ends here: the last line of its standard output is a JSON value, or the last line of its standard error
says what is wrong. Called by bootstrap.
"""
import json
import os
import sys

from . import application as applications
from . import project


def main(settings):
    # Standard input was the way in which the sources have come.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    code = 0
    try:
        applications.enter_directory(settings["chdir"], settings["pythonpath"])
        if settings.get("program"):
            from . import program

            program.execute(settings["program"], settings["env"], 1 + len(settings["pythonpath"]))
        applications.load(settings["wsgi"])
        last = "\n%s\n" % json.dumps(project.facts())
    except BaseException as failure:
        code = 1
        last = ""
        sys.stderr.write(applications.explain(failure))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.write(1, last.encode())
    # Threads that the import has started are nobody's concern.
    os._exit(code)
