#!/usr/bin/env python3
"""Many clients at once: what a crowd of idle ones costs, and what a storm of logins does to live queries.

    bench/crowd.py soak  [--clients 10000] [--seconds 120]
    bench/crowd.py storm [--logins 500] [--rounds 5] [--seconds 5] [--users password|verifier]

A private PostgreSQL and one pgsteady with two workers, both stopped at the end. `soak`: resident memory before the crowd, with it at rest,
after pgbench has run beside it, after it has left, and with a second one: what stays is kept for the next, or leaks. `storm`: the p99 of pgbench -S without and with so many SCRAM logins per second, in
turns. The storm costs the machine its processor wherever it goes, so it goes to a second pgsteady as well, which the queries do not
pass: what is beyond that is what logins do to queries of the same process. Not part of CI: numbers want a machine that does
nothing else.
"""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from lib.cluster import BIN, PASSWORD, Cluster               # noqa: E402
from lib.processes import Workspace, with_death_signal       # noqa: E402
from lib.proxy import Proxy, base_config, clean_environment  # noqa: E402
from lib.wire_client import WireClient                       # noqa: E402

DATABASE = "crowd"
BENCH_CLIENTS = 8
SETTLE = 2.0                    # seconds for memory that is given back a moment after use
THREADS = 8                     # of a storm: logins at the same time
MORE_FILES = 2000


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("soak", "storm", "logins"), help="`logins` is the storm's own process")
    parser.add_argument("--clients", type=int, default=10000)
    parser.add_argument("--logins", type=int, default=500, help="per second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="of load: 120 in a soak, 5 per run in a storm")
    parser.add_argument("--users", choices=("password", "verifier"), default="password", help="what pgsteady knows of its user")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


class Scene:
    """PostgreSQL with pgbench's tables, and `proxies` of the same configuration before it."""

    def __init__(self, users="password", proxies=1):
        self._cleanup = ExitStack()
        with self._cleanup:
            self.workspace = Workspace("crowd")
            self._cleanup.callback(self.workspace.remove)
            self.cluster = Cluster(self.workspace)
            self._cleanup.callback(self.cluster.stop)
            self.cluster.create_database(DATABASE)
            self.pgbench("-i", "-q", "-s", "5", port=self.cluster.port)
            self.proxies = [self._proxy(users, f"proxy{number}") for number in range(proxies)]
            self.proxy = self.proxies[0]
            self._cleanup = self._cleanup.pop_all()

    def _proxy(self, users, name):
        config = base_config(self.cluster, pool={"size": 10}, limits={"max_clients": 0}, log={"level": "warning"})
        if users == "verifier":                              # servers are opened with the keys of a client's own proof
            verifier = self.cluster.sql("select rolpassword from pg_authid where rolname = 'app'")[0][0]
            config["users"]["app"] = {"verifier": verifier}
        proxy = Proxy(self.workspace.path, config, name=name)
        self._cleanup.callback(proxy.kill)
        return proxy.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._cleanup.close()

    def pgbench(self, *arguments, port=None):
        done = subprocess.run(
            [f"{BIN}/pgbench", *arguments, "-h", "127.0.0.1", "-p", str(port or self.proxy.port), "-U", "app", DATABASE],
            env={**clean_environment(), "PGPASSWORD": PASSWORD, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"},
            cwd=self.workspace.path, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])
        return done.stdout

    def select_only(self, seconds, *more):
        """(transactions per second, p99 in ms)"""
        output = self.pgbench("-n", "-S", "-M", "prepared", "-c", str(BENCH_CLIENTS), "-j", "2", "-T", str(round(seconds)), "-l",
                              "--log-prefix=latency", *more)
        latencies = []
        for log in self.workspace.path.glob("latency.*"):
            latencies += (int(line.split(" ", 3)[2]) for line in log.read_text().splitlines())
            log.unlink()
        latencies.sort()
        rate = float(next(line.split()[2] for line in output.splitlines() if line.startswith("tps")))
        return rate, latencies[len(latencies) * 99 // 100] / 1000


def resident_kib(pid):
    """Exact, which VmRSS is not."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))


def allow_files(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if os.geteuid() == 0:
        hard = max(hard, count)
    if hard < count:
        raise SystemExit(f"so many clients need {count} open files; the limit is {hard} (ulimit -Hn)")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    except (ValueError, OSError) as problem:
        raise SystemExit(f"so many clients need {count} open files: {problem}") from None


def gather(scene, count):
    return [WireClient(scene.proxy.address, 60).login("app", DATABASE, PASSWORD) for _ in range(count)]


def leave(crowd):
    for client in crowd:
        client.close()


def soak(options):
    seconds = options.seconds or 120
    allow_files(options.clients + MORE_FILES)
    with Scene() as scene:
        def memory():
            time.sleep(SETTLE)
            return resident_kib(scene.proxy.process.pid)

        def told(what, kib, more=""):
            per_client = (kib - base) / options.clients
            print(f"| {what} | {kib / 1024:.1f} MiB | {per_client:+.2f} KiB per client | {more} |", flush=True)

        scene.select_only(2)
        base = memory()
        told("before", base)
        began = time.monotonic()
        crowd = gather(scene, options.clients)
        told("all signed in", memory(), f"in {time.monotonic() - began:.0f} s")
        for client in crowd:
            assert client.value("select 1") == "1"
        told("each has asked once", memory())
        rate, p99 = scene.select_only(seconds)
        told(f"after {seconds:.0f} s of pgbench beside them", memory(), f"{rate:.0f} TPS, p99 {p99:.1f} ms")
        for client in crowd:
            assert client.value("select 1") == "1", "a client of the crowd was lost"
        leave(crowd)
        told("after they have left", memory())
        crowd = gather(scene, options.clients)
        told("with as many new ones", memory())
        leave(crowd)
        told("after these have left", memory())
        rate, p99 = scene.select_only(min(seconds, 10))
        told("after pgbench alone", memory(), f"{rate:.0f} TPS, p99 {p99:.1f} ms")
        scene.proxy.stop()


def logins(options):
    """So many sign-ins per second until the input ends; says how many there were, and how many have failed."""
    tally = [[0, 0] for _ in range(THREADS)]
    stop = threading.Event()

    def knock(mine):
        due = time.monotonic()
        while not stop.is_set():
            due = max(due + THREADS / options.logins, time.monotonic() - 1)
            stop.wait(max(0.0, due - time.monotonic()))
            try:
                WireClient(("127.0.0.1", options.port), 20).login("app", DATABASE, PASSWORD).close()
                mine[0] += 1
            except (OSError, AssertionError, RuntimeError):
                mine[1] += 1

    threads = [threading.Thread(target=knock, args=(mine,)) for mine in tally]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    sys.stdin.read()
    elapsed = time.monotonic() - began
    stop.set()
    for thread in threads:
        thread.join()
    print(sum(good for good, _ in tally) / elapsed, sum(bad for _, bad in tally))


def with_storm(scene, target, options, seconds):
    """select_only() through the first proxy beside a storm at `target`: (its result, logins per second)"""
    command = [sys.executable, __file__, "logins", "--logins", str(options.logins), "--port", str(target.port)]
    with subprocess.Popen(with_death_signal(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            time.sleep(1)
            found = scene.select_only(seconds)
            rate, failed = process.communicate("")[0].split()
        finally:
            process.kill()
    if int(failed):
        raise RuntimeError(f"{failed} logins have failed")
    return found, float(rate)


def storm(options):
    seconds = options.seconds or 5
    ratios = []
    with Scene(options.users, proxies=2) as scene:
        here, elsewhere = scene.proxies
        scene.select_only(2)
        print("| round | p99 calm, ms | storm elsewhere | storm here | here ÷ elsewhere | here ÷ calm | logins/s elsewhere | here |\n"
              "|---|---|---|---|---|---|---|---|")
        for at in range(options.rounds):
            calm = scene.select_only(seconds)[1]
            found = {}
            for target in (elsewhere, here) if at % 2 == 0 else (here, elsewhere):
                (_, p99), rate = with_storm(scene, target, options, seconds)
                found[target] = p99, rate
            ratios.append((found[here][0] / found[elsewhere][0], found[here][0] / calm))
            print(f"| {at + 1} | {calm:.2f} | {found[elsewhere][0]:.2f} | {found[here][0]:.2f} | {ratios[-1][0]:.2f} | {ratios[-1][1]:.2f} "
                  f"| {found[elsewhere][1]:.0f} | {found[here][1]:.0f} |", flush=True)
        for proxy in scene.proxies:
            proxy.stop()
    print("\nmedians: here ÷ elsewhere {:.2f}, here ÷ calm {:.2f}; the limit is 1.20".format(*map(statistics.median, zip(*ratios))))


def main():
    socket.setdefaulttimeout(60)
    options = parse_options()
    {"soak": soak, "storm": storm, "logins": logins}[options.what](options)


main()
