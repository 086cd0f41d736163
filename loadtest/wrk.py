"""Runs wrk against a server and reads what it found, together with the CPU time that both of them spent meanwhile."""

import os
import re
import subprocess
from dataclasses import dataclass

import tree

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Sample:
    """One run: requests per second, microseconds of the server's and of the client's CPU per request, latency in milliseconds, failed requests."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    errors: int
    client_us: float = 0.0

    @property
    def both_us(self):
        """CPU of both sides: how a server slices a transfer decides how much of TCP's work falls on the receiver."""
        return self.cpu_us + self.client_us


def parse(text):
    """wrk's report with --latency: (requests, requests per second, p50, p99, errors)."""
    requests = int(re.search(r"^\s*(\d+) requests in", text, re.M).group(1))
    rate = float(re.search(r"^Requests/sec:\s+([\d.]+)", text, re.M).group(1))
    percentiles = {}
    for percent, value, unit in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m) *$", text, re.M):
        percentiles[percent] = float(value) * UNITS_MS[unit]
    errors = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    if sockets := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text):
        errors += sum(int(number) for number in sockets.groups())
    if requests and len(percentiles) < 2:
        raise ValueError(f"wrk tells no latency:\n{text}")
    # A run in which no request was finished has none.
    return requests, rate, percentiles.get("50", 0.0), percentiles.get("99", 0.0), errors


def run(server, path, seconds, connections, cpus=None, fields=(), status=200, script=None):
    """One run against a server that is up. A `status` of 400 and more is what every answer should have; wrk tells no more than how many had one.
    `script` is a file in Lua that says what wrk sends."""
    scheme = "https" if server.tls else "http"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"{scheme}://127.0.0.1:{server.port}{path}"]
    for line in fields:
        command += ["-H", line]
    if script:
        command += ["-s", str(script)]
    if cpus:
        command = ["taskset", "-c", cpus, *command]
    before = tree.cpu_seconds(server.roots)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        report = process.stdout.read()
        _, status_word, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status_word)
    spent = tree.cpu_seconds(server.roots) - before
    server.must_run()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    requests, rate, p50, p99, errors = parse(report)
    if status >= 400:
        errors = abs(requests - errors)
    per_request = 1e6 / max(requests, 1)
    client = usage.ru_utime + usage.ru_stime
    return Sample(rate, spent * per_request, p50, p99, errors, client * per_request)
