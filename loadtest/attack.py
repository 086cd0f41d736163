"""What hostile clients cost healthy ones: the same steady load before and while the server is attacked, on one CPU, in turns.

The attackers are a process of their own on the clients' CPU, where they run only when the healthy ones have nothing to do: what is measured is the
server's part, not how busy the load generator is. What they do is slow, half, false or too much; none of it needs
more than a home connection.
"""

import contextlib
import heapq
import http.client
import multiprocessing
import os
import random
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from statistics import median

import peers
import tree
from idle import need_descriptors
from report import Bar
from server import ServerFailed, free_port, running
from throughput import CLIENT_CPU, SERVER_CPU

HEALTHY_PER_SECOND = 400
HEALTHY_CONNECTIONS = 8
# So often a healthy client's connection is a new one.
HEALTHY_REQUESTS_PER_CONNECTION = 25
HEALTHY_PATHS = ("/files/1k.bin", "/hello")
HEALTHY_TIMEOUT_SECONDS = 5
# An attack has so long to build up before it counts.
BUILD_UP_SECONDS = 2
# … and the server as long to get rid of it.
RECOVERY_SECONDS = 1
LIMITED_ADDRESS = "127.0.0.66"
CONTEXT = multiprocessing.get_context("fork")


def healthy(port, secure, seconds):
    """A steady load of healthy clients: (latencies in milliseconds from when each request was due, requests that got no 200)."""
    os.sched_setaffinity(0, {int(CLIENT_CPU)})
    context = ssl._create_unverified_context() if secure else None
    connections, served = [None] * HEALTHY_CONNECTIONS, [0] * HEALTHY_CONNECTIONS
    latencies, lost = [], 0
    begun = time.monotonic()
    for number in range(int(seconds * HEALTHY_PER_SECOND)):
        due = begun + number / HEALTHY_PER_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        index = number % HEALTHY_CONNECTIONS
        try:
            if connections[index] is None:
                kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
                more = {"context": context} if secure else {}
                connections[index] = kind("127.0.0.1", port, timeout=HEALTHY_TIMEOUT_SECONDS, **more)
            connection = connections[index]
            connection.request("GET", HEALTHY_PATHS[number % len(HEALTHY_PATHS)])
            response = connection.getresponse()
            response.read()
            lost += response.status != 200
        except (OSError, http.client.HTTPException):
            lost += 1
            served[index] = HEALTHY_REQUESTS_PER_CONNECTION
        latencies.append((time.monotonic() - due) * 1000)
        served[index] += 1
        if served[index] >= HEALTHY_REQUESTS_PER_CONNECTION:
            connections[index].close()
            connections[index], served[index] = None, 0
    for connection in filter(None, connections):
        connection.close()
    return latencies, lost


class Attackers:
    """Connections of attackers in one loop. `begin` opens one, `act` is called for it when it is due, `due` says when again."""

    def __init__(self, ports, stopping):
        self.ports = ports
        self.stopping = stopping
        self.opened = 0
        self.chance = random.Random(1)

    def open(self, port, address=None, receive_buffer=None):
        """A connection under way; what becomes of it shows when it is used."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        if address:
            connection.bind((address, 0))
        connection.connect_ex(("127.0.0.1", port))
        self.opened += 1
        return connection

    def keep(self, count, begin, act, pause, per_second=None):
        """Keeps `count` connections, each of which acts every `pause` seconds until it fails; then a new one takes its place, at most `per_second`."""
        agenda, living, born = [], 0, time.monotonic()
        while not self.stopping.is_set():
            now = time.monotonic()
            allowed = count if per_second is None else int((now - born) * per_second) - self.opened
            for _ in range(min(count - living, max(allowed, 0), 200)):
                with contextlib.suppress(OSError):
                    heapq.heappush(agenda, (now + self.chance.random() * pause, self.opened, 0, begin()))
                    living += 1
            while agenda and agenda[0][0] <= now:
                _, number, step, connection = heapq.heappop(agenda)
                try:
                    act(connection, step)
                    step += 1
                except BlockingIOError:
                    pass
                except OSError:
                    connection.close()
                    living -= 1
                    continue
                heapq.heappush(agenda, (now + pause, number, step, connection))
            time.sleep(0.005)
        for _, _, _, connection in agenda:
            connection.close()

    def slowloris(self):
        """500 connections: a third drips a head, a third a body, a third drips what it reads of a large response."""
        kinds = {}
        head = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Drip: "
        body = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
        large = b"GET /bytes?n=1048576 HTTP/1.1\r\nHost: localhost\r\n\r\n"

        def begin():
            kind = self.opened % 3
            connection = self.open(self.ports["plain"], receive_buffer=4096 if kind == 2 else None)
            kinds[connection.fileno()] = kind
            return connection

        def act(connection, step):
            kind = kinds[connection.fileno()]
            if kind == 2 and step > 0:
                with contextlib.suppress(BlockingIOError):
                    if not connection.recv(16):
                        raise ConnectionResetError
                return
            first = (head, body, large)[kind]
            connection.send(first if step == 0 else b"x")

        self.keep(500, begin, act, 1.0)

    def garbage(self):
        """200 connections that send bytes without meaning, over and over, to either port."""

        def begin():
            return self.open(self.ports["plain" if self.opened % 2 else "tls"])

        def act(connection, step):
            connection.send(self.chance.randbytes(self.chance.randint(1, 2000)))
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(4096):
                    raise ConnectionResetError

        self.keep(200, begin, act, 0.1)

    def handshakes(self):
        """1,000 connections a second that begin a TLS handshake, and leave it there: most after a whole hello, some in the middle of it."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl._create_unverified_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()

        def act(connection, step):
            if step == 0:
                connection.send(hello if self.chance.random() < 0.8 else hello[: self.chance.randint(1, len(hello) - 1)])
            elif step > 8:
                raise ConnectionResetError

        self.keep(5000, lambda: self.open(self.ports["tls"]), act, 0.5, per_second=1000)

    def silent(self):
        """10,000 connections that never say a word, on either port."""

        def act(connection, step):
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(64):
                    raise ConnectionResetError

        self.keep(10_000, lambda: self.open(self.ports["plain" if self.opened % 2 else "tls"]), act, 2.0)

    def heads(self):
        """50 connections that send heads as large and with as many fields as are taken, ten a second each, and then one too large."""
        fields = "".join(f"X-{number:02}: {'v' * 300}\r\n" for number in range(95))
        good = f"GET /hello HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode()
        bad = good[:-2] + fields.encode()

        def act(connection, step):
            connection.send(bad if step % 10 == 9 else good)
            with contextlib.suppress(BlockingIOError):
                while data := connection.recv(65536):
                    del data
                raise ConnectionResetError

        self.keep(50, lambda: self.open(self.ports["plain"]), act, 0.1)

    def crowd(self):
        """1,000 connections a second from one address that may have ten: each is closed at once, and comes again."""

        def act(connection, step):
            if step == 0:
                connection.send(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n")
                return
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(4096):
                    raise ConnectionResetError

        self.keep(5000, lambda: self.open(self.ports["plain"], LIMITED_ADDRESS), act, 0.05, per_second=1000)

    def limited(self):
        """1,000 connections a second from one address, each with a request to the route that is limited for it."""
        request = b"GET /limited HTTP/1.1\r\nHost: localhost\r\n\r\n"

        def act(connection, step):
            if step == 0:
                connection.send(request)
                return
            # Whatever was answered, once.
            connection.recv(4096)
            raise ConnectionResetError

        self.keep(5000, lambda: self.open(self.ports["plain"], LIMITED_ADDRESS), act, 0.05, per_second=1000)


def assault(name, ports, stopping, opened):
    """The attackers' process."""
    os.sched_setaffinity(0, {int(CLIENT_CPU)})
    os.nice(19)
    attackers = Attackers(ports, stopping)
    getattr(attackers, name)()
    opened.value = attackers.opened


@dataclass(frozen=True)
class Attack:
    """One kind of attack, and how the healthy clients come."""

    title: str
    secure: bool = False
    # Lines of `[server]`.
    settings: str = ""


ATTACKS = {
    "slowloris": Attack("500 slowloris connections on head, body and response"),
    "garbage": Attack("200 connections of garbage"),
    "handshakes": Attack("a flood of half-open handshakes, 1,000 a second", secure=True),
    "silent": Attack("10,000 connections that say nothing"),
    "heads": Attack("500 heads a second of 30 KB and 96 fields"),
    "limited": Attack("1,000 connections a second from one address, whose requests are limited"),
    "crowd": Attack("1,000 connections a second from one address, which may have ten", settings="max_connections_per_address = 10"),
}


def p99(latencies):
    """The 99th percentile."""
    return sorted(latencies)[int(len(latencies) * 0.99)]


def server_under_attack(options, name):
    """maitred with files, an application, TLS and a limited route."""
    folder = options.scratch / "attack"
    if not folder.exists():
        folder.mkdir()
        (folder / "1k.bin").write_bytes(os.urandom(1024))
        subprocess.run([options.maitred, "cert", "--out", folder], check=True, capture_output=True)
    ports = {"plain": free_port(), "tls": free_port()}
    config = options.scratch / f"attack-{name}.toml"
    cert = next(folder.glob("*.pem"))
    config.write_text(
        f"""[server]
listen = ["127.0.0.1:{ports["plain"]}", "https://127.0.0.1:{ports["tls"]}"]
shards = 1
{ATTACKS[name].settings}
[[tls]]
cert = "{cert}"
key = "{cert.with_suffix(".key")}"
[app]
wsgi = "app:application"
chdir = "{peers.PROBE}"
workers = 2
[[route]]
path = "/files/"
static = "{folder}"
[[route]]
path = "/limited"
app = true
limit = {{ rate = "20/s", burst = 40 }}
[[route]]
path = "/"
app = true
"""
    )
    bench = peers.Bench(options.maitred, options.scratch, SERVER_CPU)
    server = bench.server("maitred", [[options.maitred, "serve", "--config", config]], ports["plain"], ready_path="/hello")
    return server, ports


def measure(name):
    """The function that measures one of ATTACKS."""
    attack = ATTACKS[name]

    def run(options, report):
        need_descriptors(12_000)
        server, ports = server_under_attack(options, name)
        options.chosen([server])
        port = ports["tls" if attack.secure else "plain"]
        before, during, lost, opened, grown = [], [], 0, 0, 0
        with running([server]), CONTEXT.Pool(1) as pool:
            pool.apply(healthy, (port, attack.secure, 1))
            memory = tree.pss_bytes(server.roots)
            for _ in range(options.rounds):
                latencies, failed = pool.apply(healthy, (port, attack.secure, options.seconds))
                before.append(p99(latencies))
                if failed:
                    raise ServerFailed(f"{failed} requests failed before the attack\n{server.log_tail()}")
                stopping, count = CONTEXT.Event(), CONTEXT.Value("Q", 0)
                attackers = CONTEXT.Process(target=assault, args=(name, ports, stopping, count))
                attackers.start()
                try:
                    time.sleep(BUILD_UP_SECONDS)
                    latencies, failed = pool.apply(healthy, (port, attack.secure, options.seconds))
                    grown = max(grown, tree.pss_bytes(server.roots) - memory)
                finally:
                    stopping.set()
                    attackers.join()
                during.append(p99(latencies))
                lost += failed
                opened += count.value
                server.must_run()
                time.sleep(RECOVERY_SECONDS)
            calm = server.answers()
        made = {
            "server": server.name,
            "attackers' connections": opened,
            "healthy requests": int(options.seconds * HEALTHY_PER_SECOND) * options.rounds,
            "lost": lost,
            "p99 ms before": median(before),
            "p99 ms during": median(during),
            "during ÷ before": median(during) / median(before),
            "MiB grown": grown / 2**20,
            "still up": "yes" if calm else "no",
        }
        bars = [Bar("lost", "<=", 0), Bar("during ÷ before", "<=", 2.0), Bar("MiB grown", "<=", 64.0)]
        report.add(f"Attack: {attack.title}; healthy clients at {HEALTHY_PER_SECOND} requests/s", [made], bars)

    return run
