"""The measurements of a run, the ratios between peers of the same round, and the targets."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Callable

from lib.idle import IdleCost
from lib.pgbench import Sample
from lib.syscalls import SyscallCount

FLOOR = "relay"


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median over rounds with the extremes."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Spread | None:
        return Spread(statistics.median(values), min(values), max(values)) if values else None


@dataclasses.dataclass
class Results:
    """Everything measured, in the order of measuring."""

    samples: list[Sample] = dataclasses.field(default_factory=list)
    syscalls: list[SyscallCount] = dataclasses.field(default_factory=list)
    idle: list[IdleCost] = dataclasses.field(default_factory=list)

    def of(self, workload: str, peer: str) -> list[Sample]:
        """The rounds that worked."""
        return [s for s in self.samples
                if s.workload == workload and s.peer == peer and not s.error]

    def error(self, workload: str, peer: str) -> str:
        """The first failure, if any."""
        return next((s.error for s in self.samples
                     if s.workload == workload and s.peer == peer and s.error), "")

    def spread(self, workload: str, peer: str, field: str) -> Spread | None:
        values = [getattr(s, field) for s in self.of(workload, peer)]
        return Spread.of([v for v in values if v is not None])

    def cpu_ratio(self, workload: str, peer: str, unit: str = FLOOR) -> Spread | None:
        """CPU per transaction ÷ that of `unit` in the same round."""
        units = {s.round: s.cpu_us for s in self.of(workload, unit) if s.cpu_us}
        return Spread.of([s.cpu_us / units[s.round] for s in self.of(workload, peer)
                          if s.cpu_us is not None and s.round in units])

    def syscall_count(self, workload: str, peer: str) -> Spread | None:
        counts = [c.total for c in self.syscalls
                  if c.workload == workload and c.peer == peer and not c.error]
        return Spread.of(counts)

    def idle_bytes(self, peer: str, tls: bool) -> Spread | None:
        """The dearer of the two stages: after sign-in, and after a query."""
        costs = [max(c.after_startup, c.after_query) for c in self.idle
                 if c.peer == peer and c.tls == tls and not c.error]
        return Spread.of(costs)


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure that pgsteady must not exceed."""

    what: str
    limit: float
    measure: Callable[[Results, str], Spread | None]
    unit: str = ""


def _ratio(title: str, workload: str, limit: float, unit: str = FLOOR) -> Target:
    return Target(f"CPU ÷ {unit}, {title}", limit,
                  lambda results, peer: results.cpu_ratio(workload, peer, unit))


def _calls(title: str, workload: str, limit: float) -> Target:
    return Target(f"system calls per transaction, {title}", limit,
                  lambda results, peer: results.syscall_count(workload, peer))


def _idle(title: str, tls: bool, limit_kib: float) -> Target:
    return Target(f"idle client, {title}", limit_kib * 1024,
                  lambda results, peer: results.idle_bytes(peer, tls), "bytes")


TARGETS: tuple[Target, ...] = (
    *(_ratio(f"simple c={c}", f"simple-{c}", 1.60) for c in (1, 16, 100)),
    *(_ratio(f"prepared c={c}", f"prepared-{c}", 1.50) for c in (1, 16, 100)),
    _ratio("pipeline of 5", "pipeline-4", 1.60),
    _ratio("tpcb-like", "tpcb-16", 1.40),
    _ratio("10 MB results", "bulk-4", 1.25),
    _ratio("connect, trust", "connect-trust", 1.30, "pgbouncer"),
    _ratio("connect, SCRAM", "connect-scram", 1.30, "pgbouncer"),
    _calls("simple c=16", "simple-16", 6.3),
    _calls("prepared c=16", "prepared-16", 6.3),
    _idle("plain", False, 6),
    _idle("TLS", True, 24),
)


def verdict(target: Target, measured: Spread | None) -> str:
    """Judged by the median; says so where some round fell on the other side of the limit."""
    if measured is None:
        return "not measured"
    met = measured.median <= target.limit
    split = measured.low <= target.limit < measured.high
    word = "met" if met else f"missed by {measured.median / target.limit - 1:.0%}"
    return word + (" (rounds on both sides)" if split else "")
