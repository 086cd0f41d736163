"""Turns samples into rows, a Markdown table, JSON, and a verdict for each bar."""

import json
import operator
from dataclasses import dataclass
from statistics import median

COMPARE = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Bar:
    """What the first server must reach: its `metric`, compared with `factor` times that of the best of `peers`."""

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
        best = max if self.relation == ">=" else min
        reference = best((peer[self.metric] for peer in peers), default=1.0)
        met = COMPARE[self.relation](own[self.metric], self.factor * reference)
        against = f" × {' or '.join(self.peers)}" if self.peers else ""
        reached = own[self.metric] / reference if reference else float("inf")
        return met, f"{self.metric} {self.relation} {self.factor:g}{against}: {reached:.3g}"


def rows(samples, metrics):
    """Medians of each server's samples, and the first server's ratio to each of the others."""
    made = []
    for server, runs in samples.items():
        row = {"server": server} | {metric: median(getattr(run, metric) for run in runs) for metric in metrics}
        row["errors"] = sum(run.errors for run in runs)
        made.append(row)
    for row in made:
        for metric in ("rate", "cpu_us", "both_us"):
            if metric in row:
                row[f"{metric}_ratio"] = made[0][metric] / row[metric] if row[metric] else None
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
