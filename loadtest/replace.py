"""How long a site without workers stays so: from the kill of its only worker to the next page."""

import contextlib
import http.client
import os
import select
import signal
import socket
import time
from statistics import median

import peers
import throughput
import tree
from report import Bar
from server import ServerFailed, running

KILLS = 8
# Requests by which the worker is told from the server's other processes.
TELLING = 50
SECONDS_MAX = 30
# How often one more request is sent, and how many may wait.
ASK_SECONDS = 0.005
ASKING_MAX = 200
# Between two kills. granian takes a second one within 5.5 s for a crash loop and ends.
PAUSE_SECONDS, GRANIAN_PAUSE_SECONDS = 0.5, 6.0


def answered(server):
    """One request on a connection of its own: whether a 200 came."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS_MAX)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", server.ready_path, headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        return response.status == 200
    return False


def worker_of(server):
    """The process without children that requests cost the most."""
    before = {stat.pid: stat.cpu_seconds for stat in tree.members(server.roots)}
    for _ in range(TELLING):
        answered(server)
    members = tree.members(server.roots)
    parents = {stat.parent for stat in members}
    leaves = [stat for stat in members if stat.pid not in parents and stat.pid not in server.roots]
    return max(leaves, key=lambda stat: stat.cpu_seconds - before.get(stat.pid, 0.0)).pid


def ask(server):
    """A connection that was sent a request and waits for the answer; None where there is none to be had."""
    connection = socket.socket()
    try:
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(f"GET {server.ready_path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    except OSError:
        connection.close()
        return None
    return connection


def is_served(connection):
    """Whether what has come is a 200; a connection that has ended without one is none."""
    with contextlib.suppress(OSError):
        return connection.recv(12) == b"HTTP/1.1 200"
    return False


def first_answer(server, deadline):
    """Returns once a request was answered with 200. One more is sent every few milliseconds: a server may have lost an earlier one."""
    waiting = []
    try:
        while time.monotonic() < deadline:
            if len(waiting) < ASKING_MAX and (connection := ask(server)):
                waiting.append(connection)
            for connection in select.select(waiting, [], [], ASK_SECONDS)[0]:
                if is_served(connection):
                    return
                waiting.remove(connection)
                connection.close()
    finally:
        for connection in waiting:
            connection.close()
    raise ServerFailed(f"{server.name} got no worker back within {SECONDS_MAX} s\n{server.log_tail()}")


def gap_ms(server):
    """Milliseconds from the kill of the worker to the first 200."""
    worker = os.pidfd_open(worker_of(server))
    begun = time.monotonic()
    signal.pidfd_send_signal(worker, signal.SIGKILL)
    # It is gone before the first request is sent, so that whoever answers is its successor.
    select.select([worker], [], [])
    os.close(worker)
    first_answer(server, begun + SECONDS_MAX)
    return (time.monotonic() - begun) * 1000


def gaps(servers):
    """A row for each server."""
    made = []
    for server in servers:
        with running([server]):
            found = []
            for _ in range(KILLS):
                found.append(gap_ms(server))
                time.sleep(GRANIAN_PAUSE_SECONDS if server.name == "granian" else PAUSE_SECONDS)
            made.append({"server": server.name, "kills": KILLS, "median ms": median(found), "slowest ms": max(found)})
    return made


def replace(options, report):
    """The probe and the example site with one worker each, which is killed again and again."""
    bars = [Bar("median ms", "<=", 30.0)]
    bench = peers.Bench(options.maitred, options.scratch)
    servers = options.chosen(peers.wsgi_servers(bench, 1, "app:application", "/hello"))
    report.add("kill -9 of the only worker: time to the next answer", gaps(servers), bars)
    throughput.prepare_site(options)
    servers = options.chosen(peers.django_servers(bench, 1))
    report.add("kill -9 of the only worker of the example site: time to the next page", gaps(servers), bars)
