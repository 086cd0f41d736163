"""An app whose health the warm-up tests rewrite: `edition.py` says what /healthz answers, and the app its name."""

import os

import edition


def application(environ, start_response):
    if environ["PATH_INFO"] == "/healthz":
        return edition.health(environ, start_response)
    body = ("%s %d\n" % (edition.NAME, os.getpid())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
