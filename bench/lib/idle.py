"""What an idle client costs: memory and CPU of a fresh proxy with many clients that wait."""

from __future__ import annotations

import contextlib
import dataclasses
import resource
import time

from lib import postgres, proc, wire
from lib.peers import Peer

CLIENTS = 1000
CLIENTS_ONE_TO_ONE = 200  # each of them costs a PostgreSQL process
SETTLE_S = 1.5            # buffers that a proxy frees a moment after use may go first
CPU_WINDOW_S = 1.0


@dataclasses.dataclass(frozen=True)
class IdleCost:
    """Bytes per client over the base; the kernel's socket memory is not in it."""

    peer: str
    tls: bool
    clients: int = 0
    base_bytes: int = 0
    after_startup: float = 0.0
    after_query: float = 0.0
    cpu_percent: float = 0.0  # of one core, all clients idle
    error: str = ""


def allow_many_files() -> None:
    """Inherited by the proxies that start later."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measure(peer: Peer, tls: bool) -> IdleCost | None:
    """Restarts the peer, so that no warmed buffers hide the cost. None when it cannot."""
    variant = peer.idle_variant(tls)
    if variant is None:
        return None
    peer.stop()
    try:
        server = peer.server(variant)
        clients = CLIENTS_ONE_TO_ONE if peer.one_to_one else CLIENTS
        return _measure(peer.name, server.pid, server.port, tls, clients)
    except (RuntimeError, TimeoutError, OSError) as failure:
        return IdleCost(peer.name, tls, error=str(failure))
    finally:
        peer.stop()


def _measure(name: str, pid: int, port: int, tls: bool, count: int) -> IdleCost:
    def connect() -> wire.Client:
        return wire.Client(port, postgres.TRUST_USER, postgres.DATABASE, tls)

    with contextlib.closing(connect()) as first:
        first.query("SELECT 1")
    base = _settled_bytes(pid)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(connect())) for _ in range(count)]
        after_startup = _settled_bytes(pid)
        for client in clients:
            client.query("SELECT 1")
        after_query = _settled_bytes(pid)
        cpu = _idle_cpu_percent(pid)
    return IdleCost(name, tls, count, base, (after_startup - base) / count,
                    (after_query - base) / count, cpu)


def _settled_bytes(pid: int) -> int:
    time.sleep(SETTLE_S)
    return proc.resident_bytes(pid)


def _idle_cpu_percent(pid: int) -> float:
    before = proc.cpu(pid)
    time.sleep(CPU_WINDOW_S)
    return (proc.cpu(pid) - before).scheduled / CPU_WINDOW_S * 100
