#!/usr/bin/env python3
"""What a feature costs a writing transaction while all is well: pgbench tpcb-like with it and without it, in turns.

    bench/feature_cost.py [--switch replay] [--rounds 9] [--seconds 4]

Two pgsteady of the same binary stand in front of the same PostgreSQL, one with its defaults and one with `<switch>.enabled: false`.
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
WORKLOAD = workloads.Workload("tpcb", "tpcb-like prepared", 16, ("-b", "tpcb-like", "-M", "prepared"), prepared=True, writes=True)


class Switched(peers.Pgsteady):
    """pgsteady with one switch off."""

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster, binary: pathlib.Path, switch: str) -> None:
        super().__init__(workshop, cluster, binary)
        self.name = f"pgsteady-without-{switch}"
        self.switch = switch

    def _start(self, variant: str, argv: list[str], port: int, trust: bool = True) -> Server:
        return super()._start(variant, ["env", f"PGSTEADY_{self.switch.upper()}__ENABLED=false", *argv], port, trust)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switch", default="replay", help="a section of the configuration that has `enabled`")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--pgsteady", type=pathlib.Path, default=REPOSITORY / "build" / "release" / "pgsteady", metavar="PATH")
    parser.add_argument("--pg-bin", type=pathlib.Path, default=pathlib.Path("/usr/lib/postgresql/15/bin"))
    parser.add_argument("--user", default="postgres")
    return parser.parse_args()


def measured(runner: pgbench.Runner, peer: peers.Peer, at: int) -> pgbench.Sample:
    sample = runner.measure(peer, WORKLOAD, at)
    if sample is None or sample.error:
        raise RuntimeError(f"{peer.name}: {sample.error if sample else 'cannot run this'}")
    return sample


def main() -> int:
    options = parse_options()
    rates, costs = [], []
    with Workshop(options.user, False) as workshop:
        cluster = postgres.Cluster(workshop, options.pg_bin, postgres.make_certificate(workshop))
        runner = pgbench.Runner(cluster, options.seconds)
        sides = [peers.Pgsteady(workshop, cluster, options.pgsteady), Switched(workshop, cluster, options.pgsteady, options.switch)]
        print(f"| round | TPS | TPS without {options.switch} | ratio | CPU µs | without | ratio |\n|---|---|---|---|---|---|---|")
        for at in range(options.rounds):
            order = sides if at % 2 == 0 else sides[::-1]
            found = {peer.name: measured(runner, peer, at) for peer in order}
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
