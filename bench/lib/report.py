"""The tables: markdown for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from lib.results import FLOOR, TARGETS, Results, Spread, Target, verdict
from lib.workloads import Workload

PRODUCT = "pgsteady"


@dataclasses.dataclass(frozen=True)
class Context:
    """What a reader must know to repeat the run."""

    title: str
    machine: dict[str, str]
    versions: dict[str, str]
    options: dict[str, Any]
    commands: list[str]
    workloads: list[Workload]
    peers: list[str]
    notes: list[str]


def markdown(context: Context, results: Results) -> str:
    sections = [
        f"# {context.title}",
        _machine(context),
        "## Targets", _targets(results),
        f"## CPU per transaction ÷ {FLOOR}, same round", _ratios(context, results),
        "## All rows", _rows(context, results),
        "## System calls per transaction", _syscalls(context, results),
        "## Idle clients", _idle(results),
        "## Commands", "```\n" + "\n".join(context.commands) + "\n```",
    ]
    if context.notes:
        sections += ["## Notes", "\n".join(f"- {note}" for note in context.notes)]
    return "\n\n".join(sections) + "\n"


def as_json(context: Context, results: Results) -> str:
    document = {
        "title": context.title,
        "machine": context.machine,
        "versions": context.versions,
        "options": context.options,
        "targets": [_judged(target, results) for target in TARGETS],
        "results": dataclasses.asdict(results),
    }
    return json.dumps(document, indent=1, default=str) + "\n"


def _judged(target: Target, results: Results) -> dict[str, Any]:
    measured = target.measure(results, PRODUCT)
    return {"what": target.what, "limit": target.limit, "verdict": verdict(target, measured),
            "measured": dataclasses.asdict(measured) if measured else None}


def _table(header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "Not measured in this run."
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: list[str], widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"


def _number(value: float) -> str:
    """Three significant digits or all the whole ones."""
    for least, form in ((100, ",.0f"), (10, ".1f")):
        if abs(value) >= least:
            return format(value, form)
    return format(value, ".2f")


def _cell(spread: Spread | None, absent: str = "-") -> str:
    if spread is None:
        return absent
    if spread.low == spread.high:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.low)}-{_number(spread.high)})"


def _machine(context: Context) -> str:
    facts = {**context.machine, **{f"{k} version": v for k, v in context.versions.items()},
             **{k: str(v) for k, v in context.options.items()}}
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())


def _targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        measured = target.measure(results, PRODUCT)
        rows.append([target.what, f"≤ {_number(target.limit)} {target.unit}".strip(),
                     _cell(measured), verdict(target, measured)])
    return _table(["target", "limit", PRODUCT, "verdict"], rows)


def _ratios(context: Context, results: Results) -> str:
    proxies = [peer for peer in context.peers if peer not in ("direct", FLOOR)]
    rows = [[w.title, f"{_cell(results.spread(w.key, FLOOR, 'cpu_us'))} µs",
             *(_cell(results.cpu_ratio(w.key, peer)) for peer in proxies)]
            for w in context.workloads if results.of(w.key, FLOOR)]
    return _table(["test", f"{FLOOR} = 1", *proxies], rows)


def _rows(context: Context, results: Results) -> str:
    rows = []
    for workload in context.workloads:
        for peer in context.peers:
            if results.of(workload.key, peer):
                rows.append([workload.title, peer, *_figures(results, workload.key, peer)])
            elif error := results.error(workload.key, peer):
                rows.append([workload.title, peer, f"failed: {error.splitlines()[-1][:80]}",
                             "-", "-", "-", "-", "-"])
    return _table(["test", "peer", "TPS", "p50 µs", "p99 µs", "CPU µs/tx", f"÷ {FLOOR}",
                   "steal, CPUs"], rows)


def _figures(results: Results, workload: str, peer: str) -> list[str]:
    fields = [_cell(results.spread(workload, peer, field))
              for field in ("tps", "p50_us", "p99_us", "cpu_us")]
    return [*fields, _cell(results.cpu_ratio(workload, peer)),
            _cell(results.spread(workload, peer, "steal"))]


def _syscalls(context: Context, results: Results) -> str:
    titles = {w.key: w.title for w in context.workloads}
    rows = []
    for each in results.syscalls:
        detail = each.error or ", ".join(f"{name} {_number(calls)}" for name, calls
                                         in each.by_name.items() if calls >= 0.05)
        rows.append([titles[each.workload], each.peer,
                     "-" if each.error else _number(each.total), detail])
    return _table(["test", "peer", "total", "detail"], rows)


def _idle(results: Results) -> str:
    rows = []
    for each in results.idle:
        figures = ["failed", each.error, "-", "-"] if each.error else [
            _number(each.after_startup), _number(each.after_query),
            f"{each.base_bytes / 2**20:.1f} MiB", f"{each.cpu_percent:.2f} %"]
        rows.append([each.peer, "TLS" if each.tls else "plain", str(each.clients), *figures])
    return _table(["peer", "clients", "N", "bytes each after startup", "after a simple query",
                   "base RSS", "idle CPU"], rows)
