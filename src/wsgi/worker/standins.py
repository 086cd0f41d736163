"""What server hooks are given in the place of Gunicorn's objects: plain ones, with the attributes that hooks use.

Owns their attributes. What they tell is as it was when they were made, but for what the zygote and the worker note in them; setting anything here
changes nothing of the server. Imported by `hooks` alone.
"""
import os
import sys
import tempfile
import time

from . import application as applications


class Setting:
    """One setting with its value."""

    def __init__(self, name, value):
        self.name = name
        self.value = value

    def get(self):
        return self.value


class Config:
    """In the place of Gunicorn's Config: all of its settings by their names. None is what has no meaning here, or is not set."""

    def __init__(self, values, env, hooks):
        self.env = env
        self.is_ssl = bool(values.pop("is_ssl", False))
        values.update(hooks)
        values["raw_env"] = ["%s=%s" % pair for pair in env.items()]
        values["user"], values["group"] = os.geteuid(), os.getegid()
        self.settings = {name: Setting(name, value) for name, value in values.items()}

    def __getattr__(self, name):
        settings = self.__dict__.get("settings", {})
        if name not in settings:
            raise AttributeError("No configuration setting for: %s" % name)
        return settings[name].get()

    def __str__(self):
        width = max(len(name) for name in self.settings)
        return "\n".join("%-*s = %s" % (width, name, self.settings[name].value) for name in sorted(self.settings))

    @property
    def address(self):
        return [_address(bind) for bind in self.bind]

    @property
    def worker_class_str(self):
        return self.worker_class

    @property
    def uid(self):
        return self.user

    @property
    def gid(self):
        return self.group


def _address(bind):
    """A pair of host and port, or the path of a unix socket."""
    if bind.startswith("unix:"):
        return bind[len("unix:") :]
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


class Listener:
    """In the place of a listening socket, which is the server's: where it listens."""

    sock = None

    def __init__(self, address, is_ssl):
        self.cfg_addr = address
        self._scheme = "https" if is_ssl else "http"

    def getsockname(self):
        return self.cfg_addr

    def __str__(self):
        if isinstance(self.cfg_addr, str):
            return "unix:%s" % self.cfg_addr
        host, port = self.cfg_addr
        return "%s://%s:%d" % (self._scheme, "[%s]" % host if ":" in host else host, port)


class Application:
    """In the place of Gunicorn's Application. `callable` is what is served, once it was imported."""

    def __init__(self, cfg, name):
        self.cfg = cfg
        self.app_uri = name
        self.callable = None

    def wsgi(self):
        """What is served; imports it if that was not done."""
        if self.callable is None:
            self.callable = applications.load(self.app_uri)
        return self.callable


class Server:
    """In the place of Gunicorn's arbiter."""

    master_name = "Master"
    master_pid = 0
    reexec_pid = 0
    systemd = False

    def __init__(self, settings, hooks, log):
        values = dict(settings["cfg"])
        env = {name: os.environ.get(name) for name in values.pop("env")}
        values["chdir"] = settings["chdir"]
        self.cfg = Config(values, env, hooks)
        self.app = Application(self.cfg, settings["wsgi"])
        self.address = self.cfg.address
        self.LISTENERS = [Listener(address, self.cfg.is_ssl) for address in self.address]
        self.WORKERS = {}
        self.log = log
        self.pid = os.getppid()
        self.proc_name = self.cfg.proc_name
        self.num_workers = self.cfg.workers
        self.timeout = self.cfg.timeout
        self.worker_age = 0


class Heartbeat:
    """In the place of the file by which Gunicorn's arbiter sees that a worker lives: it is seen otherwise here."""

    _file = None

    def notify(self):
        pass

    def last_update(self):
        return time.monotonic()

    def fileno(self):
        if self._file is None:
            self._file = tempfile.TemporaryFile()
        return self._file.fileno()

    def close(self):
        if self._file is not None:
            self._file.close()
            self._file = None


class Worker:
    """In the place of Gunicorn's worker. `age` counts workers from 1."""

    reloader = None

    def __init__(self, server, age):
        self.age = age
        self.pid = "[booting]"
        self.ppid = server.pid
        self.app = server.app
        self.cfg = server.cfg
        self.log = server.log
        self.sockets = server.LISTENERS
        self.timeout = server.cfg.timeout
        self.max_requests = server.cfg.max_requests or sys.maxsize
        self.tmp = Heartbeat()
        self.alive = True
        self.booted = False
        self.aborted = False
        self.nr = 0
        self.wsgi = None

    def notify(self):
        self.tmp.notify()

    def __str__(self):
        return "<Worker %s>" % self.pid


class Request:
    """What is known of a request before the application has it."""

    body = None
    fragment = ""
    must_close = False
    proxy_protocol_info = None
    req_number = 1

    def __init__(self, environ, cfg):
        self.cfg = cfg
        self.method = environ["REQUEST_METHOD"]
        self.uri = environ["RAW_URI"]
        self.path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        self.query = environ["QUERY_STRING"]
        self.version = (1, 0) if environ["SERVER_PROTOCOL"] == "HTTP/1.0" else (1, 1)
        self.scheme = environ["wsgi.url_scheme"]
        # Without an address the client came through a unix socket.
        host, port = environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", "")
        self.peer_addr = self.remote_addr = (host, int(port) if port.isdigit() else 0) if host else ""
        self.trailers = []
        self.headers = [(key[5:].replace("_", "-"), value) for key, value in environ.items() if key.startswith("HTTP_")]
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                self.headers.append((key.replace("_", "-"), environ[key]))

    def should_close(self):
        return False


class Response:
    """What the application said of its response, and how much of it was sent."""

    must_close = False
    upgrade = False

    def __init__(self, request, cfg, version):
        self.req = request
        self.cfg = cfg
        self.version = version
        self.status = None
        self.status_code = None
        self.headers = []
        # What sends it.
        self._sending = None

    def note(self, sending, status, headers):
        self._sending = sending
        self.status = status
        self.status_code = int(status[:3])
        self.headers = list(headers)

    @property
    def headers_sent(self):
        return self._sending is not None and self._sending.started

    @property
    def sent(self):
        """Bytes of the body."""
        return 0 if self._sending is None else self._sending.sent

    @property
    def response_length(self):
        """Content-Length as the application gave it; None without one."""
        lengths = [value for name, value in self.headers if name.lower() == "content-length"]
        return int(lengths[0]) if lengths else None

    @property
    def chunked(self):
        return self._sending is not None and self._sending.started and self._sending.declared is None

    def is_chunked(self):
        return self.chunked
