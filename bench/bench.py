#!/usr/bin/env python3
"""Measures pgsteady beside its peers on one machine: direct, relay (the floor), HAProxy, PgBouncer.

Rounds interleave all peers within each test, so that a ratio compares runs of the same minute. The
servers are private, listen on loopback, and end with this program. bench/README.md has the method.
"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from lib import idle, machine, peers, pgbench, postgres, report, results, syscalls, workloads
from lib.processes import Workshop

REPOSITORY = machine.REPOSITORY
RELEASE = REPOSITORY / "build" / "release"
PEERS = ("direct", "relay", "haproxy", "pgbouncer", "pgsteady", "pgsteady-uring")
EXTRAS = ("syscalls", "idle")
BUSY_CPUS = 0.2  # in use before we start anything: from here on the machine is not ours alone


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=int, help="rounds over all tests and peers (default 5, quick 2)")
    add("--seconds", type=int, help="length of one run (default 2, quick 1)")
    add("--quick", action="store_true", help="about three minutes; for a look, not for the record")
    add("--only", type=_names, default=[], metavar="TEST,…",
        help=f"some of: {', '.join(w.key for w in workloads.WORKLOADS)}, {', '.join(EXTRAS)}; "
             "a prefix such as `simple` selects all that begin with it")
    add("--peers", type=_names, default=list(PEERS), metavar="PEER,…",
        help=f"some of: {', '.join(PEERS)}")
    add("--pgsteady", type=pathlib.Path, default=RELEASE / "pgsteady", metavar="PATH")
    add("--pgbouncer", type=pathlib.Path, metavar="PATH",
        help="a newer build than Debian's: with 1.21 and later, prepared rows use transaction mode")
    add("--pg-bin", type=pathlib.Path, default=pathlib.Path("/usr/lib/postgresql/15/bin"))
    add("--user", default="postgres", help="who runs the servers when started as root")
    add("--output", type=pathlib.Path, metavar="DIR",
        help="where the results go (default bench/results; build/bench for quick or partial runs)")
    add("--keep", action="store_true", help="keep the work directory with configs and logs")
    options = parser.parse_args()
    _complete(parser, options)
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _complete(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 2)
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}")
    for name in options.only:
        if name not in EXTRAS and not workloads.select([name]):
            parser.error(f"unknown test: {name}")
    tests = [name for name in options.only if name not in EXTRAS]
    options.workloads = workloads.select(tests) if tests or not options.only else []
    options.extras = [e for e in EXTRAS if not options.only or e in options.only]
    if options.output is None:
        partial = options.quick or options.only or set(options.peers) != set(PEERS)
        options.output = REPOSITORY / ("build/bench" if partial else "bench/results")


def relay_binary(workshop: Workshop) -> pathlib.Path:
    """The built one, or one compiled on the spot, so that the floor never needs a full build."""
    built = RELEASE / "bench" / "relay"
    source = REPOSITORY / "bench" / "relay.cpp"
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return built
    compiled = workshop.path / "relay"
    subprocess.run(["g++", "-std=c++20", "-O2", str(source), "-o", str(compiled)], check=True)
    return compiled


def make_peers(options: argparse.Namespace, workshop: Workshop, cluster: postgres.Cluster,
               notes: list[str]) -> list[peers.Peer]:
    """Those asked for and present, in the order of PEERS; an absent one leaves a note."""
    makers = {
        "direct": lambda: peers.Direct(workshop, cluster),
        "relay": lambda: peers.Relay(workshop, cluster, relay_binary(workshop)),
        "haproxy": lambda: peers.HAProxy(workshop, cluster),
        "pgbouncer": lambda: peers.PgBouncer(workshop, cluster, options.pgbouncer),
        "pgsteady": lambda: peers.Pgsteady(workshop, cluster, options.pgsteady),
        "pgsteady-uring": lambda: peers.PgsteadyUring(workshop, cluster, options.pgsteady),
    }
    made = []
    for name in PEERS:
        if name not in options.peers:
            continue
        try:
            made.append(makers[name]())
        except (OSError, RuntimeError) as missing:
            notes.append(f"{name} left out: {missing}")
            print(f"  {name} left out: {missing}")
    return made


def run_rounds(options: argparse.Namespace, runner: pgbench.Runner, field: list[peers.Peer],
               found: results.Results) -> None:
    for round_number in range(options.rounds):
        # Rotated, so that no peer always follows the same neighbour.
        turn = round_number % len(field)
        order = field[turn:] + field[:turn]
        for workload in options.workloads:
            print(f"round {round_number + 1}/{options.rounds}  {workload.title}")
            for peer in order:
                sample = runner.measure(peer, workload, round_number)
                if sample is not None:
                    found.samples.append(sample)
                    print_sample(sample)


def print_sample(sample: pgbench.Sample) -> None:
    if sample.error:
        print(f"  {sample.peer:14} failed: {sample.error}")
        return
    cpu = f"{sample.cpu_us:9.1f} µs CPU/tx" if sample.cpu_us is not None else ""
    print(f"  {sample.peer:14} {sample.tps:10.0f} TPS {cpu}")


def count_syscalls(options: argparse.Namespace, runner: pgbench.Runner, field: list[peers.Peer],
                   found: results.Results) -> None:
    print("system calls per transaction")
    # Of the default tests if none was named: `--only syscalls` is meaningful by itself.
    for workload in options.workloads or workloads.WORKLOADS:
        for peer in field:
            counted = syscalls.count(runner, peer, workload)
            if counted is not None:
                found.syscalls.append(counted)
                print(f"  {workload.title:34} {peer.name:14} "
                      f"{counted.error or format(counted.total, '.2f')}")


def measure_idle(field: list[peers.Peer], found: results.Results) -> None:
    print("idle clients")
    for peer in field:
        for tls in (False, True):
            cost = idle.measure(peer, tls)
            if cost is not None:
                found.idle.append(cost)
                print(f"  {peer.name:14} {'TLS' if tls else 'plain':6}"
                      f"{cost.error or format(cost.after_query, '.0f') + ' bytes'}")


def measure(options: argparse.Namespace, runner: pgbench.Runner,
            field: list[peers.Peer]) -> results.Results:
    found = results.Results()
    run_rounds(options, runner, field, found)
    if "syscalls" in options.extras:
        count_syscalls(options, runner, field, found)
    for peer in field:
        peer.stop()
    if "idle" in options.extras:
        measure_idle(field, found)
    return found


def notes_on(found: results.Results, facts: dict[str, str]) -> list[str]:
    notes = []
    if float(facts["busy before"].split()[0]) > BUSY_CPUS:
        notes.append("other programs were running when this began: absolute figures are too high")
    for sample in found.samples:
        if sample.error:
            notes.append(f"{sample.peer} failed {sample.workload}, round {sample.round + 1}: "
                         f"{sample.error}")
        elif not sample.cpu_agrees:
            notes.append(f"{sample.peer}, {sample.workload}, round {sample.round + 1}: thread and "
                         "process CPU counters differ by more than 5 %")
    return notes


def describe(options: argparse.Namespace, field: list[peers.Peer], facts: dict[str, str],
             commit: str, notes: list[str]) -> report.Context:
    traced = options.workloads or list(workloads.WORKLOADS)
    amount = ["-T", str(options.seconds), "-l"]
    commands = [f"{w.key}: {portable(pgbench.command(w, options.pg_bin, 'PORT', amount))}"
                for w in traced]
    day = datetime.date.today().isoformat()
    return report.Context(
        title=f"Benchmark of {commit}, {day}" + (" (quick)" if options.quick else ""),
        machine=facts,
        versions={peer.name: peer.version() for peer in field if peer.version()},
        options={"rounds": options.rounds, "seconds per run": options.seconds,
                 "command": portable(["scripts/bench", *sys.argv[1:]])},
        commands=commands, workloads=traced, peers=[peer.name for peer in field], notes=notes)


def portable(argv: list[str]) -> str:
    """A command line without the directories of this machine."""
    return " ".join(re.sub(r"(?<!\S)/\S*/", "", word) for word in argv)


def save(options: argparse.Namespace, context: report.Context, found: results.Results,
         commit: str) -> None:
    text = report.markdown(context, found)
    options.output.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.date.today().isoformat()}-{commit}" + ("-quick" if options.quick else "")
    (options.output / f"{stem}.md").write_text(text)
    (options.output / f"{stem}.json").write_text(report.as_json(context, found))
    print("\n" + text)
    print(f"saved: {options.output / stem}.md and .json")


def ignore_interrupts() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def bench(options: argparse.Namespace) -> None:
    idle.allow_many_files()
    began = time.monotonic()
    facts, commit = machine.describe(), machine.commit()
    with Workshop(options.user, options.keep) as workshop:
        try:
            print(f"preparing a private PostgreSQL, scale {postgres.SCALE}")
            tls = postgres.make_certificate(workshop)
            cluster = postgres.Cluster(workshop, options.pg_bin, tls)
            notes: list[str] = []
            field = make_peers(options, workshop, cluster, notes)
            if not field:
                sys.exit("no peer to measure")
            runner = pgbench.Runner(cluster, options.seconds)
            found = measure(options, runner, field)
            context = describe(options, field, facts, commit, notes + notes_on(found, facts))
        finally:
            ignore_interrupts()  # a second Ctrl-C must not leave servers behind
    save(options, context, found, commit)
    print(f"took {time.monotonic() - began:.0f} s")


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options()
    if not shutil.which("setpriv"):
        sys.exit("setpriv (util-linux) is missing")
    try:
        bench(options)
    except KeyboardInterrupt:
        sys.exit("interrupted: everything that was started has been stopped")


if __name__ == "__main__":
    main()
