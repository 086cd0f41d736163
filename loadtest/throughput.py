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


def interleaved(servers, path, options, connections, client_cpus=None, work=None, must_answer=None):
    """Each server's samples: A B C, C B A, … so that a drift of the machine meets all of them alike. `work` (see `files`) says which fields are
    sent, which status is right, and what is told of the samples; `must_answer` looks at each server before."""
    fields, status = (work.fields, work.status) if work else ((), 200)
    samples = {server.name: [] for server in servers}
    with running(servers):
        for server in servers:
            if must_answer:
                must_answer(server, work)
            wrk.run(server, path, 1, connections, client_cpus, fields, status)
        for number in range(options.rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                sample = wrk.run(server, path, options.seconds, connections, client_cpus, fields, status)
                samples[server.name].append(sample)
                print(f"  round {number + 1} {server.name}: {sample.rate:,.0f}/s, {sample.cpu_us:.1f} µs", file=sys.stderr)
    return rows(samples, work.metrics if work else METRICS)


def wsgi(options, report):
    """A hello world: two workers with nothing pinned, then server and one worker on one CPU."""
    free = peers.Bench(options.maitred, options.scratch)
    made = interleaved(options.chosen(peers.wsgi_servers(free, 2)), "/", options, 64)
    bars = [
        Bar("cpu_us", "<=", 0.75, ("granian",)),
        Bar("rate", ">=", 1.2, ("granian",)),
        Bar("rate", ">=", 6.0, ("gunicorn gthread", "gunicorn sync")),
    ]
    report.add("WSGI hello world, 2 workers, 64 connections, nothing pinned", made, bars)
    pinned = peers.Bench(options.maitred, options.scratch, SERVER_CPU)
    made = interleaved(options.chosen(peers.wsgi_servers(pinned, 1)), "/", options, 64, CLIENT_CPU)
    bars = [Bar("cpu_us", "<=", 1.25, ("granian",))]
    report.add("WSGI hello world, 1 worker, 64 connections, server and worker on one CPU", made, bars)


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
    bars = [Bar("rate", ">=", 1.0, ("nginx + gunicorn", "nginx + uwsgi"))]
    report.add("Example site's list page, 2 workers, 32 connections, nothing pinned", made, bars)
