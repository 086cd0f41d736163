"""Five times as many requests as a server can answer, from clients that do not wait for ever: how many are answered in time."""

import asyncio
import contextlib
import time
from collections import Counter

import peers
from idle import need_descriptors
from report import Bar
from server import running

WORKERS = 2
# A fixed piece of work: 2 ms of CPU and 8 ms of waiting, as for a database.
PATH = "/work?cpu=0.002&s=0.008"
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
FACTOR = 5
# Connections that find out what a server can do, each with one request after the other, and for how long.
CONNECTIONS = 16
CAPACITY_SECONDS = 4
SECONDS = 20
# How long a client waits before it closes its connection.
PATIENCE_SECONDS = 2
# The part of the overload for whose end the latencies count: a queue has to fill first.
SETTLED_SECONDS = 6
# gunicorn's threads are more than the others' workers: five times what they can do is more than this client can ask for.
LEFT_OUT = "gunicorn gthread"


class Clients:
    """Requests and what became of them, over connections that are kept."""

    def __init__(self, port):
        self.port = port
        self.idle = []
        self.outcomes = Counter()
        # Of each 200: when it was there, and after how long.
        self.served = []

    async def request(self):
        """One request; its outcome is counted as a status, `late` (its client has left) or `broken`."""
        started = time.monotonic()
        outcome = "broken"
        try:
            outcome = await asyncio.wait_for(self.exchange(), PATIENCE_SECONDS)
        except TimeoutError:
            outcome = "late"
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        self.outcomes[outcome] += 1
        if outcome == "200":
            ended = time.monotonic()
            self.served.append((ended, ended - started))

    async def exchange(self):
        """Send and read one response; the status as text."""
        reader, writer = await self.connection()
        try:
            writer.write(REQUEST)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length:")[2].partition("\r\n")[0]
            await reader.readexactly(int(length))
        except BaseException:
            writer.close()
            raise
        if "connection: close" in head:
            writer.close()
        else:
            self.idle.append((reader, writer))
        return head.split(" ", 2)[1]

    async def connection(self):
        """One that is open still, or a new one."""
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def closed_loop(self, seconds):
        """As fast as the server answers a few clients; requests/s."""
        end = time.monotonic() + seconds

        async def client():
            while time.monotonic() < end:
                await self.request()

        await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
        return self.outcomes["200"] / seconds

    async def open_loop(self, rate, seconds):
        """So many requests a second, whether or not earlier ones were answered."""
        begun, tasks = time.monotonic(), []
        for number in range(int(rate * seconds)):
            ahead = begun + number / rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            tasks.append(asyncio.ensure_future(self.request()))
        took = time.monotonic() - begun
        await asyncio.gather(*tasks)
        return begun, took

    def close(self):
        """Close what is kept."""
        for _, writer in self.idle:
            with contextlib.suppress(OSError):
                writer.close()


async def flood(port):
    """What a server can do, then five times that."""
    calm = Clients(port)
    capacity = await calm.closed_loop(CAPACITY_SECONDS)
    calm.close()
    clients = Clients(port)
    begun, took = await clients.open_loop(FACTOR * capacity, SECONDS)
    clients.close()
    settled = sorted(latency for ended, latency in clients.served if ended >= begun + SETTLED_SECONDS)
    goodput = clients.outcomes["200"] / took
    return {
        "capacity": capacity,
        "offered": sum(clients.outcomes.values()) / took,
        "200/s in time": goodput,
        "÷ capacity": goodput / capacity,
        "503": clients.outcomes["503"],
        "late": clients.outcomes["late"],
        "broken": clients.outcomes["broken"],
        "p50 ms": quantile(settled, 0.5) * 1000,
        "p99 ms": quantile(settled, 0.99) * 1000,
    }


def quantile(ordered, part):
    """The value that `part` of the values are not above; infinite if there are none."""
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else float("inf")


def overload(options, report):
    """Goodput and latency under five times the capacity, of 2 workers with the defaults of each server."""
    need_descriptors(20_000)
    bench = peers.Bench(options.maitred, options.scratch)
    made = []
    for server in options.chosen(peers.wsgi_servers(bench, WORKERS, "app:application", "/hello")):
        if server.name != LEFT_OUT:
            with running([server]):
                made.append({"server": server.name} | asyncio.run(flood(server.port)))
    load = f"{FACTOR} × the capacity for {SECONDS} s, {WORKERS} workers, 10 ms a request, clients leave after {PATIENCE_SECONDS} s"
    report.add(load, made, [Bar("÷ capacity", ">=", 0.9), Bar("p99 ms", "<=", 1500.0)])
