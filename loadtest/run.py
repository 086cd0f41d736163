"""Measures maitred beside the servers that it replaces, on the same work, in one run, interleaved.

    loadtest/run.py static wsgi --rounds 5        (all: everything)
    loadtest/run.py wsgi --servers granian,uwsgi  (only these)

Run it with the interpreter of the environment that `make loadtest-setup` made: the servers are taken from beside it.
"""

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import attack
import files
import idle
import overload
import packing
import parallel
import programs
import reload
import replace
import rest
import slow
import soak
import storm
import throughput
import tls
from report import Report
from server import ServerFailed

WORK = {
    **{name: files.measure(name) for name in files.WORKS},
    "gzip": packing.file,
    "gzip-app": packing.app,
    "wsgi": throughput.wsgi,
    "payloads": throughput.payloads,
    "django": throughput.django,
    "idle": idle.idle,
    "wakeups": idle.wakeups,
    "memory": rest.memory,
    "boot": rest.boot,
    "threads": parallel.threads,
    "kill": storm.kill,
    "reload": reload.reload,
    "replace": replace.replace,
    "overload": overload.overload,
    "slow": slow.slow,
    **{name: tls.measure(name) for name in tls.WORKS},
    "tls-full": tls.handshakes("full"),
    "tls-resumed": tls.handshakes("resumed"),
    "tls-idle": tls.idling,
    **{name: attack.measure(name) for name in attack.ATTACKS},
    **programs.WORKS,
    "soak": soak.soak,
}
# Works that are asked for together.
# What needs an interpreter that few have is measured when it is asked for, and what takes ten minutes.
GROUPS = {"all": [name for name in WORK if name not in ("threads", "soak")], "attack": list(attack.ATTACKS), "programs": list(programs.WORKS)}
HERE = Path(__file__).resolve().parent


class Options(argparse.Namespace):
    """The checked command line."""

    def chosen(self, servers):
        """Those of the servers that --servers names, in the order in which they are defined."""
        wanted = [server for server in servers if not self.servers or server.name in self.servers]
        if not wanted:
            raise ServerFailed(f"none of the servers of this work is chosen: {', '.join(s.name for s in servers)}")
        for server in wanted:
            for command in server.commands:
                if not shutil.which(str(command[0])):
                    raise ServerFailed(f"{server.name}: {command[0]} is missing (make loadtest-setup, make build)")
        return wanted


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="+", choices=[*WORK, *GROUPS], help="what to measure")
    parser.add_argument("--maitred", type=Path, default=HERE.parent / "target/release/maitred", help="the binary")
    parser.add_argument("--servers", type=lambda text: text.split(","), help="only these, with commas between them")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each server (default: 5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a run (default: 4)")
    parser.add_argument("--soak-seconds", type=int, default=600, help="length of the soak (default: 600)")
    parser.add_argument("--seed", type=int, help="of what is random (default: a new one, printed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a bar is missed")
    return parser.parse_args(namespace=Options())


def main():
    """Measure, print, tidy up."""
    options = arguments()
    options.maitred = options.maitred.resolve()
    # Servers are stopped by `finally` blocks, which SIGTERM alone would not run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = [name for work in options.work for name in GROUPS.get(work, [work])]
    names = list(dict.fromkeys(wanted))
    report = Report()
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}; medians of {options.rounds}")
    # /dev/shm keeps the disk out of the figures where there is one.
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="maitred-loadtest-", dir=shm) as scratch:
        os.chmod(scratch, 0o755)
        options.scratch = Path(scratch)
        try:
            for name in names:
                WORK[name](options, report)
        except ServerFailed as error:
            sys.exit(f"loadtest: {error}")
        finally:
            if options.json:
                report.write_json(options.json)
    sys.exit(1 if options.check and report.missed else 0)


if __name__ == "__main__":
    main()
