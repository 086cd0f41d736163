"""Turns samples into rows, a Markdown table, JSON, and a verdict for each bar."""

import json
import operator
from dataclasses import dataclass
from statistics import median

COMPARE = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Bar:
    """What the first server must reach: its `metric`, compared with `factor` times that of the best of `peers`. Where they were measured in the same
    rounds, it is the median of the rounds' own ratios that counts: the machine is another one in the next round."""

    metric: str
    relation: str
    factor: float
    peers: tuple = ()

    def verdict(self, rows):
        """(met, sentence), or None where a server that it speaks of was not measured."""
        by_name = {row["server"]: row for row in rows}
        own, peers = rows[0], [by_name[peer] for peer in self.peers if peer in by_name]
        if own["server"] != "maitred" or len(peers) < len(self.peers):
            return None
        against = f" × {' or '.join(self.peers)}" if self.peers else ""
        reached = [_ratio(own, peer, self.metric) for peer in peers] or [own[self.metric]]
        worst = min(reached) if self.relation == ">=" else max(reached)
        met = COMPARE[self.relation](worst, self.factor)
        return met, f"{self.metric} {self.relation} {self.factor:g}{against}: {worst:.3g}"


def _ratio(own, peer, metric):
    ratio = peer.get(f"{metric}_ratio")
    if ratio is not None:
        return ratio
    return own[metric] / peer[metric] if peer[metric] else float("inf")


def rows(samples, metrics):
    """Medians of each server's samples, and those of the first server's ratios to each of the others, round by round."""
    made = []
    for server, runs in samples.items():
        row = {"server": server} | {metric: median(getattr(run, metric) for run in runs) for metric in metrics}
        row["errors"] = sum(run.errors for run in runs)
        made.append(row)
    first = next(iter(samples.values()))
    for row in made:
        for metric in ("rate", "cpu_us", "both_us", "p99_ms"):
            if metric in row:
                rounds = zip(first, samples[row["server"]], strict=True)
                ratios = [getattr(own, metric) / getattr(peer, metric) for own, peer in rounds if getattr(peer, metric)]
                row[f"{metric}_ratio"] = median(ratios) if ratios else None
    return made


def markdown(title, made):
    """A table; numbers with three significant digits or as whole numbers."""
    names = {
        "server": "server",
        "rate": "requests/s",
        "cpu_us": "CPU µs/request",
        "client_us": "client's CPU µs",
        "both_us": "both sides' CPU µs",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "rate_ratio": f"requests/s, {made[0]['server']} ÷ this",
        "cpu_us_ratio": f"CPU, {made[0]['server']} ÷ this",
        "both_us_ratio": f"both sides' CPU, {made[0]['server']} ÷ this",
        "p99_ms_ratio": f"p99, {made[0]['server']} ÷ this",
    }
    columns = list(made[0])
    lines = [f"### {title}", "", "| " + " | ".join(names.get(column, column) for column in columns) + " |"]
    lines.append("| --- |" + " ---: |" * (len(columns) - 1))
    lines += ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in made]
    return "\n".join(lines) + "\n"


def _cell(value):
    if not isinstance(value, float):
        return "–" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Report:
    """Collects the tables of one run and prints each as soon as it is there."""

    def __init__(self):
        self.sections = []
        self.missed = 0

    def add(self, title, made, bars=()):
        """Print a table with the verdicts on its bars."""
        print("\n" + markdown(title, made), flush=True)
        verdicts = [verdict for bar in bars if (verdict := bar.verdict(made))]
        for met, sentence in verdicts:
            print(f"* {'met   ' if met else 'MISSED'} {sentence}", flush=True)
        self.missed += sum(not met for met, _ in verdicts)
        said = [{"met": met, "bar": sentence} for met, sentence in verdicts]
        self.sections.append({"title": title, "rows": made, "bars": said})

    def write_json(self, path):
        """Everything that was measured, for other programs."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.sections, file, indent=2, ensure_ascii=False)
