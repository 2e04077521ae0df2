"""What a run stands on: a primary and its synchronous standby, a proxy in front, gates between, and a direct look.

The nodes live as long as the suite and change roles; the proxy and the gates live as long as one run. The checker
never goes through a proxy or a gate.
"""

import os
import signal
import time

from gate import Gate
from lib.cluster import PASSWORD, Cluster
from lib.deadline import eventually
from lib.processes import Workspace
from lib.proxy import Proxy, base_config
from lib.wire_client import Closed, ServerError

from clients import Target
from workloads import CLEAN, SCHEMA

DATABASE = "chaos"
NODE = {"synchronous_commit": "on", "log_statement": "all", "log_connections": "on", "max_connections": "60", "shared_buffers": "8MB",
        "superuser_reserved_connections": "8", "client_connection_check_interval": "0", "wal_keep_size": "64MB",
        "wal_retrieve_retry_interval": "100ms"}
OPERATE_TOKEN = "chaos-operates"


class Rig:
    def __init__(self, workspace=None, node_settings=None):
        self.workspace = workspace or Workspace("chaos")
        self._count = 0
        self.patience = 0.0                      # seconds that a busy machine may add to each deadline
        self.proxy = None
        self.gates = {}                          # node or "clients": Gate
        self._former = []                        # lines of it that its file does not have any more
        self._marks = {}                         # node: where its log ended when the run began
        settings = {**NODE, **(node_settings or {})}
        self.primary = Cluster(self.workspace, "node1", settings=settings)
        self.standby = None
        try:
            self.primary.create_database(DATABASE, SCHEMA)
            self.standby = Cluster(self.workspace, "node2", copy_of=self.primary, settings=settings)
        except BaseException:
            self.close()
            raise
        self.nodes = [self.primary, self.standby]

    def close(self):
        self.end_run()
        for node in (self.primary, self.standby):
            if node:
                node.stop(signal.SIGQUIT)
        self.workspace.remove()

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def ready(self):
        """A primary and a synchronous standby that has everything, whatever the last run did to them."""
        for node in self.nodes:
            if node.is_running():
                os.kill(node.pid, signal.SIGCONT)
        if not self.primary.is_running():
            start_again(self.primary)
        if not self._is_following():
            self.rejoin()
        self.primary.configure(synchronous_standby_names="*", default_transaction_read_only=None)
        eventually(self._is_following, "the standby follows", 20)
        eventually(lambda: not self._app_backends(), "backends of earlier runs have ended", 20)
        self.sql(CLEAN)
        eventually(lambda: self._lag() == 0, "the standby has everything", 20)

    def _is_following(self):
        try:
            return bool(self.sql("select 1 from pg_stat_replication where state = 'streaming'")) \
                and self.standby.is_running()
        except (OSError, Closed, ServerError):
            return False

    def _lag(self):
        return int(self.sql("select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 1) "
                            "from pg_stat_replication")[0][0])

    def _app_backends(self):
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename like 'app%'")
        return self.sql("select pid from pg_stat_activity where usename like 'app%'")

    def rejoin(self):
        """The standby becomes a fresh copy of the primary."""
        self.primary.configure(synchronous_standby_names=None)
        self.standby.rejoin(self.primary)

    def fail_over(self):
        """The standby becomes the primary, and the roles in this object change."""
        self.standby.configure(synchronous_standby_names=None)
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def sql(self, text, node=None):
        """As superuser, past everything."""
        return (node or self.primary).sql(text, DATABASE)

    def begin_log_anew(self):
        """The primary's log begins with an empty file: files of the server are about to be limited. What it said is kept."""
        node = self.primary
        with open(node.log, errors="replace") as file:
            file.seek(self._marks.get(node, 0))
            self._former += file
        os.truncate(node.log, 0)
        self._marks[node] = 0

    def server_lines(self):
        """What both nodes have logged since the run began."""
        yield from self._former
        for node in self.nodes:
            with open(node.log, errors="replace") as file:
                file.seek(self._marks.get(node, 0))
                yield from file

    def backends(self, condition="true", node=None):
        """Process numbers of the application's sessions on the server."""
        return [int(row[0]) for row in self.sql(
            f"select pid from pg_stat_activity where usename = 'app' and {condition} order by pid", node)]

    # ---- one run ----------------------------------------------------------------------------------------------------

    def begin_run(self, gated=(), tls=False, **sections):
        """A fresh proxy. `gated` names links that get a gate: "servers", "clients"."""
        self._marks = {node: node.log.stat().st_size for node in self.nodes}
        self._former = []
        if "servers" in gated:
            self.open_gates()
        nodes = (self.primary, self.standby)
        self.start_proxy([self.gate_port(node) if "servers" in gated else node.port for node in nodes], tls, **sections)
        if "clients" in gated:
            self.gates["clients"] = Gate(self.proxy.address)
        return self.proxy

    def open_gates(self):
        for node in (self.primary, self.standby):
            self.gates[node] = Gate(node.address)

    def gate_port(self, node):
        return self.gates[node].port

    def start_proxy(self, ports, tls=False, **sections):
        self._count += 1
        certificates = self.primary.certificates
        config = base_config(
            self.primary,
            backends={"hosts": [f"127.0.0.1:{port}" for port in ports],
                      "tls": {"sslmode": "require" if tls else "disable"}},
            listen={"tls": {"mode": "allow", "cert_file": str(certificates.certificate),
                            "key_file": str(certificates.key)}} if tls else {},
            admin={"operate_token": OPERATE_TOKEN},
            pool={"size": 20, "max_overflow": 10})
        for name, values in sections.items():
            config[name] = {**config.get(name, {}), **values} if isinstance(values, dict) else values
        self.proxy = Proxy(self.workspace.path, config, name=f"proxy{self._count}").start()
        return self.proxy

    def end_run(self, cleanly=False):
        try:
            if self.proxy and cleanly:
                self.proxy.stop()
        finally:
            if self.proxy:
                self.proxy.kill()
            for gate in self.gates.values():
                gate.stop()
            self.proxy, self.gates = None, {}

    def target(self, tls=False):
        """Where clients of this run connect."""
        gate = self.gates.get("clients")
        return Target((gate or self.proxy).address, DATABASE, "app", PASSWORD, sslmode="require" if tls else "disable")

    def gate(self):
        """The gate before the primary."""
        return self.gates[self.primary]

    def order(self, method, path):
        """A command to the proxy's admin port."""
        code, _, body = self.proxy.http(path, method, "{}", {"Content-Type": "application/json",
                                                             "Authorization": f"Bearer {OPERATE_TOKEN}"})
        assert code < 300, (code, body)

    def settle(self, seconds=25):
        """Waits until no session of the application does anything on the server: what is there now stays (zombies)."""
        eventually(lambda: not self.backends("state in ('active', 'idle in transaction', 'fastpath function call')"),
                   "the server has ended what it was doing", seconds)


def start_again(node, seconds=20):
    """A postmaster that was killed leaves children behind; it starts when the last of them has gone."""
    until = time.monotonic() + seconds
    while True:
        try:
            return node.start()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
