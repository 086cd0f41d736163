"""Clients that read a large response of the application slowly: what they cost the others, and what they leave behind."""

import contextlib
import os
import selectors
import socket
import threading
import time

import peers
import tree
import wrk
from idle import need_descriptors
from report import Bar
from server import running

CLIENTS = 200
WORKERS = 2
RESPONSE_BYTES = 1024 * 1024
BYTES_PER_SECOND = 10 * 1024
# A client's socket takes little, so that what it has not read is the server's to keep.
RECEIVE_BUFFER_BYTES = 16 * 1024
REQUEST = f"GET /bytes?n={RESPONSE_BYTES} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Readers(threading.Thread):
    """Slow clients: each reads its share once a second until the connections are closed."""

    def __init__(self, stack, port):
        super().__init__(daemon=True)
        self.connections = [self.connect(stack, port) for _ in range(CLIENTS)]
        self.stopping = threading.Event()
        self.read = 0

    @staticmethod
    def connect(stack, port):
        """A connection that has sent its request."""
        connection = stack.enter_context(socket.socket())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        connection.sendall(REQUEST)
        connection.setblocking(False)
        return connection

    def run(self):
        with selectors.DefaultSelector() as selector:
            for connection in self.connections:
                selector.register(connection, selectors.EVENT_READ)
            while not self.stopping.wait(1.0):
                for key, _ in selector.select(0):
                    self.read += len(key.fileobj.recv(BYTES_PER_SECOND))

    def stop(self):
        """Stop reading; the connections stay open."""
        self.stopping.set()
        self.join()


def nameless_files(roots, folder):
    """Files without a name that these processes have open in `folder`."""
    count = 0
    for stat in tree.members(roots):
        directory = f"/proc/{stat.pid}/fd"
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                link = os.readlink(f"{directory}/{name}")
                count += link.startswith(str(folder)) and link.endswith("(deleted)")
    return count


def slow(options, report):
    """Throughput of other requests before and while 200 clients read 1 MiB at 10 KiB/s, of 2 workers."""
    need_descriptors(CLIENTS + 1000)
    folder = options.scratch / "spool"
    folder.mkdir()
    bench = peers.Bench(options.maitred, options.scratch)
    made = []
    for server in options.chosen(peers.wsgi_servers(bench, WORKERS, "app:application", "/hello")):
        server.env["TMPDIR"] = str(folder)
        with running([server]), contextlib.ExitStack() as stack:
            wrk.run(server, "/hello", 1, 32)
            before = [wrk.run(server, "/hello", options.seconds, 32).rate for _ in range(options.rounds)]
            memory = tree.pss_bytes(server.roots)
            readers = Readers(stack, server.port)
            readers.start()
            time.sleep(2)
            during = [wrk.run(server, "/hello", options.seconds, 32).rate for _ in range(options.rounds)]
            grown = tree.pss_bytes(server.roots) - memory
            files = nameless_files(server.roots, folder)
            readers.stop()
            stack.close()
            time.sleep(1)
            before, during = sorted(before)[len(before) // 2], sorted(during)[len(during) // 2]
            made.append(
                {
                    "server": server.name,
                    "requests/s before": before,
                    "requests/s during": during,
                    "during ÷ before": during / before,
                    "KiB a client": grown / CLIENTS / 1024,
                    "MiB read": readers.read / 2**20,
                    "files during": files,
                    "files after": nameless_files(server.roots, folder) + len(os.listdir(folder)),
                }
            )
    bars = [Bar("during ÷ before", ">=", 0.95), Bar("KiB a client", "<=", 128.0), Bar("files after", "<=", 0)]
    report.add(f"{CLIENTS} clients read 1 MiB at 10 KiB/s, {WORKERS} workers, 32 connections beside them", made, bars)
