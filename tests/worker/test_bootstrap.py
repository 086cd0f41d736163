"""What the worker's modules are made of: byte code where this interpreter's is there, else the sources."""
import contextlib
import importlib.util
import marshal
import os
import tempfile
import unittest

from server import Server

OWN = "code:" + importlib.util.MAGIC_NUMBER.hex()


def embedded():
    with open(os.environ["MAITRED_CODE"], "rb") as file:
        return marshal.load(file)


@contextlib.contextmanager
def packed(code):
    with tempfile.NamedTemporaryFile() as file:
        marshal.dump(code, file, 2)
        file.flush()
        yield file.name


class Modules(unittest.TestCase):
    def test_sources_are_compiled_where_there_is_no_byte_code(self):
        code = {name: value for name, value in embedded().items() if not name.startswith("code:")}
        with packed(code) as name, Server(code=name).boot() as server:
            self.assertEqual(server.ask("/").body, b"hello\n")

    def test_byte_code_of_another_version_is_left_alone(self):
        code = {name: value for name, value in embedded().items() if not name.startswith("code:")}
        code["code:00000000"] = b"none of ours"
        with packed(code) as name, Server(code=name).boot() as server:
            self.assertEqual(server.ask("/").body, b"hello\n")

    def test_byte_code_of_this_version_is_what_runs(self):
        code = embedded()
        if OWN not in code:
            self.skipTest("it was not there when maitred was built")
        names = set(marshal.loads(code[OWN]))
        self.assertEqual(names, {name for name in code if "." not in name and ":" not in name})
        # Whoever compiled this would fail.
        code["serve"] = "what is this"
        with packed(code) as name, Server(code=name).boot() as server:
            self.assertEqual(server.ask("/").body, b"hello\n")


if __name__ == "__main__":
    unittest.main()
