"""The tests: what pgbench is asked to do, as one table."""

from __future__ import annotations

import dataclasses
import pathlib

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"


@dataclasses.dataclass(frozen=True)
class Workload:
    """One row of every result table."""

    key: str
    title: str
    clients: int
    arguments: tuple[str, ...]
    prepared: bool = False      # uses named prepared statements
    tls: bool = False
    scram: bool = False         # signs in as the user with a password
    reconnects: bool = False    # a new connection per transaction
    writes: bool = False        # leaves dead rows behind, vacuumed before each run
    warm_up: int = 20           # transactions per client before the clock starts
    traced: int = 0             # transactions per client under strace; 0: not counted


def _select(protocol: str, clients: int, traced: int = 0) -> Workload:
    return Workload(f"{protocol}-{clients}", f"SELECT {protocol} c={clients}", clients,
                    ("-S", "-M", protocol), prepared=protocol == "prepared", traced=traced)


def _script(name: str) -> tuple[str, str]:
    return "-f", str(SCRIPTS / name)


def _connect(key: str, title: str, scram: bool) -> Workload:
    return Workload(key, title, 8, ("-S", "-C"), scram=scram, reconnects=True, warm_up=5)


WORKLOADS: tuple[Workload, ...] = (
    _select("simple", 1),
    _select("simple", 16, traced=1000),
    _select("simple", 100),
    _select("prepared", 1),
    _select("prepared", 16, traced=1000),
    _select("prepared", 100),
    Workload("pipeline-4", "pipeline of 5 prepared SELECTs c=4", 4,
             ("-M", "prepared", *_script("pipeline.sql")), prepared=True, traced=1000),
    Workload("tpcb-16", "tpcb-like prepared c=16", 16,
             ("-b", "tpcb-like", "-M", "prepared"), prepared=True, writes=True, traced=100),
    _connect("connect-trust", "connect per transaction, trust, c=8", scram=False),
    _connect("connect-scram", "connect per transaction, SCRAM, c=8", scram=True),
    Workload("bulk-4", "10 MB results c=4", 4, _script("bulk.sql"), warm_up=2, traced=3),
    Workload("tls-16", "SELECT simple over TLS c=16", 16, ("-S",), tls=True, traced=1000),
)


def select(names: list[str]) -> list[Workload]:
    """Those whose key is named or starts with a name and a dash ("simple"); all when empty."""
    if not names:
        return list(WORKLOADS)
    return [w for w in WORKLOADS
            if any(w.key == name or w.key.startswith(name + "-") for name in names)]
