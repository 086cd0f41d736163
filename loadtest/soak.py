"""Ten minutes of everything at once: pages, files, uploads, streams, TLS, slow clients and clients that leave, while workers are killed, the
site is reloaded, scaled and its logs opened anew. No request may be lost but those that killed workers held, and nothing may grow."""

import asyncio
import contextlib
import os
import random
import re
import signal
import sys
import time
from collections import Counter

import peers
import tls
import tree
from report import Bar
from server import free_port, running, trusting

CLIENTS = 12
# Of these over TLS.
SECURE = 4
SLOW = 4
LEAVERS = 2
# Between two requests of a client.
THINK_SECONDS = 0.02
# Between two things that disturb.
PEACE_SECONDS = 1.5
HUNG_SECONDS = 30
# After the clients have gone, before memory and descriptors are looked at: memory for bodies is given back when it was of no use for 15 s, twice in a row.
SETTLE_SECONDS = 32
# The part of the time that warms the server up: what it takes then it may keep.
WARM_PART = 0.2
SLOW_BYTES = 1 << 20
SLOW_READ_BYTES = 16 << 10
SLOW_PAUSE_SECONDS = 0.05
UPLOAD_BYTES = 200_000
LARGE_BYTES = 300_000


class Cut(Exception):
    """An answer ended before its end."""


class Caller:
    """A client's connection, and what it asks."""

    def __init__(self, soak, port, secure):
        self.soak = soak
        self.port = port
        self.secure = secure
        self.pair = None

    async def open(self):
        """A connection, kept or new."""
        if self.pair is None or self.pair[0].at_eof():
            self.close()
            context = trusting() if self.secure else None
            self.pair = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        return self.pair

    def close(self):
        """Ends the connection."""
        if self.pair is not None:
            self.pair[1].close()
        self.pair = None

    async def ask(self, method, target, body=b""):
        """Sends a request; (status, fields) of the answer."""
        reader, writer = await self.open()
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return status.split(" ")[1], fields

    async def body(self, fields):
        """The whole body of an answer. Raises Cut."""
        reader, _ = await self.open()
        try:
            if "content-length" in fields:
                return await reader.readexactly(int(fields["content-length"]))
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Cut from error
        return body


class Soak:
    """The load, the disturbances, and what became of each request."""

    def __init__(self, server, secure_port, page, chance):
        self.server = server
        self.secure_port = secure_port
        self.page = page
        self.chance = chance
        self.outcomes = Counter()
        # Ids of requests that got no answer, or not a whole one.
        self.lost = {}
        self.pids = {}
        self.number = 0
        self.ends = 0.0

    def tagged(self, target):
        """The target with an id by which the log tells of it, and the id."""
        self.number += 1
        return f"{target}{'&' if '?' in target else '?'}id={self.number}", self.number

    def is_over(self):
        """Whether no new request is to begin."""
        return time.monotonic() >= self.ends

    async def exchange(self, caller, kind):
        """One request of a kind, judged."""
        target, number = self.tagged(
            {
                "hello": "/hello",
                "pid": "/pid",
                "static": "/files/1k.bin",
                "large": f"/bytes?n={LARGE_BYTES}",
                "upload": "/echo",
                "stream": "/stream?n=5&size=3000&delay=0.01",
                "slow": f"/bytes?n={SLOW_BYTES}",
            }[kind]
        )
        sent = self.chance.randbytes(UPLOAD_BYTES) if kind == "upload" else b""
        try:
            status, fields = await caller.ask("POST" if kind == "upload" else "GET", target, sent)
            if kind == "slow" and status == "200":
                await self.read_slowly(caller, int(fields["content-length"]))
                outcome = "ok"
            else:
                outcome = self.judge(kind, status, await caller.body(fields), sent)
        except (asyncio.IncompleteReadError, OSError):
            outcome = "no answer"
        except Cut:
            outcome = "cut"
        if outcome != "ok":
            self.lost[number] = f"{kind}: {outcome}"
            caller.close()
        self.outcomes[outcome] += 1

    def judge(self, kind, status, body, sent):
        """What an answer is worth."""
        if status != "200":
            return status
        if kind == "pid":
            self.pids.pop(body.decode(), None)
            self.pids[body.decode()] = None
            return "ok"
        expected = {"hello": b"Hello, world!", "static": self.page, "upload": sent}.get(kind)
        if kind == "large":
            right = len(body) == LARGE_BYTES
        elif kind == "stream":
            right = body == b"".join(bytes([ord("a") + number]) * 3000 for number in range(5))
        else:
            right = body == expected
        return "ok" if right else "wrong"

    async def read_slowly(self, caller, length):
        """Takes a body as a telephone in a tunnel does."""
        reader, _ = await caller.open()
        while length:
            piece = await reader.read(min(SLOW_READ_BYTES, length))
            if not piece:
                raise Cut
            length -= len(piece)
            await asyncio.sleep(SLOW_PAUSE_SECONDS)

    async def client(self, secure, kinds):
        """One request after the other."""
        caller = Caller(self, self.secure_port if secure else self.server.port, secure)
        while not self.is_over():
            kind = self.chance.choice(kinds)
            try:
                await asyncio.wait_for(self.exchange(caller, kind), HUNG_SECONDS)
            except TimeoutError:
                self.outcomes["hung"] += 1
                caller.close()
            await asyncio.sleep(THINK_SECONDS)
        caller.close()

    async def leaver(self):
        """Asks for a stream and goes away in the middle of it, or before it begins."""
        while not self.is_over():
            caller = Caller(self, self.server.port, False)
            target, _ = self.tagged("/stream?n=50&size=1000&delay=0.01")
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await asyncio.wait_for(caller.ask("GET", target), self.chance.random())
            caller.close()
            self.outcomes["left"] += 1
            await asyncio.sleep(0.1)

    async def disturb(self):
        """Kills, reloads, scales, and opens logs anew."""
        root = self.server.roots[0]
        while not self.is_over():
            await asyncio.sleep(PEACE_SECONDS)
            deed = self.chance.choices(["kills", "reloads", "scalings", "log changes"], [4, 2, 3, 1])[0]
            if deed == "kills":
                own = {stat.pid for stat in tree.members([root])} - {root}
                victims = [pid for pid in list(self.pids)[-4:] if int(pid) in own]
                if not victims:
                    continue
                victim = self.chance.choice(victims)
                del self.pids[victim]
                os.kill(int(victim), signal.SIGKILL)
            else:
                scaling = self.chance.choice([signal.SIGTTIN, signal.SIGTTOU])
                os.kill(root, {"reloads": signal.SIGHUP, "scalings": scaling, "log changes": signal.SIGUSR1}[deed])
            self.outcomes[deed] += 1

    async def run(self, seconds):
        """All of it for so long."""
        self.ends = time.monotonic() + seconds
        kinds = ["hello"] * 4 + ["static"] * 3 + ["large", "upload", "stream", "pid", "pid"]
        tasks = [self.client(number < SECURE, kinds) for number in range(CLIENTS)]
        tasks += [self.client(number == 0, ["slow"]) for number in range(SLOW)]
        tasks += [self.leaver() for _ in range(LEAVERS)]
        await asyncio.gather(self.disturb(), *tasks)


def excused(log):
    """Ids of requests of which the log says that they died with their worker."""
    lines = (line for line in log.splitlines() if "a worker died with a request" in line)
    return {int(found) for line in lines for found in re.findall(r"id=(\d+)", line)}


def standing(server):
    """(descriptors, MiB that are no file's) of the server's own process."""
    root = server.roots[0]
    return len(os.listdir(f"/proc/{root}/fd")), tree.pss_of(root, "Pss_Anon") / 2**20


def write_config(options, port, secure_port):
    """The server's configuration."""
    folder, (cert, key) = tls.prepare(options)
    config = options.scratch / f"soak-{port}.toml"
    config.write_text(
        f"""[server]
listen = ["127.0.0.1:{port}", {{ address = "127.0.0.1:{secure_port}", tls = true }}]
access_log = "{options.scratch}/soak-access.log"
[[tls]]
cert = "{cert}"
key = "{key}"
[app]
wsgi = "app:application"
chdir = "{peers.PROBE}"
workers = 2
workers_max = 4
threads = 2
# The load is to be served whole, whatever the machine is busy with.
overload_timeout = 0
[[route]]
path = "/files/"
static = "{folder}"
[[route]]
path = "/"
app = true
"""
    )
    return config, (folder / "1k.bin").read_bytes()


def soak(options, report):
    """The whole, and its verdict."""
    seed = options.seed if options.seed is not None else random.randrange(2**32)
    print(f"  seed {seed}, {options.soak_seconds} s", file=sys.stderr)
    port, secure_port = free_port(), free_port()
    config, page = write_config(options, port, secure_port)
    bench = peers.Bench(options.maitred, options.scratch)
    server = bench.server("maitred", [[options.maitred, "serve", "--config", config]], port, ready_path="/hello")
    with running([server]):
        load = Soak(server, secure_port, page, random.Random(seed))
        asyncio.run(load.run(options.soak_seconds * WARM_PART))
        time.sleep(SETTLE_SECONDS)
        before = standing(server)
        asyncio.run(load.run(options.soak_seconds * (1 - WARM_PART)))
        time.sleep(SETTLE_SECONDS)
        server.must_run()
        after = standing(server)
        known = excused(server.log.read_text(errors="replace"))
    unexplained = {number: what for number, what in load.lost.items() if number not in known}
    for number, what in list(unexplained.items())[:20]:
        print(f"  request {number}, {what}", file=sys.stderr)
    row = {
        "server": "maitred",
        "requests": load.number,
        "whole": load.outcomes["ok"],
        **{deed: load.outcomes[deed] for deed in ("kills", "reloads", "scalings", "log changes", "left")},
        "lost with a worker": len(load.lost) - len(unexplained),
        "unexplained": len(unexplained),
        "hung": load.outcomes["hung"],
        "wrong": load.outcomes["wrong"],
        "descriptors": after[0],
        "descriptors more": after[0] - before[0],
        "MiB": after[1],
        "MiB more": after[1] - before[1],
    }
    bars = [Bar(metric, "<=", 0) for metric in ("unexplained", "hung", "wrong")]
    bars += [Bar("descriptors more", "<=", 4), Bar("MiB more", "<=", 4.0), Bar("kills", ">=", 1), Bar("reloads", ">=", 1)]
    report.add(f"Soak: {options.soak_seconds} s of everything at once", [row], bars)
