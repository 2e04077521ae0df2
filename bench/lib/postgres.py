"""The private PostgreSQL 15 cluster that every peer fronts."""

from __future__ import annotations

import dataclasses
import pathlib
import signal

from lib import wire
from lib.processes import Server, Workshop, free_port

DATABASE = "bench"
TRUST_USER = "bench"
SCRAM_USER = "scram_user"
SCRAM_PASSWORD = "benchmark-only"
SCALE = 10

# Durability is off on purpose: the disk would drown the proxies' differences.
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 300
shared_buffers = 512MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
jit = off
password_encryption = 'scram-sha-256'
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{key}'
"""

HBA = f"""
host all {SCRAM_USER} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Self-signed, made for this run; used by the cluster and by the proxies that speak TLS."""

    certificate: pathlib.Path
    key: pathlib.Path


def make_certificate(workshop: Workshop) -> Certificate:
    tls = Certificate(workshop.path / "server.crt", workshop.path / "server.key")
    workshop.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                  "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                  "-keyout", str(tls.key), "-out", str(tls.certificate)])
    tls.key.chmod(0o600)
    return tls


class Cluster:
    """A running cluster with the pgbench tables and the two users."""

    def __init__(self, workshop: Workshop, bin_dir: pathlib.Path, tls: Certificate) -> None:
        self.workshop = workshop
        self.bin_dir = bin_dir
        self.tls = tls
        self.port = free_port()
        self.server = self._start(self._initialise())
        self._create_objects()

    def psql(self, statement: str, database: str = DATABASE) -> str:
        return self.workshop.run([
            str(self.bin_dir / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
            "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]).strip()

    def vacuum(self) -> None:
        """Takes away what the writing tests leave behind, so that rounds stay comparable."""
        self.psql("VACUUM pgbench_branches, pgbench_tellers")
        self.psql("TRUNCATE pgbench_history")

    def scram_verifier(self) -> str:
        return self.psql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{SCRAM_USER}'")

    def version(self) -> str:
        return self.psql("SHOW server_version")

    def _initialise(self) -> pathlib.Path:
        data = self.workshop.directory("data")
        data.chmod(0o700)
        self.workshop.run([str(self.bin_dir / "initdb"), "-D", str(data), "-U", "postgres",
                           "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        settings = SETTINGS.format(port=self.port, certificate=self.tls.certificate,
                                   key=self.tls.key)
        with (data / "postgresql.conf").open("a") as file:
            file.write(settings)
        (data / "pg_hba.conf").write_text(HBA)
        return data

    def _start(self, data: pathlib.Path) -> Server:
        return self.workshop.start(
            "postgres", [str(self.bin_dir / "postgres"), "-D", str(data)], self.port,
            lambda: wire.answers(self.port, "postgres", "postgres"), stop_signal=signal.SIGINT)

    def _create_objects(self) -> None:
        self.psql(f"CREATE ROLE {TRUST_USER} LOGIN", "postgres")
        self.psql(f"CREATE ROLE {SCRAM_USER} LOGIN PASSWORD '{SCRAM_PASSWORD}'", "postgres")
        self.psql(f"CREATE DATABASE {DATABASE} OWNER {TRUST_USER}", "postgres")
        self.workshop.run([str(self.bin_dir / "pgbench"), "-h", "127.0.0.1", "-p", str(self.port),
                           "-U", TRUST_USER, "-i", "-q", "-s", str(SCALE), DATABASE])
        self.psql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {SCRAM_USER}")
