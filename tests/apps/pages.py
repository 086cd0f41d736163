"""Answers for the tests of compression: the query says of what status, type, fields, size and pieces they are."""
import os
import time
from urllib.parse import parse_qsl

GATE_LIMIT_S = 30


def text(size):
    """A page of `size` bytes; tests/compression.rs makes the same."""
    lines = []
    length = number = 0
    while length < size:
        line = "<li>%d: what the page says of its item %d</li>\n" % (number, number * 7919 % 1000)
        lines.append(line)
        length += len(line)
        number += 1
    return "".join(lines).encode()[:size]


def wait(path):
    end = time.monotonic() + GATE_LIMIT_S
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.005)


class Iteration:
    """The pieces of a body; writes `mark` when it is closed."""

    def __init__(self, pieces, mark):
        self.pieces = iter(pieces)
        self.mark = mark

    def __iter__(self):
        return self.pieces

    def close(self):
        if self.mark:
            open(self.mark, "w").close()


def pieces(body, size, query):
    for at in range(0, len(body), size):
        yield body[at : at + size]
        if at == 0 and "gate" in query:
            wait(query["gate"])


def endless(body):
    while True:
        yield body


def application(environ, start_response):
    pairs = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
    query = dict(pairs)
    fields = [("Content-Type", query.get("type", "text/html; charset=utf-8"))]
    fields += [tuple(value.split(":", 1)) for name, value in pairs if name == "field"]
    tag = '"%s"' % query["tag"] if "tag" in query else None
    if tag:
        fields.append(("ETag", tag))
    if tag and tag in environ.get("HTTP_IF_NONE_MATCH", ""):
        start_response("304 Not Modified", [field for field in fields if field[0] != "Content-Type"])
        return []
    body = text(int(query.get("size", 20480)))
    if environ["PATH_INFO"] == "/file":
        with open(query["path"], "wb") as file:
            file.write(body)
        start_response(query.get("status", "200 OK"), fields)
        return environ["wsgi.file_wrapper"](open(query["path"], "rb"))
    if "declared" in query:
        fields.append(("Content-Length", query["declared"] or str(len(body))))
    start_response(query.get("status", "200 OK"), fields)
    if environ["PATH_INFO"] == "/endless":
        return Iteration(endless(body), query.get("mark"))
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    if "pieces" in query:
        return Iteration(pieces(body, int(query["pieces"]), query), query.get("mark"))
    return [body]
