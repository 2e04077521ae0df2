"""The ways from an application to PostgreSQL that the report compares: pgsteady, libpq itself, PgBouncer.

Each is set up as its manual says for a primary and a standby, with its own defaults. PgBouncer knows no roles: a
script tells it of a promotion the moment that it has happened, which is the best case.
"""

import signal
import subprocess

from clients import Target
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.processes import as_owner, free_port, give_to_owner
from rig import DATABASE

PGBOUNCER = "/usr/sbin/pgbouncer"


class Path:
    name = "?"

    def __init__(self, rig, gated):
        self.rig = rig
        self.ports = [rig.gate_port(node) if gated else node.port for node in (rig.primary, rig.standby)]

    def start(self):
        """Returns where clients connect."""
        raise NotImplementedError

    def promoted(self):
        """The roles have changed."""

    def obituary(self):
        """A line about a proxy that has died by itself, or nothing."""
        return ""

    def stop(self):
        pass


class Pgsteady(Path):
    name = "pgsteady"

    def __init__(self, rig, gated, **sections):
        super().__init__(rig, gated)
        self.sections = sections

    def start(self):
        self.proxy = self.rig.start_proxy(self.ports, **self.sections)
        return Target(self.proxy.address, DATABASE, "app", PASSWORD)

    def obituary(self):
        return self.proxy.obituary() and self.proxy.obituary() + self.proxy.log_tail(40)

    def stop(self):
        if self.proxy.process:
            self.proxy.stop()


class Direct(Path):
    """libpq with every host and target_session_attrs; nothing in between."""
    name = "direct"

    def start(self):
        hosts = ("127.0.0.1,127.0.0.1", ",".join(map(str, self.ports)))
        return Target(hosts, DATABASE, "app", PASSWORD, target_session_attrs="read-write", connect_timeout=2)


class PgBouncer(Path):
    name = "PgBouncer"

    def start(self):
        self.folder = self.rig.workspace.folder("pgbouncer")
        self.port = free_port()
        (self.folder / "users.txt").write_text(f'"app" "{PASSWORD}"\n')
        self._write(self.ports[0])
        give_to_owner(self.folder, *self.folder.iterdir())
        self.process = subprocess.Popen(as_owner([PGBOUNCER, "-q", self.folder / "pgbouncer.ini"], "KILL"),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        target = Target(("127.0.0.1", self.port), DATABASE, "app", PASSWORD)
        eventually(lambda: _serves(target), "PgBouncer serves", 10)
        return target

    def _write(self, port):
        (self.folder / "pgbouncer.ini").write_text(f"""
[databases]
{DATABASE} = host=127.0.0.1 port={port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {self.folder}/users.txt
logfile = {self.folder}/pgbouncer.log
pool_mode = transaction
default_pool_size = 30
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
""")

    def promoted(self):
        """A failover script rewrites the file and reloads."""
        self._write(self.ports[1])
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.process.kill()
        self.process.wait()


def _serves(target):
    try:
        connection = target.connect()
        connection.close()
        return True
    except Exception:                                     # noqa: not yet
        return False
