"""Server hooks: callables of the user's that are called where the server's life has a corner, by the names that Gunicorn gives them.

Owns how they are found, with how many arguments they are called, and what follows when one fails; what they are given is in `standins`. Called by
the zygote, which plays the part of Gunicorn's arbiter, and by the worker. Nothing of this is imported without hooks.
"""
import inspect
import logging

from . import program, standins
from .errors import report_failure

# How many arguments each of them is called with.
PARAMETERS = {
    "on_starting": 1,
    "on_reload": 1,
    "when_ready": 1,
    "pre_fork": 2,
    "post_fork": 2,
    "post_worker_init": 1,
    "worker_int": 1,
    "worker_abort": 1,
    "pre_request": 2,
    "post_request": 4,
    "child_exit": 2,
    "worker_exit": 2,
    "nworkers_changed": 3,
    "on_exit": 1,
}
# Of these the last ones may be missing: so many have to be there.
PARAMETERS_MIN = {"post_request": 2}


class Hooks:
    """The hooks that are configured. One that is not does nothing."""

    def __init__(self, named):
        """`named`: for each hook's name the file or None, the module or None, and the attribute. Raises what importing them does."""
        self._found = {name: _fitted(name, _find(place)) for name, place in named.items()}

    def __contains__(self, name):
        return name in self._found

    def get(self, name):
        return self._found.get(name)

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


def _find(place):
    found = program.load(place["file"], place["module"])
    for attribute in place["attribute"].split("."):
        found = getattr(found, attribute)
    if not callable(found):
        raise TypeError("the hook %s is not callable" % place["attribute"])
    return found


def _fitted(name, hook):
    """`hook` as something that takes as many arguments as a hook of this name is called with. Raises TypeError if it takes too few or too many."""
    wanted = PARAMETERS[name]
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        # Made in C, without telling.
        return hook
    by_place = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if any(one.kind == one.KEYWORD_ONLY and one.default is one.empty for one in parameters):
        raise TypeError("the hook %s is called without keywords, and needs some" % name)
    takes_any = any(one.kind == one.VAR_POSITIONAL for one in parameters)
    needed = sum(one.default is one.empty for one in by_place)
    given = wanted if takes_any else min(wanted, len(by_place))
    if given < PARAMETERS_MIN.get(name, wanted) or needed > given:
        raise TypeError("the hook %s is called with %d arguments, and takes %d" % (name, wanted, max(needed, len(by_place))))
    if given == wanted:
        return hook

    def call(*arguments):
        return hook(*arguments[:given])

    return call


def server(settings, hooks):
    """The server as hooks see it, with the logger that `loggers` has set up."""
    given = {name: hooks.get(name) or _nothing for name in PARAMETERS}
    return standins.Server(settings, given, logging.getLogger("gunicorn.error"))


def _nothing(*_arguments):
    """A hook that there is not."""


def around_requests(hooks, worker, answer):
    """`answer` of `serve`, with pre_request before the application and post_request after the response."""

    def answer_with_hooks(environ, body, descriptors, words, replies, application):
        request = standins.Request(environ, worker.cfg)
        response = standins.Response(request, worker.cfg, environ["SERVER_SOFTWARE"])

        def watched(environ, start_response):
            hooks.call("pre_request", worker, request)

            def start(status, headers, exc_info=None):
                write = start_response(status, headers, exc_info)
                response.note(start_response.__self__, status, headers)
                return write

            return application(environ, start)

        fatal = answer(environ, body, descriptors, words, replies, watched)
        worker.nr += 1
        hooks.tell("post_request", worker, request, environ, response)
        return fatal

    return answer_with_hooks
