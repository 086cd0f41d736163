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


def started_anew(servers, path, options, connections):
    """As `interleaved`, but each sample is of processes of its own. Where an application takes nearly all of the time, how its memory happens to lie,
    and so what the caches can hold of it, differs by more from one start to the next than from one server to another."""
    samples = {server.name: [] for server in servers}
    for number in range(options.rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            with running([server]):
                wrk.run(server, path, 1, connections)
                sample = wrk.run(server, path, options.seconds, connections)
            samples[server.name].append(sample)
            print(f"  round {number + 1} {server.name}: {sample.rate:,.0f}/s, {sample.cpu_us:.1f} µs, p99 {sample.p99_ms:.0f} ms", file=sys.stderr)
    return rows(samples, METRICS)


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
    """Two pages of the example site: the list of twelve notes (templates, five queries), and one of them, a third of that work."""
    prepare_site(options)
    rivals = ("nginx + gunicorn", "nginx + uwsgi", "granian")
    for page, path, rate, cpu in (("list page", "/", 1.1, 0.95), ("page of one note", "/notes/2/", 1.0, 1.0)):
        bench = peers.Bench(options.maitred, options.scratch)
        made = started_anew(options.chosen(peers.django_servers(bench, 2)), path, options, 32)
        bars = [
            Bar("errors", "<=", 0),
            Bar("rate", ">=", rate, rivals),
            Bar("cpu_us", "<=", cpu, rivals),
            Bar("p99_ms", "<=", 1.0, rivals),
        ]
        report.add(f"Example site's {page}, 2 workers, 32 connections, nothing pinned", made, bars)
