"""What the kernel says a process has used: CPU, memory, and what the hypervisor took away."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Cpu:
    """Seconds of CPU of one process since it started."""

    scheduled: float  # nanosecond counters of its living threads: what we report
    ticks: float      # utime + stime in 10 ms ticks, ended threads included: the cross-check

    def __sub__(self, earlier: Cpu) -> Cpu:
        return Cpu(self.scheduled - earlier.scheduled, self.ticks - earlier.ticks)

    @property
    def agrees(self) -> bool:
        """False when threads ended in between, so that `scheduled` lost their share."""
        return abs(self.scheduled - self.ticks) <= max(0.05, 0.05 * self.ticks)


def cpu(pid: int) -> Cpu:
    process = pathlib.Path(f"/proc/{pid}")
    nanoseconds = sum(int((task / "schedstat").read_text().split()[0])
                      for task in (process / "task").iterdir())
    # The command name may hold spaces and parentheses: count fields from the last ')'.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return Cpu(nanoseconds / 1e9, (user + system) / TICKS_PER_SECOND)


def resident_bytes(pid: int) -> int:
    """Exact resident set (VmRSS is batched per CPU and may lag by hundreds of KiB)."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("smaps_rollup without Rss")


def stolen_seconds() -> float:
    """CPU time of all cores that the hypervisor gave to others, since boot."""
    return _machine_ticks()[7] / TICKS_PER_SECOND


def busy_cpus(window_s: float) -> float:
    """Mean number of cores at work, whoever uses them; takes `window_s`."""
    before = _machine_ticks()
    time.sleep(window_s)
    spent = [now - then for now, then in zip(_machine_ticks(), before)]
    idle, waiting_for_disk = spent[3], spent[4]
    return (sum(spent[:8]) - idle - waiting_for_disk) / TICKS_PER_SECOND / window_s


def _machine_ticks() -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal, … of all cores."""
    with open("/proc/stat") as file:
        return [int(field) for field in file.readline().split()[1:]]
