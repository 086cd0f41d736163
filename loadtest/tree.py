"""What a process and all its descendants cost: CPU time, memory, context switches. Reads /proc (proc(5)) and changes nothing."""

import os
from dataclasses import dataclass

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that matter here."""

    pid: int
    parent: int
    cpu_seconds: float
    reaped_cpu_seconds: float
    started_ticks: int


def parse_stat(text):
    """A line of /proc/PID/stat. The name in parentheses may hold anything, so fields are counted from the last `)`."""
    pid = int(text.split(" ", 1)[0])
    fields = text.rsplit(")", 1)[1].split()
    utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
    return Stat(
        pid,
        int(fields[1]),
        (utime + stime) / TICKS_PER_SECOND,
        (cutime + cstime) / TICKS_PER_SECOND,
        int(fields[19]),
    )


def _read(path):
    """A /proc file's text, None if its process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None


def members(roots):
    """The living processes of these trees, as Stat."""
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (text := _read(f"/proc/{name}/stat")):
            stat = parse_stat(text)
            stats[stat.pid] = stat
    children = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    found, queue = {}, list(roots)
    while queue:
        pid = queue.pop()
        if pid in stats and pid not in found:
            found[pid] = stats[pid]
            queue += children.get(pid, [])
    return list(found.values())


def cpu_seconds(roots):
    """User and system time of the trees, with that of children that died and were reaped."""
    return sum(stat.cpu_seconds + stat.reaped_cpu_seconds for stat in members(roots))


def pss_of(pid, kind="Pss"):
    """Proportional set size of one process: of pages that it shares it has a share. `Pss_Anon`: of those that are no file's."""
    for line in (_read(f"/proc/{pid}/smaps_rollup") or "").splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    return 0


def pss_bytes(roots):
    """Proportional set size of the trees: shared pages are counted once, in shares."""
    return sum(pss_of(stat.pid) for stat in members(roots))


def switches(roots):
    """Context switches of all threads of the trees, voluntary and not: what wakes a server that has nothing to do."""
    total = 0
    for stat in members(roots):
        try:
            threads = os.listdir(f"/proc/{stat.pid}/task")
        except FileNotFoundError:
            continue
        for thread in threads:
            for line in (_read(f"/proc/{stat.pid}/task/{thread}/status") or "").splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
    return total
