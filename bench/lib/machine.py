"""Where and on what the numbers were taken."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import subprocess

from lib import proc

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent


def describe() -> dict[str, str]:
    return {
        "cpu": _first_match("/proc/cpuinfo", r"model name\s*: (.+)") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_gib()} GiB",
        "virtual": _output(["systemd-detect-virt", "--vm"]) or "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
        "system": _first_match("/etc/os-release", r'PRETTY_NAME="(.+)"'),
        "busy before": f"{proc.busy_cpus(1.0):.2f} CPUs",
    }


def commit() -> str:
    """Short hash, "-dirty" when product code differs from it, "none" outside a repository."""
    head = _output(["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"])
    changed = _output(["git", "-C", str(REPOSITORY), "status", "--porcelain", "--",
                       "proxy", "protocol", "config", "admin", "bench/relay.cpp", "CMakeLists.txt"])
    return (head or "none") + ("-dirty" if head and changed else "")


def _memory_gib() -> int:
    kib = _first_match("/proc/meminfo", r"MemTotal:\s*(\d+)")
    return round(int(kib or 0) / 2**20)


def _first_match(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, pathlib.Path(path).read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def _output(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
