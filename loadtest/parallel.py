"""Whether threads of one worker compute at the same time: with a free-threaded CPython (PEP 703) they do, with a GIL they take turns."""

import os
import shutil
import subprocess

import peers
import throughput
from report import Bar
from server import ServerFailed, free_port

INTERPRETERS = ("python3.14t", "python3.13t")
CONNECTIONS = 8


def free_threaded():
    """A free-threaded interpreter: MAITRED_TEST_FREE_THREADED, or one on PATH."""
    named = os.environ.get("MAITRED_TEST_FREE_THREADED")
    for name in [named] if named else INTERPRETERS:
        program = "import sys; sys.exit(sys._is_gil_enabled())"
        if shutil.which(name) and subprocess.run([name, "-c", program], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return shutil.which(name)
    raise ServerFailed(f"there is no free-threaded CPython: MAITRED_TEST_FREE_THREADED, or {' or '.join(INTERPRETERS)} on PATH")


def servers(bench):
    """maitred with a worker of two threads, and what that is compared with."""
    made = []
    free = free_threaded()
    for name, python, workers, threads in (
        ("maitred", free, 1, 2),
        ("no GIL, 1 thread", free, 1, 1),
        ("no GIL, 2 workers", free, 2, 1),
        ("GIL, 2 threads", peers.BIN / "python", 1, 2),
        ("GIL, 1 thread", peers.BIN / "python", 1, 1),
    ):
        port = free_port()
        command = bench.serve(port, "app:spin", "--chdir", peers.PROBE, "--python", python, "--workers", workers, "--threads", threads)
        made.append(bench.server(name, [command], port, cwd=peers.PROBE))
    return made


def threads(options, report):
    """A handler that computes in Python, with nothing pinned."""
    bench = peers.Bench(options.maitred, options.scratch)
    made = throughput.interleaved(options.chosen(servers(bench)), "/", options, CONNECTIONS)
    bars = [Bar("rate", ">=", 1.6, ("no GIL, 1 thread",))]
    report.add(f"A handler that computes, {CONNECTIONS} connections, nothing pinned; maitred: 1 worker of 2 threads without a GIL", made, bars)
