"""A gunicorn.conf.py whose hooks look at what Gunicorn's documentation has hooks look at. Each writes its name into the file that HOOKS_FILE names if all of
that is there; what is not is an AssertionError in the log."""

import os
import sys

wsgi_app = "hooked:application"
chdir = os.path.dirname(os.path.abspath(__file__))
workers = 1
max_requests = 1000
timeout = 45
keepalive = 3
proc_name = "attributed"
raw_env = ["COLOUR=green"]
forwarded_allow_ips = "10.0.0.1,10.0.0.2"


def done(name):
    with open(os.environ["HOOKS_FILE"], "a") as file:
        file.write(name + "\n")


def same(one, other):
    assert one == other and type(one) is type(other), (one, other)


def look_at_cfg(cfg):
    host, port = cfg.address[0]
    same(host, "127.0.0.1")
    same(cfg.bind, ["%s:%d" % (host, port)])
    for name, value in dict(workers=1, threads=1, max_requests=1000, timeout=45, keepalive=3, graceful_timeout=30, backlog=cfg.backlog).items():
        same(getattr(cfg, name), value)
        same(cfg.settings[name].get(), value)
        same(cfg.settings[name].value, value)
    same(cfg.proc_name, "attributed")
    same(cfg.wsgi_app, "hooked:application")
    same(cfg.chdir, chdir)
    same(cfg.preload_app, True)
    same(cfg.reload, False)
    same(cfg.forwarded_allow_ips, ["10.0.0.1/32", "10.0.0.2/32"])
    same(cfg.env, {"COLOUR": "green"})
    same(cfg.raw_env, ["COLOUR=green"])
    same(cfg.is_ssl, False)
    same(cfg.uid, os.geteuid())
    assert cfg.certfile is None and cfg.pidfile is None
    assert callable(cfg.when_ready) and callable(cfg.on_exit)
    assert "workers" in str(cfg)
    assert not hasattr(cfg, "no_such_setting")


def look_at_server(server):
    look_at_cfg(server.cfg)
    same(server.address, server.cfg.address)
    same(str(server.LISTENERS[0]), "http://%s:%d" % server.address[0])
    same(server.LISTENERS[0].getsockname(), server.address[0])
    same(server.proc_name, "attributed")
    same(server.num_workers, 1)
    same(server.timeout, 45)
    assert server.pid > 1 and server.log.info and server.WORKERS is not None
    assert server.app.cfg is server.cfg


def look_at_worker(worker):
    look_at_cfg(worker.cfg)
    same(worker.age, 1)
    same(worker.max_requests, 1000)
    same(worker.pid, os.getpid())
    assert worker.ppid > 1 and worker.log.info and worker.alive and worker.sockets
    worker.tmp.notify()
    assert worker.tmp.last_update() > 0


def on_starting(server):
    look_at_server(server)
    assert server.app.callable is None
    done("on_starting")


def when_ready(server):
    look_at_server(server)
    assert callable(server.app.wsgi())
    done("when_ready")


def pre_fork(server, worker):
    same(worker.pid, "[booting]")
    done("pre_fork")


def post_worker_init(worker):
    look_at_worker(worker)
    assert worker.wsgi is worker.app.callable is worker.app.wsgi()
    done("post_worker_init")


def pre_request(worker, req):
    look_at_worker(worker)
    same((req.method, req.path, req.query, req.uri), ("GET", "/a", "b=c", "/a?b=c"))
    same((req.version, req.scheme, req.fragment, req.trailers), ((1, 1), "http", "", []))
    assert ("HOST", "test") in req.headers, req.headers
    host, port = req.peer_addr
    same(host, "127.0.0.1")
    assert type(port) is int and port > 0 and req.remote_addr == req.peer_addr and not req.should_close()
    done("pre_request")


def post_request(worker, req, environ, resp):
    same((resp.status, resp.status_code, resp.sent, resp.response_length), ("200 OK", 200, 3, 3))
    same(resp.headers, [("Content-Type", "text/plain"), ("Content-Length", "3")])
    assert resp.headers_sent and not resp.chunked
    same(worker.nr, 1)
    done("post_request")


def child_exit(server, worker):
    assert type(worker.pid) is int and sys.modules["__config__"] is not None
    done("child_exit")
