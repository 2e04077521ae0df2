"""Runs pgbench through one peer and reads what it printed, logged and cost."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess
import time

from lib import postgres, proc
from lib.peers import Peer
from lib.processes import clean_environment
from lib.workloads import Workload

GRACE_S = 60


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run of one test through one peer. Times in µs; None where it does not apply."""

    workload: str
    peer: str
    round: int
    tps: float = 0.0
    transactions: int = 0
    p50_us: float | None = None
    p99_us: float | None = None
    cpu_us: float | None = None    # the proxy's CPU per transaction
    steal: float = 0.0             # CPUs taken by the hypervisor, mean over the run
    cpu_agrees: bool = True
    error: str = ""


def command(workload: Workload, bin_dir: pathlib.Path, port: int | str,
            amount: list[str]) -> list[str]:
    """`amount`: -T seconds or -t transactions."""
    user = postgres.SCRAM_USER if workload.scram else postgres.TRUST_USER
    threads = 1 if workload.clients < 16 else 2
    return [str(bin_dir / "pgbench"), "-n", "-h", "127.0.0.1", "-p", str(port), "-U", user,
            "-c", str(workload.clients), "-j", str(threads), *amount, *workload.arguments,
            postgres.DATABASE]


def run(argv: list[str], workload: Workload, deadline_s: float, cwd: pathlib.Path) -> str:
    """pgbench's report; RuntimeError when a client failed or nothing came of it in time."""
    environment = clean_environment() | {
        "PGSSLMODE": "require" if workload.tls else "disable",
        "PGGSSENCMODE": "disable",
        "PGPASSWORD": postgres.SCRAM_PASSWORD,
    }
    with subprocess.Popen(argv, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            output, errors = process.communicate(timeout=deadline_s)
        except BaseException as failure:
            process.kill()
            if isinstance(failure, subprocess.TimeoutExpired):
                raise RuntimeError(f"pgbench hung for {deadline_s:g} s") from None
            raise
    if process.returncode != 0:
        raise RuntimeError(f"pgbench: {errors.strip()[-500:]}")
    return output


def parse_report(output: str) -> tuple[float, int]:
    """(transactions per second, transactions); with -C the rate includes the connects."""
    rate = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
    count = re.search(r"transactions actually processed: (\d+)", output)
    if not rate or not count or int(count[1]) == 0:
        raise RuntimeError(f"pgbench processed nothing: {output[-500:]}")
    return float(rate[1]), int(count[1])


def percentiles(logs: list[pathlib.Path]) -> tuple[float, float]:
    """p50 and p99 in µs of pgbench -l logs, whose third field is the latency."""
    latencies = sorted(int(line.split(b" ", 3)[2])
                       for log in logs for line in log.read_bytes().splitlines())
    return latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]


class Runner:
    """Measures (peer, test) cells."""

    def __init__(self, cluster: postgres.Cluster, seconds: int) -> None:
        self.cluster = cluster
        self.seconds = seconds
        self.logs = cluster.workshop.path / "pgbench-logs"
        self.logs.mkdir()

    def measure(self, peer: Peer, workload: Workload, round_number: int) -> Sample | None:
        """None when the peer cannot run the test; a failure becomes a sample with its reason."""
        variant = peer.variant(workload)
        if variant is None:
            return None
        try:
            if workload.writes:
                self.cluster.vacuum()
            return self._measure(peer, variant, workload, round_number)
        except (RuntimeError, TimeoutError, OSError) as failure:
            return Sample(workload.key, peer.name, round_number, error=str(failure))

    def execute(self, workload: Workload, port: int, amount: list[str]) -> str:
        argv = command(workload, self.cluster.bin_dir, port, amount)
        return run(argv, workload, self.seconds + GRACE_S, self.logs)

    def _measure(self, peer: Peer, variant: str, workload: Workload, round_number: int) -> Sample:
        server = peer.server(variant)
        self.execute(workload, server.port, ["-t", str(workload.warm_up)])

        prefix = f"{peer.name}-{workload.key}-{round_number}"
        cpu, stolen, clock = proc.cpu(server.pid), proc.stolen_seconds(), time.monotonic()
        output = self.execute(workload, server.port,
                              ["-T", str(self.seconds), "-l", f"--log-prefix={prefix}"])
        elapsed = time.monotonic() - clock
        used = proc.cpu(server.pid) - cpu
        server.check_alive()

        tps, transactions = parse_report(output)
        p50, p99 = self._take_percentiles(prefix)
        return Sample(
            workload.key, peer.name, round_number, tps, transactions,
            # With -C pgbench's clock starts after the connect, which is what the test is about.
            p50_us=None if workload.reconnects else p50,
            p99_us=None if workload.reconnects else p99,
            cpu_us=used.scheduled / transactions * 1e6 if peer.is_proxy else None,
            steal=(proc.stolen_seconds() - stolen) / elapsed,
            cpu_agrees=used.agrees or not peer.is_proxy)

    def _take_percentiles(self, prefix: str) -> tuple[float, float]:
        logs = list(self.logs.glob(f"{prefix}.*"))
        result = percentiles(logs)
        for log in logs:
            os.unlink(log)
        return result
