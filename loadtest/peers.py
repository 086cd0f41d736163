"""How each server is started for each kind of work. Defaults of the peers are kept unless a comment says why not."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from server import Server, free_port

HERE = Path(__file__).resolve().parent
PROBE = HERE.parent / "examples" / "probe"
SITE = HERE.parent / "examples" / "site"
BIN = Path(sys.executable).parent
NGINX = "/usr/sbin/nginx"


@dataclass
class Bench:
    """Where servers run: the binary under test, a scratch folder, and CPUs if they are pinned."""

    maitred: Path
    scratch: Path
    cpus: str | None = None

    def server(self, name, commands, port, **options):
        """A server whose log is in the scratch folder."""
        # A control socket of its own: another server's, in the usual place, is waited for.
        run = self.scratch / f"run-{port}"
        run.mkdir(exist_ok=True)
        env = {"VIRTUAL_ENV": str(BIN.parent), "SITE_DATA": str(self.scratch / "site"), "RUNTIME_DIRECTORY": str(run)}
        env |= options.pop("env", {})
        return Server(name, commands, port, self.scratch / f"{port}.log", env=env, cpus=self.cpus, **options)

    def nginx(self, port, body):
        """nginx's command with a config of these `server` contents; one process when pinned to one CPU."""
        folder = self.scratch / f"nginx-{port}"
        folder.mkdir()
        user = "user root;" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        # keepalive_requests: the default of 1,000 would make nginx pay for new connections that the others keep.
        config.write_text(
            f"""daemon off; pid {folder}/pid; error_log stderr warn; {user}
worker_processes {1 if self.cpus else "auto"};
worker_rlimit_nofile 65536;
events {{ worker_connections 20000; }}
http {{
  include /etc/nginx/mime.types; access_log off; sendfile on; tcp_nopush on;
  keepalive_requests 100000000; open_file_cache max=1000 inactive=60s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; uwsgi_temp_path {folder}/uwsgi;
  fastcgi_temp_path {folder}/fastcgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096 reuseport; {body} }}
}}
"""
        )
        return [NGINX, "-p", folder, "-c", config]

    def serve(self, port, *arguments):
        """maitred's command; one shard when pinned to one CPU."""
        shards = ["--shards", "1"] if self.cpus else []
        return [self.maitred, "serve", *arguments, "--bind", f"127.0.0.1:{port}", *shards]


def wsgi_servers(bench, workers, app="app:hello", ready="/"):
    """WSGI servers of an application in `examples/probe`, nothing in front of them."""
    ports = [free_port() for _ in range(5)]
    listen = [f"127.0.0.1:{port}" for port in ports]
    commands = {
        "maitred": bench.serve(ports[0], app, "--chdir", PROBE, "--workers", workers),
        "granian": [BIN / "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", ports[1], "--workers", workers]
        + ["--log-level", "critical", "--respawn-failed-workers", app],
        # Without keep-alive: a uWSGI process that keeps a connection serves no other, and most of the clients would starve.
        "uwsgi": uwsgi(workers) + ["--http-socket", listen[2], "--listen", "128", "--module", app],
        "gunicorn gthread": [BIN / "gunicorn", "-w", workers, "-k", "gthread", "--threads", "4", "-b", listen[3], app],
        "gunicorn sync": [BIN / "gunicorn", "-w", workers, "-b", listen[4], app],
    }
    return [
        bench.server(name, [command], port, cwd=PROBE, ready_path=ready)
        for (name, command), port in zip(commands.items(), ports, strict=True)
    ]


def uwsgi(workers):
    """uWSGI as its documentation advises for production: a master, no log line per request, SIGTERM ends it."""
    command = [BIN / "uwsgi", "--master", "--processes", workers, "--disable-logging", "--die-on-term", "--need-app"]
    return [*command, "--virtualenv", BIN.parent]


def django_servers(bench, workers, gunicorn_alone=False):
    """The example site as a team would run it: nginx in front of gunicorn or uWSGI, granian alone, maitred alone; and if asked for, gunicorn
    without anything that serves files."""
    ports = [free_port() for _ in range(5)]
    static = f"location /static/ {{ alias {bench.scratch}/site/static/; }}"
    to_gunicorn, to_uwsgi = bench.scratch / f"{ports[2]}.sock", bench.scratch / f"{ports[3]}.sock"
    proxied = f"{static} location / {{ proxy_pass http://unix:{to_gunicorn}:; proxy_set_header Host $http_host; }}"
    passed = f"{static} location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{to_uwsgi}; }}"
    app = "mysite.wsgi:application"
    granian = [BIN / "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", ports[1], "--workers", workers]
    commands = {
        "maitred": [bench.serve(ports[0], "--chdir", SITE, "--workers", workers)],
        "granian": [[*granian, "--log-level", "critical", "--respawn-failed-workers", app]],
        "nginx + gunicorn": [
            [BIN / "gunicorn", "-w", workers, "-b", f"unix:{to_gunicorn}", app],
            bench.nginx(ports[2], proxied),
        ],
        "nginx + uwsgi": [
            [*uwsgi(workers), "--socket", to_uwsgi, "--listen", "128", "--module", app],
            bench.nginx(ports[3], passed),
        ],
    }
    if gunicorn_alone:
        commands["gunicorn"] = [[BIN / "gunicorn", "-w", workers, "-b", f"127.0.0.1:{ports[4]}", app]]
    return [bench.server(name, group, port, cwd=SITE) for (name, group), port in zip(commands.items(), ports, strict=False)]
