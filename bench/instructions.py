#!/usr/bin/env python3
"""Instructions that pgsteady executes per transaction, counted by callgrind: what a feature costs while all is well.

    bench/instructions.py [--against BINARY]

Two sides run the same conversations one after the other: pgsteady with its defaults, and the same binary with every
switch off, a plain pooler (or, with --against, another binary with its defaults). Instructions do not depend on what else the machine does,
so a few per cent are visible that no clock could show. Each figure is the difference of two runs of different length,
divided by the transactions between them: starting, connecting and ending cancel out.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import signal
import sys

sys.dont_write_bytecode = True

from lib import peers, pgbench, postgres, workloads
from lib.processes import Server, Workshop

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
SWITCHES = ("recovery", "breaker", "read_only", "replay", "guard")
AMOUNTS = (300, 2300)   # transactions of the short and of the long run
LIMIT = 1.05            # what decisions allow a feature to cost
STOP_S = 60

TESTS = (
    workloads.Workload("simple", "SELECT simple", 1, ("-S", "-M", "simple")),
    workloads.Workload("prepared", "SELECT prepared", 1, ("-S", "-M", "prepared"), prepared=True),
    workloads.Workload("pipeline", "pipeline of 5 prepared SELECTs", 1,
                       ("-M", "prepared", "-f", str(workloads.SCRIPTS / "pipeline.sql")), prepared=True),
    workloads.Workload("tpcb", "tpcb-like prepared", 1, ("-b", "tpcb-like", "-M", "prepared"), prepared=True, writes=True),
)


class Counted(peers.Pgsteady):
    """pgsteady under callgrind; a process of its own per run, because its count is written when it ends."""

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster, binary: pathlib.Path, off: bool) -> None:
        super().__init__(workshop, cluster, binary)
        self.runs = 0
        self.off = off

    def _start(self, variant: str, argv: list[str], port: int, trust: bool = True) -> Server:
        self.runs += 1
        self.output = self.workshop.path / f"callgrind-{id(self)}-{self.runs}"
        counting = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.output}"]
        switches = [f"PGSTEADY_{name.upper()}__ENABLED=false" for name in SWITCHES if self.off]
        return super()._start(variant, ["env", *switches, *counting, *argv], port, trust)

    def count(self, runner: pgbench.Runner, workload: workloads.Workload, transactions: int) -> int:
        server = self.server("trust")
        runner.execute(workload, server.port, ["-t", str(transactions)])
        os.kill(server.pid, signal.SIGTERM)
        server.process.wait(STOP_S)
        self.running.clear()
        found = re.search(r"^(?:summary|totals): (\d+)", self.output.read_text(), re.MULTILINE)
        if not found:
            raise RuntimeError("callgrind left no count")
        return int(found.group(1))

    def per_transaction(self, runner: pgbench.Runner, workload: workloads.Workload) -> float:
        short, long = (self.count(runner, workload, amount) for amount in AMOUNTS)
        return (long - short) / (AMOUNTS[1] - AMOUNTS[0])


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    built = REPOSITORY / "build" / "release" / "pgsteady"
    parser.add_argument("--pgsteady", type=pathlib.Path, default=built, metavar="PATH")
    parser.add_argument("--against", type=pathlib.Path, metavar="PATH", help="another binary instead of the switches")
    parser.add_argument("--pg-bin", type=pathlib.Path, default=pathlib.Path("/usr/lib/postgresql/15/bin"))
    parser.add_argument("--user", default="postgres")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    worst = 0.0
    with Workshop(options.user, False) as workshop:
        cluster = postgres.Cluster(workshop, options.pg_bin, postgres.make_certificate(workshop))
        runner = pgbench.Runner(cluster, STOP_S)
        ours = Counted(workshop, cluster, options.pgsteady, off=False)
        other = Counted(workshop, cluster, options.against or options.pgsteady, off=options.against is None)
        print(f"| instructions per transaction | {'switches off' if other.off else 'the other binary'} | defaults | ratio |")
        print("|---|---|---|---|")
        for workload in TESTS:
            base, now = other.per_transaction(runner, workload), ours.per_transaction(runner, workload)
            worst = max(worst, now / base)
            print(f"| {workload.title} | {base:,.0f} | {now:,.0f} | {now / base:.3f} |", flush=True)
    print(f"\nlimit {LIMIT}: {'met' if worst <= LIMIT else 'missed'}")
    return worst > LIMIT


if __name__ == "__main__":
    sys.exit(main())
