"""What serving the example site costs before anybody asks much: memory at rest, and the time from the start to the first page."""

import contextlib
import http.client
import time
from statistics import median

import peers
import throughput
import tree
from report import Bar
from server import ServerFailed, running

# maitred gives back what only its start has needed after ten seconds.
SETTLE_SECONDS = 12
# So many pages that each worker has answered some: what was imported by the first request, and counted in shared objects, is memory of its own then.
PAGES = 400
PAGES_AT_ONCE = 16
BOOT_SECONDS_MAX = 60
# How often a server that starts is asked.
ASK_SECONDS = 0.001


def read_pages(port, count, at_once):
    """Takes pages over connections that are opened anew each time, so that all workers get some."""
    for _ in range(0, count, at_once):
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(at_once)]
        for connection in connections:
            connection.request("GET", "/", headers={"Connection": "close"})
        for connection in connections:
            with contextlib.closing(connection):
                response = connection.getresponse()
                if response.status != 200 or not response.read():
                    raise ServerFailed(f"a page was answered with {response.status}")


def python_bytes(roots):
    """Memory of the processes that hold the application: those of Python below the one that was started, the zygote among them."""
    members = [stat for stat in tree.members(roots) if stat.pid not in roots]
    return sum(tree.pss_of(stat.pid) for stat in members)


def at_rest(options, workers):
    """A row for each server, one after the other, so that none shares pages with another that runs."""
    bench = peers.Bench(options.maitred, options.scratch / f"rest-{workers}")
    bench.scratch.mkdir()
    (bench.scratch / "site").symlink_to(options.scratch / "site")
    made = []
    for server in options.chosen(peers.django_servers(bench, workers, gunicorn_alone=True)):
        with running([server]):
            time.sleep(SETTLE_SECONDS)
            whole, own = tree.pss_bytes(server.roots), python_bytes(server.roots)
            read_pages(server.port, PAGES, PAGES_AT_ONCE)
            time.sleep(1)
            used, own_used = tree.pss_bytes(server.roots), python_bytes(server.roots)
            server.must_run()
        row = {"MiB": whole, "MiB of workers": own, f"MiB after {PAGES} pages": used, "MiB of workers then": own_used}
        made.append({"server": server.name} | {name: bytes_used / 2**20 for name, bytes_used in row.items()})
    return made


def memory(options, report):
    """Proportional set size of the example site's processes with 2 and with 4 workers, at rest and when all workers have answered pages."""
    throughput.prepare_site(options)
    bars = [Bar("MiB", "<=", 0.75, ("gunicorn",))]
    report.add("The example site at rest, 2 workers: memory of the whole", at_rest(options, 2), bars)
    bars = [Bar("MiB of workers", "<=", 0.7, ("gunicorn",))]
    report.add("The example site at rest, 4 workers: memory of the processes with Python", at_rest(options, 4), bars)


def first_page(server):
    """Milliseconds from the start of the server's processes to its first page."""
    server.log.unlink(missing_ok=True)
    begun = time.monotonic()
    server.launch()
    try:
        while not server.answers():
            server.must_run()
            if time.monotonic() - begun > BOOT_SECONDS_MAX:
                raise ServerFailed(f"{server.name} did not answer within {BOOT_SECONDS_MAX} s\n{server.log_tail()}")
            time.sleep(ASK_SECONDS)
        return (time.monotonic() - begun) * 1000
    finally:
        server.stop()


def boot(options, report):
    """From exec to the first 200 of the list page, 2 workers, files in the page cache."""
    throughput.prepare_site(options)
    bench = peers.Bench(options.maitred, options.scratch)
    servers = options.chosen(peers.django_servers(bench, 2, gunicorn_alone=True))
    samples = {server.name: [] for server in servers}
    for number in range(options.rounds + 1):
        for server in servers if number % 2 == 0 else reversed(servers):
            took = first_page(server)
            # The first round brings everything into memory.
            if number:
                samples[server.name].append(took)
    made = [{"server": name, "ms": median(all_taken)} for name, all_taken in samples.items()]
    others = tuple(server.name for server in servers if server.name != "maitred")
    report.add("From the start to the first page of the example site, 2 workers", made, [Bar("ms", "<=", 1.0, others)])
