"""Servers of files: maitred, and nginx, h2o and lighttpd as their documentation advises for speed, each with one process or thread when it is
pinned to one CPU. What all of them cache, compress or log is set alike; keep-alive is never ended by a count of requests."""

import os
import resource

from server import free_port

H2O = "/usr/bin/h2o"
LIGHTTPD = "/usr/sbin/lighttpd"
PEERS = ("nginx", "h2o", "lighttpd")
# Longer than any pause of a measurement.
KEEPALIVE_SECONDS = 75


def static_servers(bench, folder, logs=False):
    """Servers of the files in `folder`; with `logs` each writes an access log in nginx's combined format."""
    ports = [free_port() for _ in range(4)]
    commands = {
        "maitred": _maitred(bench, ports[0], folder, logs),
        "nginx": _nginx(bench, ports[1], folder, logs),
        "h2o": _h2o(bench, ports[2], folder, logs),
        "lighttpd": _lighttpd(bench, ports[3], folder, logs),
    }
    return [
        bench.server(name, [command], port, ready_path="/1k.bin")
        for (name, command), port in zip(commands.items(), ports, strict=True)
    ]


def _maitred(bench, port, folder, logs):
    """Its defaults, but for the bound on connections."""
    config = bench.scratch / f"maitred-{port}.toml"
    log = bench.scratch / f"maitred-{port}-access.log"
    config.write_text(
        f"""[server]
max_connections = 20000
access_log = "{log if logs else "off"}"
[[route]]
path = "/"
static = "{folder}"
"""
    )
    return bench.serve(port, "--config", config)


def _nginx(bench, port, folder, logs):
    """open_file_cache, also for what is missing; sendfile and tcp_nopush are in `Bench.nginx`. The log is buffered, as maitred's is."""
    log = f"access_log {bench.scratch}/nginx-{port}-access.log combined buffer=64k flush=1s;" if logs else ""
    return bench.nginx(port, f"root {folder}; gzip_static on; open_file_cache_errors on; open_file_cache_valid 1s; {log}")


def _h2o(bench, port, folder, logs):
    """Files that are there compressed are sent so."""
    config = bench.scratch / f"h2o-{port}.yaml"
    log = f"access-log: {bench.scratch}/h2o-{port}-access.log" if logs else ""
    user = "user: root" if os.geteuid() == 0 else ""
    config.write_text(
        f"""num-threads: {1 if bench.cpus else os.cpu_count()}
max-connections: 20000
http1-request-timeout: {KEEPALIVE_SECONDS}
listen: {{ host: 127.0.0.1, port: {port} }}
file.send-compressed: ON
{user}
{log}
hosts:
  default:
    paths:
      "/": {{ file.dir: "{folder}" }}
"""
    )
    return [H2O, "-c", config]


def _lighttpd(bench, port, folder, logs):
    """It takes half as many connections as it may have descriptors. It sends no siblings: mod_deflate keeps what it has compressed
    instead, which is the same work from the second request on."""
    config = bench.scratch / f"lighttpd-{port}.conf"
    cache = bench.scratch / f"lighttpd-{port}-cache"
    cache.mkdir()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    descriptors = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    modules = '"mod_deflate", "mod_accesslog"' if logs else '"mod_deflate"'
    log = f'accesslog.filename = "{bench.scratch}/lighttpd-{port}-access.log"' if logs else ""
    config.write_text(
        f"""server.modules = ( {modules} )
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-fds = {descriptors}
server.max-connections = {descriptors // 2}
server.listen-backlog = 4096
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = {KEEPALIVE_SECONDS}
server.network-backend = "sendfile"
server.max-worker = {0 if bench.cpus else os.cpu_count()}
mimetype.assign = ( ".html" => "text/html", ".bin" => "application/octet-stream" )
deflate.mimetypes = ( "text/html" )
deflate.allowed-encodings = ( "gzip" )
deflate.cache-dir = "{cache}"
{log}
"""
    )
    return [LIGHTTPD, "-D", "-f", config]
