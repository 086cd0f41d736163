"""Starts a server under test (one or more processes), waits until it answers, and ends every process of it by its id."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import tree

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10


class ServerFailed(Exception):
    """A server did not start or did not go on running; the message ends with its log's last lines."""


def free_port():
    """A port that the kernel chose and nobody listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def trusting():
    """A TLS client's context that takes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Server:
    """A server's commands. All are started, in order; the port is that of the last one's listener."""

    name: str
    commands: list
    port: int
    log: Path
    env: dict = field(default_factory=dict)
    cwd: Path | None = None
    cpus: str | None = None
    ready_path: str = "/"
    tls: bool = False
    processes: list = field(default_factory=list, init=False)

    @property
    def roots(self):
        """The process ids whose trees are this server."""
        return [process.pid for process in self.processes]

    def launch(self):
        """Start its processes and return at once."""
        with open(self.log, "ab") as log:
            for command in self.commands:
                pinned = ["taskset", "-c", self.cpus, *command] if self.cpus else command
                process = subprocess.Popen(
                    [str(word) for word in pinned],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.cwd,
                    env=os.environ | self.env,
                    start_new_session=True,
                )
                self.processes.append(process)

    def start(self):
        """Start it and return once it has answered a request with a 2xx."""
        self.launch()
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self.answers():
            self.must_run()
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} did not answer within {READY_SECONDS_MAX} s\n{self.log_tail()}")
            time.sleep(0.05)

    def answers(self):
        """True if a request is answered with a 2xx now."""
        if self.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=trusting())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", self.ready_path)
            return 200 <= connection.getresponse().status < 300
        return False

    def must_run(self):
        """Raise if one of the processes has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with status {process.returncode}\n{self.log_tail()}")

    def log_tail(self):
        """The end of what the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self):
        """SIGTERM, then SIGKILL for what is left of the trees."""
        family = tree.members(self.roots)
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        # A process id that was given to somebody else meanwhile has another start time.
        left = {stat.pid: stat.started_ticks for stat in tree.members([stat.pid for stat in family])}
        for stat in family:
            if left.get(stat.pid) == stat.started_ticks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stat.pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes = []


@contextlib.contextmanager
def running(servers):
    """All of the servers, started; stopped whatever happens."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start()
        yield servers
