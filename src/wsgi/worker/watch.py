"""What the application is made of, for `reload`: modules that were imported, templates, and names that would be imported if they were there.

Owns what has been said of that to the supervisor, over the control socket. Leaves the standard library and installed packages out; an
editable install lies elsewhere and is not. Made by the zygote, and only in development; taken along by workers, which import more as they serve.
"""
import json
import os
import site
import signal
import sys
import sysconfig
import threading
import time

# One message has to fit a control packet (64 KiB), with room for what JSON escapes.
MESSAGE_CHARACTERS_MAX = 24 * 1024
# An import that has just begun is given so long before its modules are counted.
SETTLE_S = 0.2


class Watch:
    """Stands first among the finders of modules, to hear what is looked for. Finds nothing."""

    def __init__(self, control, directories):
        """`directories`: those of the project. They count although they may lie among installed packages."""
        self._control = control
        self._own = {_real(path) for path in directories}
        self._foreign = {_real(path) for path in _installed() if path}
        # Modules by name, with where they were looked for (None: in sys.path).
        self._tried = {}
        self._said = set()
        self._news = None
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        self._tried[name] = path
        if self._news is not None:
            self._news.set()
        return None

    def report(self, failure=None):
        """Says what there is that was not said before. Never raises: who serves is not to fail for it."""
        try:
            files = set(_loaded())
            files.update(self._missing())
            files.update(_in_traceback(failure))
            files = {real for path in files if self._is_ours(path) for real in (path, os.path.realpath(path))}
            trees = {path for path in _template_directories() if self._is_ours(path)}
            self._say(files - self._said, trees - self._said)
            self._said |= files | trees
        except Exception:
            from .errors import report_failure

            report_failure({}, "the application's files could not be told")

    def fail(self, failure, explanation, kind):
        """Says that the application could not be imported, and what was read of it."""
        self.report(failure)
        try:
            self._control.send({"type": "import_failed", "traceback": explanation, "kind": kind})
        except OSError:
            pass

    def follow(self):
        """In a worker: goes on to report, in a thread of its own."""
        self._news = threading.Event()
        threading.Thread(target=self._follow, name="maitred-watch", daemon=True).start()

    def _follow(self):
        # Signals are the main thread's: in any other they would not end its waits.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            self.report()
            self._news.wait()
            self._news.clear()
            time.sleep(SETTLE_S)

    def _missing(self):
        """Files that would have been imported, had they been there or been good."""
        for name, path in list(self._tried.items()):
            if name in sys.modules:
                continue
            last = name.rpartition(".")[2]
            for directory in sys.path if path is None else list(path):
                if isinstance(directory, str) and os.path.isabs(directory):
                    where = os.path.join(directory, last)
                    yield where + ".py"
                    yield where
                    if os.path.isdir(where):
                        yield os.path.join(where, "__init__.py")

    def _is_ours(self, path):
        """The innermost directory that is known to be ours or not decides; what lies in neither is an editable install."""
        path = _real(path)
        while True:
            above = os.path.dirname(path)
            if above == path:
                return True
            path = above
            if path in self._own:
                return True
            if path in self._foreign or os.path.basename(path) in ("site-packages", "dist-packages"):
                return False

    def _say(self, files, trees):
        pending, length = {"files": [], "trees": []}, 0
        for kind, paths in (("files", files), ("trees", trees)):
            for path in sorted(paths):
                try:
                    path.encode("utf-8")
                except UnicodeEncodeError:
                    # No name that a message can carry.
                    continue
                if length > MESSAGE_CHARACTERS_MAX:
                    self._control.send({"type": "files", **pending})
                    pending, length = {"files": [], "trees": []}, 0
                pending[kind].append(path)
                length += len(json.dumps(path)) + 2
        if length:
            self._control.send({"type": "files", **pending})


def _real(path):
    return os.path.realpath(os.path.abspath(path))


def _installed():
    """Directories of the standard library and of installed packages."""
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    try:
        yield from site.getsitepackages()
        yield site.getusersitepackages()
    except AttributeError:
        # An old virtualenv's site has neither.
        pass


def _loaded():
    """Files of all modules."""
    for module in list(sys.modules.values()):
        try:
            # Not by getattr: a lazy module would load what it stands for.
            file = vars(module).get("__file__")
        except TypeError:
            continue
        if isinstance(file, str) and os.path.isabs(file):
            yield os.path.normpath(file)


def _in_traceback(failure):
    """Files that an exception, and those before it, went through or are about."""
    seen = set()
    while failure is not None and id(failure) not in seen:
        seen.add(id(failure))
        names = [getattr(failure, "filename", None)]
        frames = failure.__traceback__
        while frames is not None:
            names.append(frames.tb_frame.f_code.co_filename)
            frames = frames.tb_next
        yield from (name for name in names if isinstance(name, str) and os.path.isabs(name))
        failure = failure.__cause__ or failure.__context__


def _template_directories():
    """Where Django's engines look for templates: the settings' DIRS, the apps' own, and those of further loaders."""
    conf, templates = sys.modules.get("django.conf"), sys.modules.get("django.template")
    if conf is None or templates is None or not conf.settings.configured:
        return
    try:
        engines = templates.engines.all()
    except Exception:
        # The settings are on their way, or wrong; then the application says so.
        return
    for engine in engines:
        found = list(getattr(engine, "template_dirs", ()))
        loaders = list(getattr(getattr(engine, "engine", None), "template_loaders", ()))
        for loader in loaders:
            loaders.extend(getattr(loader, "loaders", ()))
            if hasattr(loader, "get_dirs"):
                found.extend(loader.get_dirs())
        yield from (os.path.abspath(os.fspath(path)) for path in found)
