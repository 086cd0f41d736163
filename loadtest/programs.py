"""What looking after programs costs, beside supervisord: memory, how soon a crash is mended, a thousand programs, and a child that floods its output."""

import http.client
import json
import os
import signal
import socket
import time
import xmlrpc.client
from dataclasses import dataclass
from statistics import median

import attack
import peers
import tree
from idle import need_descriptors
from report import Bar
from server import Server, ServerFailed, free_port, running
from throughput import SERVER_CPU

FEW = 20
MANY = 1000
# What only the start has needed is given back by then.
SETTLE_SECONDS = 15
CRASHES = 15
# A process is RUNNING then, and its crash no failed start.
LIFE_SECONDS = 1.5
WAIT_SECONDS_MAX = 60
FLOOD_BYTES = 1_000_000_000
FLOOD_SECONDS_MAX = 120
CALM_SECONDS = 5


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=WAIT_SECONDS_MAX)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def make_connection(self, _host):
        return UnixConnection(self.path)


@dataclass
class Supervisor(Server):
    """A server that looks after programs and is asked over its control socket."""

    control: str = ""

    @property
    def calls(self):
        """Methods of the `supervisor` namespace."""
        return xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(self.control)).supervisor

    def answers(self):
        try:
            return self.calls.getState()["statename"] == "RUNNING"
        except (OSError, http.client.HTTPException):
            return False

    def running(self):
        """The ids of the programs' processes that are RUNNING."""
        return [info["pid"] for info in self.calls.getAllProcessInfo() if info["statename"] == "RUNNING"]

    def wait_running(self, count):
        """Waits until so many are RUNNING."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while len(self.running()) != count:
            self.must_run()
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name}: not {count} processes run\n{self.log_tail()}")
            time.sleep(0.02)


def toml(text):
    """A value as TOML has it."""
    return text if text.isdigit() or text in ("true", "false") else json.dumps(text)


def supervisors(bench, programs, more=""):
    """maitred and supervisord with the same programs: a table of names and their lines, which both understand. `more` is maitred's alone."""
    made = []
    for name in ("maitred", "supervisord"):
        folder = bench.scratch / f"{name}-{free_port()}"
        folder.mkdir()
        control = str(folder / "control.sock")
        if name == "maitred":
            file = folder / "maitred.toml"
            value = toml
            head = f"{more}\n[control]\nsocket = {value(control)}\n"
            command = [bench.maitred, "serve", "--config", file]
        else:
            file = folder / "supervisord.conf"
            value = str
            # More descriptors than it asks for by default: three pipes a program.
            head = (
                f"[supervisord]\nnodaemon=true\nlogfile={folder}/main.log\npidfile={folder}/pid\nchildlogdir={folder}\nminfds=16384\n"
                f"[unix_http_server]\nfile={control}\n[rpcinterface:supervisor]\n"
                "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            )
            command = [peers.BIN / "supervisord", "-c", file]
        tables = [
            f"[program{':' if name == 'supervisord' else '.'}{program}]\n"
            + "".join(f"{key} = {value(text)}\n" for key, text in lines.items())
            for program, lines in programs.items()
        ]
        file.write_text(head + "".join(tables))
        made.append(Supervisor(name, [command], 0, folder / "log", cwd=folder, control=control))
    return made


def own_memory(server, kind="Pss"):
    """Memory of the supervisor apart from its programs, bytes; `Pss_Anon`: that of no file."""
    programs = set(server.running())
    return sum(tree.pss_of(stat.pid, kind) for stat in tree.members(server.roots) if stat.pid not in programs)


def memory(options, report):
    """Memory with 20 programs that log into files."""
    bench = peers.Bench(options.maitred, options.scratch)
    programs = {
        f"p{number:02}": {"command": "sleep 1000", "stdout_logfile": str(options.scratch / f"p{number}.log")} for number in range(FEW)
    }
    made = []
    for server in options.chosen(supervisors(bench, programs)):
        with running([server]):
            server.wait_running(FEW)
            time.sleep(SETTLE_SECONDS)
            made.append({"server": server.name, "MiB": own_memory(server) / 2**20})
    report.add(f"Memory with {FEW} programs, theirs not counted", made, [Bar("MiB", "<=", 0.25, ("supervisord",))])


def crash(options, report):
    """The time from a SIGKILL to the first word of the next process."""
    bench = peers.Bench(options.maitred, options.scratch)
    fifo = options.scratch / "words"
    os.mkfifo(fifo)
    listening = os.open(fifo, os.O_RDWR)
    programs = {"victim": {"command": f"sh -c 'echo $$ > {fifo}; exec sleep 1000'", "autorestart": "true"}}
    made = []
    for server in options.chosen(supervisors(bench, programs)):
        delays = []
        with running([server]):
            pid = int(os.read(listening, 64))
            for number in range(CRASHES):
                # At another moment of whatever round the supervisor goes each time.
                time.sleep(LIFE_SECONDS + number / CRASHES)
                killed = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                pid = int(os.read(listening, 64))
                delays.append((time.monotonic() - killed) * 1000)
        made.append({"server": server.name, "crashes": len(delays), "median ms": median(delays), "worst ms": max(delays)})
    os.close(listening)
    report.add("From a crash to the next process's first word", made, [Bar("worst ms", "<=", 10.0)])


def thousand(options, report):
    """Start, report and stop of 1,000 programs."""
    need_descriptors(MANY * 4)
    bench = peers.Bench(options.maitred, options.scratch)
    logs = options.scratch / "many"
    logs.mkdir()
    programs = {
        f"p{number:04}": {"command": "sleep 1000", "startsecs": "0", "stdout_logfile": str(logs / f"{number}.log")}
        for number in range(MANY)
    }
    made = []
    for server in options.chosen(supervisors(bench, programs)):
        begun = time.monotonic()
        with running([server]):
            server.wait_running(MANY)
            started = time.monotonic() - begun
            begun = time.monotonic()
            server.running()
            reported = time.monotonic() - begun
            threads = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in server.roots)
            own = own_memory(server) / 2**20
            begun = time.monotonic()
            os.kill(server.roots[0], signal.SIGTERM)
            server.processes[0].wait(WAIT_SECONDS_MAX)
            stopped = time.monotonic() - begun
        made.append(
            {"server": server.name, "start s": started, "report s": reported, "stop s": stopped, "threads": threads, "MiB": own}
        )
    bars = [Bar("start s", "<=", 5.0), Bar("report s", "<=", 1.0), Bar("stop s", "<=", 5.0), Bar("threads", "<=", 8)]
    report.add(f"{MANY:,} programs", made, bars)


def flood(options, report):
    """Healthy clients of the server before and while a program writes 1 GB, and the server's memory."""
    folder = options.scratch / "flood"
    folder.mkdir()
    (folder / "1k.bin").write_bytes(bytes(1024))
    bench = peers.Bench(options.maitred, options.scratch)
    port = free_port()
    log = folder / "flood.log"
    more = (
        f'[server]\nlisten = "127.0.0.1:{port}"\nshards = 1\n'
        f'[[route]]\npath = "/files"\nstatic = "{folder}"\n[[route]]\npath = "/hello"\nrespond = "hello"\n'
    )
    script = f"sh -c 'yes a line of a program that says much too much | head -c {FLOOD_BYTES}'"
    lines = {
        "command": script,
        "autostart": "false",
        "autorestart": "false",
        "startsecs": "0",
        "stdout_logfile": str(log),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
    }
    server = supervisors(bench, {"flood": lines}, more)[0]
    server.cpus = SERVER_CPU
    made = []
    for _ in range(options.rounds):
        with running([server]):
            attack.healthy(port, False, 1)
            calm, lost = attack.healthy(port, False, CALM_SECONDS)
            before = own_memory(server, "Pss_Anon")
            server.calls.startProcess("flood")
            latencies, seconds, most = [], time.monotonic(), before
            while server.calls.getProcessInfo("flood")["statename"] == "RUNNING":
                more, failed = attack.healthy(port, False, 1)
                latencies, lost, most = latencies + more, lost + failed, max(most, own_memory(server, "Pss_Anon"))
                if time.monotonic() - seconds > FLOOD_SECONDS_MAX:
                    raise ServerFailed(f"{FLOOD_BYTES:,} bytes were not taken within {FLOOD_SECONDS_MAX} s")
            seconds = time.monotonic() - seconds
            made.append((attack.p99(calm), attack.p99(latencies), seconds, (most - before) / 2**20, lost))
    calm, flooded, seconds, grown, lost = (median(row[column] for row in made) for column in range(5))
    row = {
        "server": "maitred",
        "calm p99 ms": calm,
        "p99 ms": flooded,
        "p99 ÷ calm": flooded / calm,
        "s for 1 GB": seconds,
        "MiB more": grown,
        "lost": lost,
    }
    bars = [Bar("p99 ÷ calm", "<=", 1.1), Bar("MiB more", "<=", 1.0), Bar("lost", "<=", 0)]
    report.add("A program that writes 1 GB", [row], bars)


WORKS = {"programs-memory": memory, "programs-crash": crash, "programs-thousand": thousand, "programs-flood": flood}
