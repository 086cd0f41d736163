"""Steady load while the server reloads: the slowest request and the longest time without an answer, beside the same load left alone."""

import asyncio
import time

import peers
import storm
from report import Bar
from server import free_port, running

# What stands in `[app]`, by the name of the mode.
MODES = {
    "switch": 'reload_mode = "switch"',
    "rolling": 'reload_mode = "rolling"',
    "switch, without preload": "preload_app = false",
    "rolling, without preload": 'reload_mode = "rolling"\npreload_app = false',
}
WARMUP = 'warmup = "/hello"'


class Client(storm.Client):
    """Also keeps the longest time in which no request was answered."""

    def __init__(self, port):
        super().__init__(port)
        self.longest_gap = 0.0
        self.answered = None

    async def request(self):
        await super().request()
        now = time.monotonic()
        if self.answered is not None:
            self.longest_gap = max(self.longest_gap, now - self.answered)
        self.answered = now


async def leave_alone(_client):
    """Disturbs nobody."""


def measured(server, disturb):
    """A client that has put its whole load on the server, with `disturb` beside it."""
    client = Client(server.port)
    asyncio.run(client.load(disturb))
    return client


def row(server, rounds):
    """The worst of all rounds with reloads; that of rounds without is what the machine and the client do by themselves."""
    calm, disturbed = [], []
    for _ in range(rounds):
        calm.append(measured(server, leave_alone))
        disturbed.append(measured(server, storm.reloader(server)))
    worst = lambda clients, of: max(getattr(client, of) for client in clients) * 1000  # noqa: E731
    sent = storm.REQUESTS_PER_SECOND * storm.SECONDS * rounds
    return {
        "server": server.name,
        "reloads": sum(client.outcomes["reloads"] for client in disturbed),
        "requests": sent,
        "failed": sent - sum(client.outcomes["200"] for client in disturbed),
        "slowest ms, left alone": worst(calm, "slowest"),
        "slowest ms": worst(disturbed, "slowest"),
        "added ms": max(0.0, worst(disturbed, "slowest") - worst(calm, "slowest")),
        "longest gap ms, left alone": worst(calm, "longest_gap"),
        "longest gap ms": worst(disturbed, "longest_gap"),
    }


def reload(options, report):
    """Each way to reload by itself, the first one beside the peers."""
    bench = peers.Bench(options.maitred, options.scratch)
    bars = [Bar("failed", "<=", 0), Bar("added ms", "<=", 100.0), Bar("longest gap ms", "<=", 100.0)]
    load = f"{storm.REQUESTS_PER_SECOND} requests/s for {storm.SECONDS} s, {storm.WORKERS} workers"
    for mode, lines in MODES.items():
        port = free_port()
        config = options.scratch / f"{port}.toml"
        config.write_text(f"[app]\n{lines}\n{WARMUP}\n", encoding="utf-8")
        command = bench.serve(port, "--config", config, "app:application", "--chdir", peers.PROBE)
        command += ["--workers", storm.WORKERS]
        servers = [bench.server("maitred", [command], port, cwd=peers.PROBE, ready_path="/hello")]
        if mode == "switch":
            servers += peers.wsgi_servers(bench, storm.WORKERS, "app:application", "/hello")[1:]
        made = []
        for server in options.chosen(servers):
            with running([server]):
                made.append(row(server, min(options.rounds, 3)))
        report.add(f"{storm.RELOADS} reloads ({mode}), {load}", made, bars)
