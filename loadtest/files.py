"""What files cost: small ones, missing ones, compressed ones, large ones, with a log and without keep-alive. One CPU for the server, one for the
client. The bars are ratios to nginx, to the better of h2o and lighttpd, or to the best of the three."""

import contextlib
import gzip
import http.client
import os
import random
from dataclasses import dataclass

import fronts
import peers
from report import Bar
from server import ServerFailed
from throughput import CLIENT_CPU, METRICS, SERVER_CPU, interleaved

CHAMPIONS = ("h2o", "lighttpd")
BOTH = ("rate", "cpu_us", "client_us", "both_us", "p50_ms", "p99_ms")


@dataclass(frozen=True)
class Work:
    """One kind of request and the bars that it has."""

    title: str
    path: str
    # Most CPU per request: × nginx, × the better of h2o and lighttpd.
    nginx: float | None = None
    champions: float | None = None
    # Whether both sides' CPU and the throughput are held against the best of all three.
    both_sides: bool = False
    connections: int = 64
    fields: tuple = ()
    logs: bool = False
    status: int = 200

    @property
    def metrics(self):
        """What is told of the samples."""
        return BOTH if self.both_sides else METRICS

    def bars(self):
        """No request fails, p99 is no worse than the best, and the bars of this work."""
        made = [Bar("errors", "<=", 0), Bar("p99_ms", "<=", 1.0, fronts.PEERS)]
        if self.nginx:
            made.append(Bar("cpu_us", "<=", self.nginx, ("nginx",)))
        if self.champions:
            made.append(Bar("cpu_us", "<=", self.champions, CHAMPIONS))
        if self.both_sides:
            made += [Bar("both_us", "<=", 1.0, fronts.PEERS), Bar("rate", ">=", 1.0, fronts.PEERS)]
        return made


WORKS = {
    "static": Work("1 KiB", "/1k.bin", nginx=0.65, champions=0.85),
    "logged": Work("1 KiB with an access log", "/1k.bin", nginx=0.65, logs=True),
    "missing": Work("a file that is missing", "/missing", nginx=0.7, champions=0.9, status=404),
    "packed": Work("a precompressed page of 20 KiB", "/page.html", nginx=0.75, champions=0.9, fields=("Accept-Encoding: gzip",)),
    "once": Work("1 KiB, one connection per request", "/1k.bin", nginx=0.8, fields=("Connection: close",)),
    "64k": Work("64 KiB", "/64k.bin", nginx=0.95),
    "1m": Work("1 MiB", "/1m.bin", both_sides=True, connections=16),
    "100m": Work("100 MiB", "/100m.bin", both_sides=True, connections=4),
}


def page(seed=1):
    """20 KiB of HTML that compresses about as well as a written page does, the same every time."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("etaoinshrdlucmfwypvbgk", k=chance.randint(2, 9))) for _ in range(600)]
    text = "<!doctype html><title>page</title>\n"
    while len(text) < 20 * 1024:
        text += f"<p class=\"{chance.choice(words)}\">{' '.join(chance.choices(words, k=40))}</p>\n"
    return text[: 20 * 1024].encode()


def lay_out(folder):
    """The files that all works ask for."""
    folder.mkdir()
    for name, size in (("1k", 1), ("64k", 64), ("1m", 1024), ("100m", 100 * 1024)):
        (folder / f"{name}.bin").write_bytes(os.urandom(size * 1024))
    (folder / "page.html").write_bytes(page())
    (folder / "page.html.gz").write_bytes(gzip.compress(page(), 9))


def must_answer(server, work):
    """Raise unless the server does what is to be measured: the right status, and the coding that was asked for."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", work.path, headers=dict(line.split(": ", 1) for line in work.fields))
        response = connection.getresponse()
        coding = response.getheader("Content-Encoding", "")
        wanted = dict(line.split(": ", 1) for line in work.fields).get("Accept-Encoding", "")
    if (response.status, coding) != (work.status, wanted):
        raise ServerFailed(f"{server.name}: {response.status} {coding!r} instead of {work.status} {wanted!r} for {work.path}")


def measure(name):
    """The function that measures one of WORKS."""
    work = WORKS[name]

    def run(options, report):
        folder = options.scratch / "files"
        if not folder.exists():
            lay_out(folder)
        bench = peers.Bench(options.maitred, options.scratch, SERVER_CPU)
        servers = options.chosen(fronts.static_servers(bench, folder, work.logs))
        made = interleaved(servers, work.path, options, work.connections, CLIENT_CPU, work, must_answer)
        report.add(f"Files: {work.title}, {work.connections} connections, server on one CPU", made, work.bars())

    return run
