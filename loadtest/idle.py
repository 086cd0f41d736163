"""What servers cost that have nothing to do: memory per idle connection, and wake-ups."""

import contextlib
import resource
import socket
import time

import fronts
import peers
import tree
from report import Bar
from server import ServerFailed, running

CONNECTIONS = 10_000
SETTLE_SECONDS = 2
WATCH_SECONDS = 10


def need_descriptors(count):
    """Raise the soft limit (servers inherit it), or say what is in the way."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ServerFailed(f"{count} descriptors are needed, the hard limit is {hard}: raise it with ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))


def exchange(connection, request):
    """Send a request for 1 KiB and take the whole answer."""
    connection.sendall(request)
    received = b""
    while len(received.partition(b"\r\n\r\n")[2]) < 1024:
        part = connection.recv(8192)
        if not part:
            raise ServerFailed(f"a connection was closed after {received[:80]!r}")
        received += part


def hold(stack, port, path, count, answers=1):
    """Open connections that have each had an answer, or several, and stay open until the stack closes."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    for _ in range(count):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        for _ in range(answers):
            exchange(connection, request)


def idle(options, report):
    """Memory of the whole process tree for each of 10,000 idle keep-alive connections."""
    need_descriptors(CONNECTIONS + 1000)
    folder = options.scratch / "idle"
    folder.mkdir()
    (folder / "1k.bin").write_bytes(bytes(1024))
    bench = peers.Bench(options.maitred, options.scratch)
    made = []
    for server in options.chosen(fronts.static_servers(bench, folder)):
        with running([server]), contextlib.ExitStack() as stack:
            # What a server takes once and for all, such as buffers that connections take in turns, is not what each of them costs.
            with contextlib.ExitStack() as warm:
                hold(warm, server.port, "/1k.bin", 64, answers=32)
            time.sleep(SETTLE_SECONDS)
            before = tree.pss_bytes(server.roots)
            hold(stack, server.port, "/1k.bin", CONNECTIONS)
            time.sleep(SETTLE_SECONDS)
            after = tree.pss_bytes(server.roots)
            server.must_run()
        made.append(
            {
                "server": server.name,
                "MiB before": before / 2**20,
                "MiB with": after / 2**20,
                "bytes/connection": (after - before) / CONNECTIONS,
            }
        )
    report.add(f"{CONNECTIONS:,} idle keep-alive connections", made, [Bar("bytes/connection", "<=", 1024)])


def wakeups(options, report):
    """Context switches and CPU time of a server and its 2 workers that nobody asks anything."""
    bench = peers.Bench(options.maitred, options.scratch)
    made = []
    for server in options.chosen(peers.wsgi_servers(bench, 2)):
        with running([server]):
            time.sleep(SETTLE_SECONDS)
            switches, cpu = tree.switches(server.roots), tree.cpu_seconds(server.roots)
            time.sleep(WATCH_SECONDS)
            per_second = (tree.switches(server.roots) - switches) / WATCH_SECONDS
            cpu = (tree.cpu_seconds(server.roots) - cpu) / WATCH_SECONDS
            server.must_run()
            made.append({"server": server.name, "wake-ups/s": per_second, "CPU %": cpu * 100})
    bars = [Bar("wake-ups/s", "<=", 5.0), Bar("CPU %", "<=", 0.1)]
    report.add(f"Idle with 2 workers, over {WATCH_SECONDS} s", made, bars)
