"""The peers: how each proxy is configured, started and told apart. One class per product.

A peer may need more than one process, because some tests ask for another pool mode or sign-in
method. These are its variants; each starts when a test first needs it.
"""

from __future__ import annotations

import pathlib
import re
import subprocess

from lib import postgres, wire
from lib.processes import Server, Workshop, free_port
from lib.workloads import Workload

POOL_SIZE = 20


class Peer:
    """Base: keeps the running variants."""

    name = ""
    one_to_one = False  # a server connection per client, so idle clients cost backends
    is_proxy = True

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster) -> None:
        self.workshop = workshop
        self.cluster = cluster
        self.running: dict[str, Server] = {}

    def variant(self, workload: Workload) -> str | None:
        """Which variant runs this test; None: this peer cannot."""
        return "default"

    def idle_variant(self, tls: bool) -> str | None:
        """Which variant serves idle clients; None: this peer cannot."""
        return None if tls else "default"

    def version(self) -> str:
        return ""

    def launch(self, variant: str) -> Server:
        raise NotImplementedError

    def server(self, variant: str) -> Server:
        if variant not in self.running:
            self.running[variant] = self.launch(variant)
        server = self.running[variant]
        server.check_alive()
        return server

    def stop(self) -> None:
        for server in self.running.values():
            self.workshop.stop(server)
        self.running.clear()

    def _start(self, variant: str, argv: list[str], port: int, trust: bool = True) -> Server:
        """Ready when the trust user can run a query; without trust, when the port is open."""
        label = self.name if variant == "default" else f"{self.name}-{variant}"
        if trust:
            def ready() -> bool:
                return wire.answers(port, postgres.TRUST_USER, postgres.DATABASE)
        else:
            def ready() -> bool:
                return wire.is_listening(port)
        return self.workshop.start(label, argv, port, ready)


class Direct(Peer):
    """No proxy: the reference for throughput."""

    name = "direct"
    is_proxy = False

    def idle_variant(self, tls: bool) -> str | None:
        return None

    def version(self) -> str:
        return self.cluster.version()

    def server(self, variant: str) -> Server:
        return self.cluster.server

    def stop(self) -> None:
        pass  # the cluster outlives the peers


class Relay(Peer):
    """bench/relay.cpp. TLS passes through it encrypted."""

    name = "relay"
    one_to_one = True

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster, binary: pathlib.Path) -> None:
        super().__init__(workshop, cluster)
        self.binary = workshop.borrow(binary)

    def version(self) -> str:
        return "bench/relay.cpp"

    def launch(self, variant: str) -> Server:
        port = free_port()
        return self._start(variant, [str(self.binary), str(port), "127.0.0.1",
                                     str(self.cluster.port)], port)


class HAProxy(Peer):
    """TCP mode, one thread. It cannot end PostgreSQL's TLS, so that test is left out."""

    name = "haproxy"
    one_to_one = True
    CONFIG = """
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen bench
    bind 127.0.0.1:{port}
    server postgres 127.0.0.1:{target}
"""

    def variant(self, workload: Workload) -> str | None:
        return None if workload.tls else "default"

    def version(self) -> str:
        return first_version(["haproxy", "-v"])

    def launch(self, variant: str) -> Server:
        port = free_port()
        config = self.workshop.write("haproxy.cfg", self.CONFIG.format(
            port=port, target=self.cluster.port))
        return self._start(variant, [program("haproxy"), "-db", "-f", str(config)], port)


class PgBouncer(Peer):
    """Transaction mode; session mode for prepared statements before 1.21, which first pools them.

    A session pool needs a server connection per client, so its pool has room for 100.
    """

    name = "pgbouncer"
    CONFIG = """
[databases]
* = host=127.0.0.1 port={target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = hba
auth_hba_file = {hba}
auth_file = {users}
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = 4000
log_connections = 0
log_disconnections = 0
client_tls_sslmode = allow
client_tls_cert_file = {certificate}
client_tls_key_file = {key}
server_tls_sslmode = disable
"""

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster,
                 binary: pathlib.Path | None) -> None:
        super().__init__(workshop, cluster)
        self.binary = str(workshop.borrow(binary)) if binary else program("pgbouncer")
        numbers = re.search(r"(\d+)\.(\d+)", self.version())
        self.pools_prepared = bool(numbers) and tuple(map(int, numbers.groups())) >= (1, 21)

    def variant(self, workload: Workload) -> str | None:
        return "session" if workload.prepared and not self.pools_prepared else "transaction"

    def idle_variant(self, tls: bool) -> str | None:
        return "transaction"

    def version(self) -> str:
        return first_version([self.binary, "--version"])

    def launch(self, variant: str) -> Server:
        port = free_port()
        config = self.workshop.write(f"pgbouncer-{variant}.ini", self.CONFIG.format(
            target=self.cluster.port, port=port, mode=variant,
            hba=self.workshop.write("pgbouncer_hba.conf", postgres.HBA),
            users=self.workshop.write("pgbouncer_users.txt", self._users()),
            pool_size=100 if variant == "session" else POOL_SIZE,
            certificate=self.cluster.tls.certificate, key=self.cluster.tls.key)
            + ("max_prepared_statements = 200\n" if self.pools_prepared else ""))
        return self._start(variant, [self.binary, str(config)], port)

    def _users(self) -> str:
        return (f'"{postgres.TRUST_USER}" ""\n'
                f'"{postgres.SCRAM_USER}" "{self.cluster.scram_verifier()}"\n')


class Pgsteady(Peer):
    """One worker, transaction mode, otherwise its defaults; sign-in by trust or SCRAM."""

    name = "pgsteady"
    engine = "epoll"
    CONFIG = """
workers: 1
io_engine: {engine}
listen:
  host: 127.0.0.1
  port: {port}
  tls:
    mode: allow
    cert_file: {certificate}
    key_file: {key}
backends:
  hosts: ["127.0.0.1:{target}"]
  tls:
    sslmode: disable
pool:
  mode: transaction
  size: {pool_size}
admin:
  host: 127.0.0.1
  port: {admin_port}
"""
    SIGN_IN = {
        "trust": "auth:\n  method: trust\n",
        "scram": "auth:\n  method: scram-sha-256\n"
                 "users:\n  {user}:\n    verifier: \"{verifier}\"\n",
    }

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster, binary: pathlib.Path) -> None:
        super().__init__(workshop, cluster)
        self.binary = str(workshop.borrow(binary))

    def variant(self, workload: Workload) -> str | None:
        return "scram" if workload.scram else "trust"

    def idle_variant(self, tls: bool) -> str | None:
        return "trust"

    def version(self) -> str:
        return first_version([self.binary, "--version"])

    def launch(self, variant: str) -> Server:
        port = free_port()
        text = self.CONFIG.format(
            port=port, target=self.cluster.port, pool_size=POOL_SIZE, admin_port=free_port(),
            engine=self.engine,
            certificate=self.cluster.tls.certificate, key=self.cluster.tls.key)
        text += self.SIGN_IN[variant].format(user=postgres.SCRAM_USER,
                                             verifier=self.cluster.scram_verifier())
        config = self.workshop.write(f"{self.name}-{variant}.yaml", text)
        return self._start(variant, [self.binary, "--config", str(config)], port,
                           trust=variant == "trust")


class PgsteadyUring(Pgsteady):
    """The same with the other engine."""

    name = "pgsteady-uring"
    engine = "io_uring"

    def __init__(self, workshop: Workshop, cluster: postgres.Cluster, binary: pathlib.Path) -> None:
        super().__init__(workshop, cluster, binary)
        if pathlib.Path("/proc/sys/kernel/io_uring_disabled").exists():
            disabled = pathlib.Path("/proc/sys/kernel/io_uring_disabled").read_text().strip()
            if disabled != "0":
                raise RuntimeError("kernel.io_uring_disabled is set")


def program(name: str) -> str:
    """Debian keeps daemons in /usr/sbin, which an ordinary user's PATH may lack."""
    for directory in ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"):
        if (path := pathlib.Path(directory) / name).exists():
            return str(path)
    raise RuntimeError(f"{name} is not installed (scripts/install-deps bench)")


def first_version(argv: list[str]) -> str:
    argv = [argv[0] if "/" in argv[0] else program(argv[0]), *argv[1:]]
    done = subprocess.run(argv, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().split("\n")[0]
