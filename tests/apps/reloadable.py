"""An app whose code the reload tests rewrite: it answers with the version that was imported, and with its pid."""

import os

import edition


def application(environ, start_response):
    body = ("%s %d\n" % (edition.NAME, os.getpid())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
