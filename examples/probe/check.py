"""Runs the probe under wsgiref's own server handler, so that a failing black-box test can't be the probe's fault."""

import io
import json
import unittest
from wsgiref.handlers import SimpleHandler
from wsgiref.util import setup_testing_defaults

import app


def ask(target, body=b"", application=app.application):
    """The raw response to one request."""
    path, _, query = target.partition("?")
    environ = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": "POST" if body else "GET"}
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    setup_testing_defaults(environ)
    output = io.BytesIO()
    SimpleHandler(io.BytesIO(body), output, io.StringIO(), environ).run(application)
    return output.getvalue()


class ProbeTests(unittest.TestCase):
    """The paths that return; those that kill their worker are left to the black-box tests."""

    def test_hello_is_13_bytes(self):
        self.assertTrue(ask("/hello").endswith(b"\r\n\r\nHello, world!"))

    def test_environ_is_json(self):
        answer = json.loads(ask("/environ?a=b").split(b"\r\n\r\n")[1])
        self.assertEqual((answer["QUERY_STRING"], answer["(types)"]["wsgi.version"]), ("a=b", "tuple"))

    def test_echo_and_readline(self):
        self.assertTrue(ask("/echo", b"body").endswith(b"\r\n\r\nbody"))
        answer = json.loads(ask("/readline", b"one\ntwo-three\nfour\nfive\nsix").split(b"\r\n\r\n")[1])
        self.assertEqual(
            answer,
            {
                "readline": "one\n",
                "readline_5": "two-t",
                "read_3": "hre",
                "next": "e\n",
                "readlines": ["four\n", "five\n", "six"],
                "after": "",
            },
        )

    def test_stream_file_write_and_status(self):
        self.assertTrue(ask("/stream?n=2&size=3").endswith(b"aaabbb"))
        self.assertTrue(ask("/write").endswith(b"written twice, then returned"))
        self.assertIn(b"418 Chosen", ask("/status?code=418"))
        body = ask("/file?offset=299998").split(b"\r\n\r\n", 1)[1]
        self.assertEqual(body, bytes([299998 % 251, 299999 % 251]))

    def test_exc_info_replaces_the_head(self):
        answer = ask("/exc-info")
        self.assertIn(b"503 ", answer)
        self.assertNotIn(b"X-First", answer)

    def test_close_is_counted(self):
        before = int(ask("/closed").rsplit(b"\n", 1)[1])
        ask("/close")
        self.assertEqual(int(ask("/closed").rsplit(b"\n", 1)[1]), before + 1)

    def test_validator_is_content(self):
        self.assertTrue(ask("/hello", application=app.validated).endswith(b"Hello, world!"))


if __name__ == "__main__":
    unittest.main()
