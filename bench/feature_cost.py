#!/usr/bin/env python3
"""What a feature costs a writing transaction while all is well: pgbench tpcb-like with it and without it, in turns.

    bench/feature_cost.py [--switch replay | --setting replay.guard_autocommit=off] [--workload insert-simple] [--rounds 9] [--seconds 4]

Two pgsteady of the same binary stand in front of the same PostgreSQL, one with its defaults and one with `<switch>.enabled: false`,
or with the setting given.
Rounds alternate, and which of the two goes first alternates too, so that a ratio compares runs of the same minute. Printed are the
medians of the rounds' ratios of transactions per second and of the proxy's CPU time. Ends with 1 if the limit is missed.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys

sys.dont_write_bytecode = True

from lib import peers, pgbench, postgres, workloads
from lib.processes import Server, Workshop

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 0.92            # of the transactions per second without the feature
INSERT = ("-f", str(workloads.SCRIPTS / "insert.sql"))
WORKLOADS = {
    "tpcb": workloads.Workload("tpcb", "tpcb-like prepared", 16, ("-b", "tpcb-like", "-M", "prepared"), prepared=True, writes=True),
    "insert-simple": workloads.Workload("insert-simple", "single INSERT, simple", 16, INSERT, writes=True),
    "insert-prepared": workloads.Workload("insert-prepared", "single INSERT, prepared", 16, ("-M", "prepared", *INSERT), prepared=True, writes=True),
    "select-simple": workloads.Workload("select-simple", "SELECT simple", 16, ("-S",)),
    "select-prepared": workloads.Workload("select-prepared", "SELECT prepared", 16, ("-S", "-M", "prepared"), prepared=True),
}


class Switched(peers.Pgsteady):
    """pgsteady with one setting changed."""

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster, binary: pathlib.Path, setting: str) -> None:
        super().__init__(workshop, cluster, binary)
        key, value = setting.split("=", 1)
        self.name = f"pgsteady-{key.replace('.', '-')}"
        self.variable = f"PGSTEADY_{key.replace('.', '__').upper()}={value}"

    def _start(self, variant: str, argv: list[str], port: int, trust: bool = True) -> Server:
        return super()._start(variant, ["env", self.variable, *argv], port, trust)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switch", default="replay", help="a section of the configuration that has `enabled`")
    parser.add_argument("--setting", metavar="KEY=VALUE", help="instead of a switch")
    parser.add_argument("--workload", default="tpcb", choices=sorted(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--pgsteady", type=pathlib.Path, default=REPOSITORY / "build" / "release" / "pgsteady", metavar="PATH")
    parser.add_argument("--pg-bin", type=pathlib.Path, default=pathlib.Path("/usr/lib/postgresql/15/bin"))
    parser.add_argument("--user", default="postgres")
    return parser.parse_args()


def measured(runner: pgbench.Runner, peer: peers.Peer, workload: workloads.Workload, at: int) -> pgbench.Sample:
    sample = runner.measure(peer, workload, at)
    if sample is None or sample.error:
        raise RuntimeError(f"{peer.name}: {sample.error if sample else 'cannot run this'}")
    return sample


def main() -> int:
    options = parse_options()
    rates, costs = [], []
    setting = options.setting or f"{options.switch}.enabled=false"
    with Workshop(options.user, False) as workshop:
        cluster = postgres.Cluster(workshop, options.pg_bin, postgres.make_certificate(workshop))
        runner = pgbench.Runner(cluster, options.seconds)
        sides = [peers.Pgsteady(workshop, cluster, options.pgsteady), Switched(workshop, cluster, options.pgsteady, setting)]
        print(f"| round | TPS | TPS with {setting} | ratio | CPU µs | with it | ratio |\n|---|---|---|---|---|---|---|")
        for at in range(options.rounds):
            order = sides if at % 2 == 0 else sides[::-1]
            found = {peer.name: measured(runner, peer, WORKLOADS[options.workload], at) for peer in order}
            ours, other = (found[peer.name] for peer in sides)
            rates.append(ours.tps / other.tps)
            costs.append(ours.cpu_us / other.cpu_us)
            print(f"| {at + 1} | {ours.tps:,.0f} | {other.tps:,.0f} | {rates[-1]:.3f} | {ours.cpu_us:.1f} | {other.cpu_us:.1f} | {costs[-1]:.3f} |", flush=True)
        for side in sides:
            side.stop()
    rate = statistics.median(rates)
    print(f"\nmedian: {rate:.3f} of the transactions per second, {statistics.median(costs):.3f} of the proxy's CPU time")
    print(f"limit {LIMIT}: {'met' if rate >= LIMIT else 'missed'}")
    return rate < LIMIT


if __name__ == "__main__":
    sys.exit(main())
