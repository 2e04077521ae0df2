"""System calls per transaction, counted by strace in a run of its own: it slows the proxy down many
times over, so nothing else is read from that run, and epoll_wait batches less than under real load.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import signal
import subprocess

from lib.peers import Peer
from lib.pgbench import Runner, parse_report
from lib.processes import wait_until
from lib.workloads import Workload

ATTACH_DEADLINE_S = 10


@dataclasses.dataclass(frozen=True)
class SyscallCount:
    """Calls per transaction; `error` says why there are none."""

    workload: str
    peer: str
    total: float = 0.0
    by_name: dict[str, float] = dataclasses.field(default_factory=dict)
    error: str = ""


def count(runner: Runner, peer: Peer, workload: Workload) -> SyscallCount | None:
    """None when the peer cannot run the test or the test is not traced."""
    variant = peer.variant(workload)
    if variant is None or not workload.traced or not peer.is_proxy:
        return None
    try:
        server = peer.server(variant)
        amount = ["-t", str(workload.traced)]
        runner.execute(workload, server.port, ["-t", str(workload.warm_up)])
        with Trace(server.pid, runner.logs / "strace") as trace:
            _, transactions = parse_report(runner.execute(workload, server.port, amount))
        calls = {name: n / transactions for name, n in trace.calls().items()}
        return SyscallCount(workload.key, peer.name, sum(calls.values()), calls)
    except (RuntimeError, TimeoutError, OSError) as failure:
        return SyscallCount(workload.key, peer.name, error=str(failure))


class Trace:
    """strace attached to all threads of a process for the length of a with block."""

    def __init__(self, pid: int, output: pathlib.Path) -> None:
        if not shutil.which("strace"):
            raise RuntimeError("strace is not installed")
        self.pid = pid
        self.output = output

    def __enter__(self) -> Trace:
        self.process = subprocess.Popen(
            ["strace", "-f", "-c", "-U", "calls,name", "-o", str(self.output), "-p", str(self.pid)],
            stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            wait_until(self._is_attached, "strace attached", ATTACH_DEADLINE_S)
        except BaseException:
            self._detach()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._detach()

    def calls(self) -> dict[str, int]:
        """By name, most frequent first."""
        counts = {}
        for line in self.output.read_text().splitlines():
            fields = line.split()
            if len(fields) == 2 and fields[0].isdigit() and fields[1] != "total":
                counts[fields[1]] = int(fields[0])
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def _is_attached(self) -> bool:
        if self.process.poll() is not None:
            assert self.process.stderr
            raise RuntimeError(self.process.stderr.read().strip())
        tracer = f"TracerPid:\t{self.process.pid}\n"
        tasks = pathlib.Path(f"/proc/{self.pid}/task").iterdir()
        return all(tracer in (task / "status").read_text() for task in tasks)

    def _detach(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.communicate()
