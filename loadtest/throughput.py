"""The work of applications that wrk measures: a WSGI hello world, the example site's list page."""

import os
import subprocess
import sys

import peers
import wrk
from report import Bar, rows
from server import running

METRICS = ("rate", "cpu_us", "p50_ms", "p99_ms")
# One CPU for the server, another for the client.
SERVER_CPU, CLIENT_CPU = "0", "1"
UPLOAD_BYTES = 2**20


def interleaved(servers, path, options, connections, client_cpus=None, work=None, must_answer=None, script=None):
    """Each server's samples: A B C, C B A, … so that a drift of the machine meets all of them alike. `work` (see `files`) says which fields are
    sent, which status is right, and what is told of the samples; `must_answer` looks at each server before; `script` is wrk's."""
    fields, status = (work.fields, work.status) if work else ((), 200)
    samples = {server.name: [] for server in servers}
    with running(servers):
        for server in servers:
            if must_answer:
                must_answer(server, work)
            wrk.run(server, path, 1, connections, client_cpus, fields, status, script)
        for number in range(options.rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                sample = wrk.run(server, path, options.seconds, connections, client_cpus, fields, status, script)
                samples[server.name].append(sample)
                print(f"  round {number + 1} {server.name}: {sample.rate:,.0f}/s, {sample.cpu_us:.1f} µs", file=sys.stderr)
    return rows(samples, work.metrics if work else METRICS)


def wsgi(options, report):
    """A hello world: two workers with nothing pinned, then server and one worker on one CPU."""
    free = peers.Bench(options.maitred, options.scratch)
    made = interleaved(options.chosen(peers.wsgi_servers(free, 2)), "/", options, 64)
    bars = [
        Bar("errors", "<=", 0),
        Bar("cpu_us", "<=", 0.55, ("granian",)),
        Bar("rate", ">=", 1.5, ("granian",)),
        Bar("rate", ">=", 6.0, ("gunicorn gthread", "gunicorn sync")),
    ]
    report.add("WSGI hello world, 2 workers, 64 connections, nothing pinned", made, bars)
    pinned = peers.Bench(options.maitred, options.scratch, SERVER_CPU)
    made = interleaved(options.chosen(peers.wsgi_servers(pinned, 1)), "/", options, 64, CLIENT_CPU)
    bars = [Bar("errors", "<=", 0), Bar("cpu_us", "<=", 0.75, ("granian",))]
    report.add("WSGI hello world, 1 worker, 64 connections, server and worker on one CPU", made, bars)


def payloads(options, report):
    """Large bodies, server and one worker on one CPU: 64 KiB from the application, 1 MiB to it. The application reads all of that."""
    script = options.scratch / "upload.lua"
    script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {UPLOAD_BYTES})\n')
    pinned = peers.Bench(options.maitred, options.scratch, SERVER_CPU)
    for title, path, lua, factor in (
        ("a response of 64 KiB", "/bytes?n=65536", None, 0.9),
        ("an upload of 1 MiB", "/count", script, 0.75),
    ):
        servers = options.chosen(peers.wsgi_servers(pinned, 1, "app:application", "/hello"))
        made = interleaved(servers, path, options, 16, CLIENT_CPU, script=lua)
        bars = [Bar("errors", "<=", 0), Bar("cpu_us", "<=", factor, ("granian",))]
        report.add(f"WSGI, {title}, 1 worker, 16 connections, server and worker on one CPU", made, bars)


def prepare_site(options):
    """The example site's database and static files, in the scratch folder."""
    env = os.environ | {"SITE_DATA": str(options.scratch / "site")}
    for command in (["migrate", "-v0"], ["collectstatic", "--noinput", "-v0"], ["seed"]):
        subprocess.run([sys.executable, peers.SITE / "manage.py", *command], check=True, env=env, stdout=subprocess.DEVNULL)


def django(options, report):
    """The list page: templates, five queries, 12 notes."""
    prepare_site(options)
    bench = peers.Bench(options.maitred, options.scratch)
    made = interleaved(options.chosen(peers.django_servers(bench, 2)), "/", options, 32)
    rivals = ("nginx + gunicorn", "nginx + uwsgi", "granian")
    bars = [
        Bar("errors", "<=", 0),
        Bar("rate", ">=", 1.1, rivals),
        Bar("cpu_us", "<=", 0.95, rivals),
        Bar("p99_ms", "<=", 1.0, rivals),
    ]
    report.add("Example site's list page, 2 workers, 32 connections, nothing pinned", made, bars)
