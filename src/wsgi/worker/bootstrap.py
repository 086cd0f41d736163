"""Makes the worker's modules importable from memory and starts the zygote.

Owns the importer of the package `maitred_worker`. Run by the interpreter's `-c` text (BOOTSTRAP in source.rs), in
`__main__`, which has put the sources into `s`: a dict from module name to source, `native.so` to the extension, and `code:` with a magic number to
byte code. With `trial.json` in it the application is only tried out.
"""
import json
import marshal
import sys
from importlib._bootstrap_external import MAGIC_NUMBER
from importlib.machinery import ModuleSpec


class Importer:
    """Finder and loader of `maitred_worker`; also what `linecache` asks for source lines in tracebacks."""

    package = "maitred_worker"

    def __init__(self, sources, codes):
        self.sources = sources
        # Byte code of modules that were not imported yet.
        self.codes = codes

    def find_spec(self, name, path=None, target=None):
        if name == self.package:
            return ModuleSpec(name, self, origin="<maitred>", is_package=True)
        package, _, module = name.partition(".")
        if package == self.package and module in self.sources:
            return ModuleSpec(name, self, origin="<maitred>/%s.py" % module)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        if module.__name__ != self.package:
            code = self.codes.pop(module.__name__.partition(".")[2], None)
            if code is None:
                code = compile(self.get_source(module.__name__), module.__spec__.origin, "exec")
            exec(code, module.__dict__)

    def get_source(self, name):
        return self.sources.get(name.partition(".")[2], "")


def main(sources):
    descriptors = dict(argument.split("=", 1) for argument in sys.argv[1:])
    # The application sees a command line like any other server's, and not our `-c`.
    sys.argv[:] = ["maitred"]
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    # Not a source: the native loop, empty if there is none.
    image = sources.pop("native.so")
    settings = sources.pop("trial.json", None)
    codes = marshal.loads(sources.get("code:" + MAGIC_NUMBER.hex(), b"{0"))
    for name in [name for name in sources if name.startswith("code:")]:
        del sources[name]
    sys.meta_path.insert(0, Importer(sources, codes))
    if settings is not None:
        from maitred_worker import trial

        trial.main(json.loads(settings))
    from maitred_worker import zygote

    zygote.main(descriptors, image)


main(globals().pop("s"))
