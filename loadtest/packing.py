"""What it costs to send 20 KiB of HTML with gzip where no compressed form lies beside it: a file, which maitred compresses once and keeps and nginx
compresses each time, and the answer of an application, which both compress each time. The same level for both; one CPU for the server and its
worker, one for the client."""

import time

import peers
from files import Work, lay_out, must_answer, page
from report import Bar
from server import ServerFailed, free_port
from throughput import CLIENT_CPU, SERVER_CPU, interleaved

LEVEL = 6
COMPRESSED_SECONDS_MAX = 5
FIELDS = ("Accept-Encoding: gzip",)
WORKS = {
    "gzip": Work("a page of 20 KiB that nobody has compressed", "/plain.html", nginx=0.9, fields=FIELDS),
    "gzip-app": Work("a page of 20 KiB from an application", "/", fields=FIELDS),
}
# As nginx has it by default, but for the level: text/html is always meant.
NGINX_GZIP = f"gzip on; gzip_comp_level {LEVEL};"


def file_servers(options):
    """maitred and nginx with the page as a file."""
    folder = options.scratch / "files"
    if not folder.exists():
        lay_out(folder)
    (folder / "plain.html").write_bytes(page())
    bench = peers.Bench(options.maitred, options.scratch, SERVER_CPU)
    ports = [free_port() for _ in range(2)]
    config = options.scratch / f"maitred-{ports[0]}.toml"
    config.write_text(f'[[route]]\npath = "/"\nstatic = "{folder}"\ncompress = {{ gzip = {LEVEL} }}\n')
    commands = {
        "maitred": bench.serve(ports[0], "--config", config),
        "nginx": bench.nginx(ports[1], f"root {folder}; {NGINX_GZIP} open_file_cache_valid 1s;"),
    }
    return [
        bench.server(name, [command], port, ready_path="/1k.bin")
        for (name, command), port in zip(commands.items(), ports, strict=True)
    ]


def app_servers(options):
    """The page from `examples/probe`: maitred alone, and nginx in front of uWSGI, each with one worker."""
    source = options.scratch / "page.html"
    source.write_bytes(page())
    bench = peers.Bench(options.maitred, options.scratch, SERVER_CPU)
    ports = [free_port() for _ in range(2)]
    config = options.scratch / f"maitred-{ports[0]}.toml"
    config.write_text(
        f"""[app]
wsgi = "app:page"
chdir = "{peers.PROBE}"
workers = 1
[[route]]
path = "/"
app = true
compress = {{ gzip = {LEVEL} }}
"""
    )
    socket = options.scratch / f"{ports[1]}.sock"
    passed = f"{NGINX_GZIP} location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{socket}; }}"
    commands = {
        "maitred": [bench.serve(ports[0], "--config", config)],
        "nginx + uwsgi": [
            [*peers.uwsgi(1), "--socket", socket, "--listen", "128", "--module", "app:page"],
            bench.nginx(ports[1], passed),
        ],
    }
    return [
        bench.server(name, group, port, cwd=peers.PROBE, env={"PROBE_PAGE": str(source)})
        for (name, group), port in zip(commands.items(), ports, strict=True)
    ]


def comes_compressed(server, work):
    """Wait until the page comes compressed: maitred does not let the first one wait for that."""
    deadline = time.monotonic() + COMPRESSED_SECONDS_MAX
    while True:
        try:
            return must_answer(server, work)
        except ServerFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def file(options, report):
    """Bars against nginx, which has to compress the file for each request."""
    work = WORKS["gzip"]
    made = interleaved(options.chosen(file_servers(options)), work.path, options, work.connections, CLIENT_CPU, work, comes_compressed)
    bars = [Bar("errors", "<=", 0), Bar("cpu_us", "<=", work.nginx, ("nginx",))]
    report.add(f"{work.title}, gzip {LEVEL}, {work.connections} connections, server on one CPU", made, bars)


def app(options, report):
    """The same work for both: take a request to a worker, compress its answer."""
    work = WORKS["gzip-app"]
    made = interleaved(options.chosen(app_servers(options)), work.path, options, work.connections, CLIENT_CPU, work, must_answer)
    bars = [Bar("errors", "<=", 0), Bar("cpu_us", "<=", 0.9, ("nginx + uwsgi",))]
    report.add(f"{work.title}, gzip {LEVEL}, {work.connections} connections, server and worker on one CPU", made, bars)
