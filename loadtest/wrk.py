"""Runs wrk against a server and reads what it found, together with the CPU time that the server spent meanwhile."""

import re
import subprocess
from dataclasses import dataclass

import tree

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Sample:
    """One run: requests per second, microseconds of server CPU per request, latency in milliseconds, failed requests."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    errors: int


def parse(text):
    """wrk's report with --latency: (requests, requests per second, p50, p99, errors)."""
    requests = int(re.search(r"^\s*(\d+) requests in", text, re.M).group(1))
    rate = float(re.search(r"^Requests/sec:\s+([\d.]+)", text, re.M).group(1))
    percentiles = {}
    for percent, value, unit in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)$", text, re.M):
        percentiles[percent] = float(value) * UNITS_MS[unit]
    errors = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    if sockets := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text):
        errors += sum(int(number) for number in sockets.groups())
    return requests, rate, percentiles["50"], percentiles["99"], errors


def run(server, path, seconds, connections, cpus=None):
    """One run against a server that is up."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{server.port}{path}"]
    if cpus:
        command = ["taskset", "-c", cpus, *command]
    before = tree.cpu_seconds(server.roots)
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = tree.cpu_seconds(server.roots) - before
    server.must_run()
    requests, rate, p50, p99, errors = parse(report)
    return Sample(rate, spent / max(requests, 1) * 1e6, p50, p99, errors)
