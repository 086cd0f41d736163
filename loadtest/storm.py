"""Steady load while workers are killed or the server is reloaded: what becomes of each single request."""

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter

import peers
import tree
from report import Bar
from server import running

REQUESTS_PER_SECOND = 500
SECONDS = 10
KILLS = 20
RELOADS = 5
WORKERS = 4
# Long enough that a kill finds requests in hand: half of what 4 workers can do.
REQUEST = b"GET /sleep?s=0.004 HTTP/1.1\r\nHost: localhost\r\n\r\n"
HUNG_SECONDS = 10


class Client:
    """Sends requests on schedule, whether or not earlier ones were answered, over connections that it keeps."""

    def __init__(self, port):
        self.port = port
        self.idle = []
        self.outcomes = Counter()
        self.slowest = 0.0
        # Ids of worker processes in the order in which they last answered.
        self.workers = {}

    async def request(self):
        """One request; its outcome is counted as a status, `reset`, `refused` or `hung`."""
        started = time.monotonic()
        try:
            outcome = await asyncio.wait_for(self.exchange(), HUNG_SECONDS)
        except TimeoutError:
            outcome = "hung"
        except ConnectionRefusedError:
            outcome = "refused"
        except (OSError, asyncio.IncompleteReadError, ValueError):
            outcome = "reset"
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, time.monotonic() - started)

    async def exchange(self):
        """Send and read one response; the status as text."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(REQUEST)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            await reader.readexactly(int(fields.get("content-length", 0)))
        except BaseException:
            writer.close()
            raise
        if pid := fields.get("x-pid"):
            self.workers.pop(pid, None)
            self.workers[pid] = None
        if fields.get("connection", "").lower() == "close":
            writer.close()
        else:
            self.idle.append((reader, writer))
        return status.split(" ")[1]

    async def drop_dead(self):
        """Forget kept connections that the server has closed, so that their end is not taken for a lost request."""
        for reader, writer in [pair for pair in self.idle if pair[0].at_eof()]:
            self.idle.remove((reader, writer))
            writer.close()

    async def load(self, disturb):
        """The whole load, with `disturb(self)` beside it."""
        loop = asyncio.get_running_loop()
        disturbing = asyncio.ensure_future(disturb(self))
        begun, tasks = loop.time(), []
        for number in range(REQUESTS_PER_SECOND * SECONDS):
            await asyncio.sleep(max(0.0, begun + number / REQUESTS_PER_SECOND - loop.time()))
            await self.drop_dead()
            tasks.append(asyncio.ensure_future(self.request()))
        await asyncio.gather(*tasks)
        await disturbing
        for _, writer in self.idle:
            writer.close()


def killer(server, seed):
    """Kills random workers with SIGKILL, at random moments."""
    chance = random.Random(seed)

    async def disturb(client):
        await asyncio.sleep(0.5)
        pauses = [chance.random() for _ in range(KILLS)]
        for pause in pauses:
            await asyncio.sleep(pause / sum(pauses) * (SECONDS - 1))
            own = {stat.pid for stat in tree.members(server.roots)} - set(server.roots)
            victims = [pid for pid in list(client.workers)[-WORKERS:] if int(pid) in own]
            if victims:
                victim = chance.choice(victims)
                del client.workers[victim]
                os.kill(int(victim), signal.SIGKILL)
                client.outcomes["kills"] += 1

    return disturb


def reloader(server):
    """Sends SIGHUP at even distances."""

    async def disturb(client):
        for _ in range(RELOADS):
            await asyncio.sleep(SECONDS / (RELOADS + 1))
            os.kill(server.roots[0], signal.SIGHUP)
            client.outcomes["reloads"] += 1

    return disturb


def row(server, client, deed):
    """What became of the requests; `failed` are those that got neither a 200 nor a 502, or none at all."""
    outcomes = client.outcomes
    answered = outcomes["200"] + outcomes["502"]
    sent = REQUESTS_PER_SECOND * SECONDS
    return {
        "server": server.name,
        deed: outcomes[deed],
        "requests": sent,
        "200": outcomes["200"],
        "502": outcomes["502"],
        "reset": outcomes["reset"] + outcomes["refused"],
        "hung": outcomes["hung"],
        "failed": sent - answered,
        "slowest ms": client.slowest * 1000,
        "still up": "yes" if server.answers() else "no",
    }


def kill(options, report):
    """Random kills of workers, then reloads, under the same load."""
    seed = options.seed if options.seed is not None else random.randrange(2**32)
    print(f"  seed {seed}", file=sys.stderr)
    bench = peers.Bench(options.maitred, options.scratch)
    killed, reloaded = [], []
    for server in options.chosen(peers.wsgi_servers(bench, WORKERS, "app:application", "/hello")):
        for made, deed, disturb in ((killed, "kills", killer(server, seed)), (reloaded, "reloads", reloader(server))):
            with running([server]):
                client = Client(server.port)
                asyncio.run(client.load(disturb))
                made.append(row(server, client, deed))
    load = f"{REQUESTS_PER_SECOND} requests/s for {SECONDS} s, {WORKERS} workers"
    bars = [Bar("failed", "<=", 0), Bar("502", "<=", KILLS), Bar("kills", ">=", KILLS)]
    report.add(f"{KILLS} × kill -9 of a random worker, {load}", killed, bars)
    report.add(f"{RELOADS} × SIGHUP, {load}", reloaded, [Bar("failed", "<=", 0), Bar("502", "<=", 0)])
