#!/usr/bin/python3
"""What an application sees of each fault through pgsteady, directly, and through PgBouncer: a table for readers.

    scripts/chaos --report [--rounds N] [--only FAULT,...] [--paths PATH,...] [--held N] [--without-transactions] [--out FILE]

32 psycopg2 clients without retry code: 16 read outside of transactions, 16 write in them; who is disconnected
connects again. Another one signs in all the time. The server's own downtime is measured past everything. A second table
(report_transactions.py) is about a mix that includes transactions, and about every error that it sees.
"""

import argparse
import math
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import faults                                                          # noqa: E402
import held                                                            # noqa: E402
import paths                                                           # noqa: E402
from clients import Crowd, DriverClient                                # noqa: E402
from history import History                                            # noqa: E402
from invariants import Verdict, effects, judge_effects                 # noqa: E402
from lib.processes import REPOSITORY                                   # noqa: E402
from lib.wire_client import Closed, ServerError, WireClient            # noqa: E402
from rig import Rig, start_again                                       # noqa: E402
from workloads import LogTransaction, ReadSmall                        # noqa: E402

READERS, WRITERS = 16, 16
THINK = (0.015, 0.030)
PROBE_SECONDS = 0.02
READS, WRITES = {"read"}, {"log-tx"}


class Reader(ReadSmall):
    """Mostly small results, sometimes one of 52 KB."""
    think = THINK

    def step(self):
        self.rows = 480 if self.chance.random() < 0.1 else 20
        super().step()


class Writer(LogTransaction):
    think = THINK


class SignIn(DriverClient):
    """A new connection for each question."""
    kind = "sign-in"
    think = (0.05, 0.05)

    def connect(self):
        return None

    def _sign_in(self):
        return True

    def step(self):
        self.attempt(self.kind, None, self._visit)

    def _visit(self):
        self.target.connect().close()


class Prober(threading.Thread):
    """Asks both nodes, past everything, whether they take writes."""

    def __init__(self, rig):
        super().__init__(daemon=True)
        self.rig, self.done = rig, threading.Event()
        self.samples = []

    def run(self):
        while not self.done.wait(PROBE_SECONDS):
            began = time.monotonic()
            writable = any(self._writable(node) for node in self.rig.nodes)
            self.samples.append((began if not writable else time.monotonic(), writable))

    @staticmethod
    def _writable(node):
        try:
            with WireClient(f"{node.sockets}/.s.PGSQL.{node.port}", 0.5) as client:
                client.login("postgres", "postgres")
                return client.value("select pg_is_in_recovery()") == "f"
        except (OSError, Closed, ServerError, AssertionError):
            return False

    def stop(self):
        self.done.set()
        self.join()
        return self._downtime()

    def _downtime(self):
        """The longest time between two samples that found a writable node."""
        good = [at for at, writable in self.samples if writable]
        if all(writable for _, writable in self.samples):
            return 0.0
        return max((right - left for left, right in zip(good, good[1:])), default=0.0)


class Case:
    """One row per path."""

    def __init__(self, name, text, inject, gated=False, slack=0.5, down=None, promotes=False):
        self.name, self.text, self.inject = name, text, inject
        self.gated, self.slack, self.down, self.promotes = gated, slack, down, promotes


def promoting(inject):
    """The fault with a word to the path when roles have changed."""
    def work(rig, chance, path):
        before = rig.fail_over

        def fail_over():
            before()
            path.promoted()
        rig.fail_over = fail_over
        try:
            return inject(rig, chance, 1.0)
        finally:
            del rig.fail_over
    return work


def plain(inject, size=1.0):
    return lambda rig, chance, path: inject(rig, chance, size)


CASES = [
    Case("F1", "one session after another terminated", plain(faults.terminate_backends)),
    Case("F2", "kill -9 of a session", plain(faults.kill_a_backend)),
    Case("F3", "kill -9 of the postmaster, start", plain(faults.kill_the_postmaster)),
    Case("F4", "restart, fast", plain(faults.restart_fast)),
    Case("F5", "restart, immediate", plain(faults.restart_immediately)),
    Case("F6", "SIGSTOP of the postmaster, 2 s", plain(faults.stop_the_postmaster, 2.0), slack=4.5, down="harm"),
    Case("F9", "switchover to the standby", promoting(faults.switch_over), promotes=True),
    Case("F9k", "kill -9 of the primary, promotion", promoting(faults.fail_over), promotes=True),
    Case("F11", "RST of connections to the server", plain(faults.reset_connections), gated=True),
    Case("F12", "black hole to the primary, 3 s", plain(faults.black_hole), gated=True, slack=4.5, down="harm"),
]


class Row:
    def __init__(self, case, path):
        self.case, self.path = case, path
        self.downtime, self.gaps, self.histories = [], [], []
        self.verdict = Verdict()
        self.problems = []

    def take(self, rig, history, found):
        """A round is over; `found` is what the database has."""
        self.histories.append(history)

    def count_errors(self, kinds):
        total = Counter()
        for history in self.histories:
            total += history.errors(kinds)
        return total

    def operations(self, kinds=None):
        return sum(history.count(kinds) for history in self.histories)

    def disconnects(self):
        return sum(len(history.disconnects(but_not=("sign-in",))) for history in self.histories)

    def refused(self):
        return sum(len(history.sign_in_errors) for history in self.histories) \
            + sum(self.count_errors({"sign-in"}).values())

    def refusals(self):
        """What failed sign-ins were told, pgsteady's alone."""
        if self.path != "pgsteady":
            return []
        return [f"sign-in: {text}" for history in self.histories for _, _, text in history.sign_in_errors] \
            + [f"sign-in: {event.answer.message}" for history in self.histories for event in history.events
               if event.kind == "sign-in" and event.answer.error]

    def wrong(self):
        return self.verdict.wrong + sum(len(history.violations) for history in self.histories)

    def pause(self, share):
        """Longest time without a success, per client: that share of clients is below it."""
        ordered = sorted(self.gaps)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0

    def meets_target(self):
        if self.path != "pgsteady":
            return ""
        missed = []
        if sum(self.count_errors(READS).values()):
            missed.append("read errors")
        if self.refused():
            missed.append("sign-ins")
        if self.disconnects():
            missed.append("disconnects")
        if self.verdict.lost or self.verdict.doubled or self.wrong():
            missed.append("outcomes")
        if self.pause(0.99) > max(self.downtime) + self.case.slack:
            missed.append("pause")
        return "met" if not missed and not self.problems else "missed: " + ", ".join(missed + self.problems)


def readers_and_writers(target, history, seed):
    return [Reader(f"reader-{n}", target, history, seed) for n in range(READERS)] \
        + [Writer(f"writer-{n}", target, history, seed) for n in range(WRITERS)] \
        + [SignIn("signs-in", target, history, seed)]


def play(rig, row, kind, seed, cast=readers_and_writers, kinds=frozenset(READS | WRITES)):
    """One round of one fault through one path. `cast` makes the clients; a pause is one of operations of these `kinds`."""
    case = row.case
    rig.ready()
    if case.gated:
        rig.open_gates()
    path = kind(rig, case.gated)
    history = History()
    target = path.start()
    crowd = rig.crowd = Crowd(cast(target, history, seed), history)
    prober = Prober(rig)
    try:
        history.began = time.monotonic()
        crowd.start()
        if not crowd.wait_for_progress(history.began, 20):
            raise AssertionError(f"{path.name}: never served: {crowd.waiting_for(history.began)} {history.sign_in_errors[:2]}")
        time.sleep(0.5)
        prober.start()
        time.sleep(0.2)
        harm_began = time.monotonic()
        usable = case.inject(rig, random.Random(f"{seed}/{case.name}"), path) or time.monotonic()
        harm = time.monotonic() - harm_began
        if not crowd.wait_for_progress(usable, 40):
            row.problems.append(f"not served after 40 s: {len(crowd.waiting_for(usable))} clients")
        time.sleep(0.7)
        until = time.monotonic()
        down = prober.stop()
        row.downtime.append(harm if case.down == "harm" else down)
        row.problems += [f"hung: {text}" for text in crowd.stop()]
        if path.obituary():
            row.problems.append("the proxy died")
            print(path.obituary(), flush=True)
        gaps = history.longest_gaps(harm_began, until, kinds)
        row.gaps += gaps.values()
        rig.settle(60)
        found = effects(rig)
        judge_effects(history, found, row.verdict)
        row.take(rig, history, found)
    finally:
        prober.done.set()
        crowd.stop()
        path.stop()
        rig.end_run()


def errors_text(counter):
    """`12 (40003: 10, 57P01: 2)`"""
    total = sum(counter.values())
    if not total:
        return "0"
    kinds = Counter()
    for error, count in counter.items():
        kinds[error.split(" ")[0].replace("?", "lost")] += count
    return f"{total} ({', '.join(f'{kind}: {count}' for kind, count in kinds.most_common(4))})"


def table(rows):
    lines = ["| fault | path | server down | read errors | write errors | disconnects | failed sign-ins | lost | doubled "
             "| wrong | p99 pause | longest pause | target |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row.case.name} {row.case.text} | {row.path} | {max(row.downtime, default=0):.2f} s "
            f"| {errors_text(row.count_errors(READS))} | {errors_text(row.count_errors(WRITES | {'rollback'}))} "
            f"| {row.disconnects()} | {row.refused()} | {row.verdict.lost} | {row.verdict.doubled} | {row.wrong()} "
            f"| {row.pause(0.99):.2f} s | {row.pause(1):.2f} s | {row.meets_target()} |")
    return "\n".join(lines)


def held_text(facts):
    return f"""## {facts['clients']} held clients

Each inserts a row while the server is down for {facts['down']:.1f} s. After its return all were answered in
{facts['answered_in']:.2f} s: {len(facts['errors'])} errors, {facts['lost']} lost connections, {facts['unanswered']} without
an answer. The server received {facts['early']} connections before it was ready and {facts['connections']} afterwards (the
monitor's included); per 100 ms from the first of these on: {facts['buckets']}. The ramp allows 32 in the first 100 ms and
doubles; a pool has at most 30 servers here.
"""


def long_outage(rig, seed):
    """An outage beyond hold_timeout: R02, and the clients stay."""
    rig.ready()
    path = paths.Pgsteady(rig, False, pool={"size": 20, "max_overflow": 10, "hold_timeout": "2s"},
                          read_only={"enabled": False})
    history = History()
    target = path.start()
    crowd = Crowd([Reader(f"reader-{n}", target, history, seed) for n in range(READERS)]
                  + [Writer(f"writer-{n}", target, history, seed) for n in range(WRITERS)], history)
    try:
        crowd.start()
        crowd.wait_for_progress(history.began, 20)
        rig.primary.stop()
        rig.standby.stop()
        time.sleep(6)
        start_again(rig.primary)
        start_again(rig.standby)
        back = crowd.wait_for_progress(time.monotonic(), 20)
        crowd.stop()
        rig.settle()
        verdict = Verdict()
        judge_effects(history, effects(rig), verdict)
    finally:
        crowd.stop()
        path.stop()
        rig.end_run()
    return f"""## An outage of 6 s with hold_timeout 2 s

Reads: {errors_text(history.errors(READS))}; writes: {errors_text(history.errors(WRITES | {'rollback'}))}; disconnects:
{len(history.disconnects())}; lost {verdict.lost}, doubled {verdict.doubled}, wrong {verdict.wrong}; {'all' if back else 'NOT all'}
clients were served again.
"""


def facts():
    busy = f"load average {os.getloadavg()[2]:.1f} in the 15 minutes before the end, our own included"
    commit = subprocess.run(["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"], capture_output=True,
                            text=True).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"commit {commit}, {os.cpu_count()} cores ({cpu}), Linux, PostgreSQL 15, PgBouncer 1.18; {busy}"


def main():
    import report_transactions as transactions                         # it uses what is above
    parser = argparse.ArgumentParser(prog="scripts/chaos --report")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--paths", default="pgsteady,direct,PgBouncer")
    parser.add_argument("--held", type=int, default=5000)
    parser.add_argument("--without-transactions", action="store_true", help="leave out the second table")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    kinds = [kind for kind in (paths.Pgsteady, paths.Direct, paths.PgBouncer) if kind.name in options.paths.split(",")]
    chosen = [case for case in CASES if not options.only or case.name in options.only.split(",")]
    rig = Rig(node_settings={"log_statement": "none", "max_connections": "120"})
    rows, more = [], []
    try:
        for case in chosen:
            for kind in kinds:
                row = Row(case, kind.name)
                for number in range(options.rounds):
                    play(rig, row, kind, options.seed + number)
                rows.append(row)
                print(table([row]).splitlines()[-1], flush=True)
                for problem in row.problems + row.verdict.problems[:3] + row.refusals()[:2]:
                    print(f"    {problem}", flush=True)
        if not options.without_transactions:
            more.append(transactions.section(rig, [case for case in chosen if case.name in transactions.FAULTS], kinds, options))
            print(more[-1], flush=True)
        if not options.only:
            more.append(long_outage(rig, options.seed))
            print(more[-1], flush=True)
        if options.held:
            more.append(held_text(held.release(rig, options.held, 3.0)))
            rig.end_run()
            print(more[-1], flush=True)
    finally:
        rig.close()
    text = f"""# What an application sees of a fault

{facts()}; {options.rounds} round(s), seed {options.seed}. Made by `scripts/chaos --report`.

{READERS} psycopg2 clients read outside of transactions (52 KB at most), {WRITERS} write in transactions; none has retry
code, who is disconnected connects again. One more signs in and leaves all the time. Everything runs on one machine, so pauses
include its load. A pause is the longest time that a client had no success; `server down` is measured past everything.
Target of pgsteady: no read error, failed sign-in, disconnect, or lost, doubled or wrong outcome, and a p99 pause of at
most the server's downtime + 0.5 s (F6, F12: + 4.5 s). PgBouncer is told of a promotion at once by a script.

{table(rows)}

{chr(10).join(more)}"""
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(text)
    print(text if not options.out else f"written to {options.out}")


if __name__ == "__main__":
    main()
