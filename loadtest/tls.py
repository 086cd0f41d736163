"""What TLS costs beside nginx and h2o: requests over connections that stay, large files, handshakes, connections that idle. All of them show the
same ECDSA P-256 certificate and speak TLS 1.3 with the same clients: wrk, and for handshakes Python's ssl module."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time

import files
import fronts
import idle
import peers
import tree
import wrk
from report import Bar, rows
from server import ServerFailed, free_port, running, trusting
from throughput import CLIENT_CPU, SERVER_CPU, interleaved

IDLE_CONNECTIONS = 5_000
# Handshakes that are under way at a time.
HANDSHAKES_AT_ONCE = 8

WORKS = {
    "tls": files.Work("1 KiB over TLS 1.3", "/1k.bin", nginx=0.75, champions=0.9, connections=64),
    "tls-1m": files.Work("1 MiB over TLS 1.3", "/1m.bin", nginx=1.0, connections=16),
}


class TlsWork:
    """A work as `throughput.interleaved` wants it, with bars against nginx and h2o."""

    def __init__(self, work):
        self.work = work
        self.fields, self.status, self.metrics, self.path = work.fields, work.status, work.metrics, work.path

    def bars(self):
        """No request fails, and CPU per request is within the factors."""
        made = [Bar("errors", "<=", 0), Bar("cpu_us", "<=", self.work.nginx, ("nginx",))]
        if self.work.champions:
            made.append(Bar("cpu_us", "<=", self.work.champions, ("h2o",)))
        return made


def prepare(options):
    """The files, and a certificate with its key."""
    folder = options.scratch / "files"
    if not folder.exists():
        files.lay_out(folder)
    pair = options.scratch / "tls.pem", options.scratch / "tls.key"
    if not pair[0].exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", pair[0], "-keyout", pair[1]]
        subprocess.run(command, check=True, capture_output=True)
    return folder, pair


def servers(options, cpus=SERVER_CPU):
    """Servers of the files over TLS, with their defaults for tickets, buffers and suites."""
    folder, (cert, key) = prepare(options)
    bench = peers.Bench(options.maitred, options.scratch, cpus)
    ports = [free_port() for _ in range(3)]
    config = options.scratch / f"maitred-{ports[0]}.toml"
    config.write_text(
        f"""[server]
max_connections = 20000
listen = {{ address = "127.0.0.1:{ports[0]}", tls = true }}
[[tls]]
cert = "{cert}"
key = "{key}"
[[route]]
path = "/"
static = "{folder}"
"""
    )
    shards = ["--shards", "1"] if cpus else []
    nginx = bench.nginx(ports[1], f"root {folder}; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;")
    listening = nginx[-1].read_text().replace("backlog=4096 reuseport", "ssl backlog=4096 reuseport")
    nginx[-1].write_text(listening)
    h2o = options.scratch / f"h2o-{ports[2]}.yaml"
    h2o.write_text(
        f"""num-threads: {1 if cpus else os.cpu_count()}
max-connections: 20000
http1-request-timeout: {fronts.KEEPALIVE_SECONDS}
listen: {{ host: 127.0.0.1, port: {ports[2]}, ssl: {{ certificate-file: "{cert}", key-file: "{key}" }} }}
{"user: root" if os.geteuid() == 0 else ""}
hosts:
  default:
    paths:
      "/": {{ file.dir: "{folder}" }}
"""
    )
    commands = {
        "maitred": [options.maitred, "serve", "--config", config, *shards],
        "nginx": nginx,
        "h2o": [fronts.H2O, "-c", h2o],
    }
    made = [
        bench.server(name, [command], port, ready_path="/1k.bin", tls=True)
        for (name, command), port in zip(commands.items(), ports, strict=True)
    ]
    return options.chosen(made)


def measure(name):
    """The function that measures one of WORKS."""
    work = TlsWork(WORKS[name])

    def run(options, report):
        made = interleaved(servers(options), work.path, options, work.work.connections, CLIENT_CPU, work)
        report.add(f"{work.work.title}, {work.work.connections} connections, server on one CPU", made, work.bars())

    return run


def modern():
    """A client's context for TLS 1.3 that takes every certificate."""
    context = trusting()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # What all of them have, so that all do the same work.
    context.set_ecdh_curve("prime256v1")
    return context


REQUEST = b"GET /1k.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def shake(port, context, session=None):
    """One connection: a handshake, a request, an answer. Returns its session."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
            if secure.session_reused != (session is not None):
                raise ServerFailed("the session was not resumed" if session else "a session was resumed")
            secure.sendall(REQUEST)
            received = b""
            while part := secure.recv(8192):
                received += part
            if not received.startswith(b"HTTP/1.1 200 ") or len(received) < 1024:
                raise ServerFailed(f"answered with {received[:60]!r}")
            return secure.session


CLIENT = """
import sys, threading, time
import tls
port, seconds, resumed, count = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "resumed", int(sys.argv[4])
end, done, lock = time.monotonic() + seconds, 0, threading.Lock()
def run():
    global done
    context, own = tls.modern(), 0
    session = tls.shake(port, context) if resumed else None
    while time.monotonic() < end:
        tls.shake(port, context, session)
        own += 1
    with lock:
        done += own + resumed
threads = [threading.Thread(target=run) for _ in range(count)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(done)
"""


def shakes(server, kind, seconds):
    """A run of handshakes against a server that is up."""
    command = ["taskset", "-c", CLIENT_CPU, sys.executable, "-c", CLIENT, str(server.port), str(seconds), kind, str(HANDSHAKES_AT_ONCE)]
    before, started = tree.cpu_seconds(server.roots), time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
    spent, took = tree.cpu_seconds(server.roots) - before, time.monotonic() - started
    server.must_run()
    count = int(done.stdout)
    if not count or done.stderr:
        raise ServerFailed(f"{server.name}: {count} handshakes\n{done.stderr[-800:]}")
    return wrk.Sample(count / took, spent * 1e6 / count, 0.0, 0.0, 0)


def handshakes(kind):
    """The function that measures full or resumed handshakes, each with one request of 1 KiB."""

    def run(options, report):
        wanted = servers(options)
        samples = {server.name: [] for server in wanted}
        with running(wanted):
            for server in wanted:
                shakes(server, kind, 1)
            for number in range(options.rounds):
                for server in wanted if number % 2 == 0 else reversed(wanted):
                    sample = shakes(server, kind, options.seconds)
                    samples[server.name].append(sample)
                    print(f"  round {number + 1} {server.name}: {sample.rate:,.0f}/s, {sample.cpu_us:.1f} µs", file=sys.stderr)
        made = rows(samples, ("rate", "cpu_us"))
        report.add(f"{kind.capitalize()} handshakes, ECDSA P-256, one request each", made, [Bar("cpu_us", "<=", 0.75, ("nginx",))])

    return run


def hold(stack, port, context, count):
    """Open connections that have each had one answer and stay open until the stack closes."""
    request = REQUEST.replace(b"Connection: close\r\n", b"")
    for _ in range(count):
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        secure = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
        idle.exchange(secure, request)


def idling(options, report):
    """Memory of the whole process tree for each of some thousand idle connections over TLS 1.3."""
    idle.need_descriptors(IDLE_CONNECTIONS + 1000)
    made = []
    for server in servers(options, None):
        context = modern()
        with running([server]), contextlib.ExitStack() as stack:
            with contextlib.ExitStack() as warm:
                hold(warm, server.port, context, 64)
            time.sleep(idle.SETTLE_SECONDS)
            before = tree.pss_bytes(server.roots)
            hold(stack, server.port, context, IDLE_CONNECTIONS)
            time.sleep(idle.SETTLE_SECONDS)
            after = tree.pss_bytes(server.roots)
            server.must_run()
        made.append(
            {
                "server": server.name,
                "MiB before": before / 2**20,
                "MiB with": after / 2**20,
                "bytes/connection": (after - before) / IDLE_CONNECTIONS,
            }
        )
    report.add(f"{IDLE_CONNECTIONS:,} idle connections over TLS 1.3", made, [Bar("bytes/connection", "<=", 14 * 1024)])
