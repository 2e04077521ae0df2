"""A private PostgreSQL 15 cluster on a free loopback port, run by an unprivileged user.

Users (superuser `postgres` only through the Unix socket): app (SCRAM), app_md5 (md5), app_trust (no password),
watcher (SCRAM, in pg_monitor: what a proxy's monitor signs in with), replicator (SCRAM, may replicate).
Durability is off: the data lives as long as one suite. `Cluster(workspace, copy_of=primary)` is a streaming standby,
which `promote()` makes the primary and `rejoin(new_primary)` makes a standby again.
"""

import shutil
import signal
import subprocess
import time

from . import messages as msg
from .certificates import Certificates
from .deadline import eventually
from .processes import as_owner, free_port, give_to_owner, run, tail
from .wire_client import Closed, ServerError, WireClient

BIN = "/usr/lib/postgresql/15/bin"
PASSWORD = "correct horse: battery, staple"
START_ATTEMPTS = 3

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{sockets}'
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{key}'
max_connections = 100
max_prepared_transactions = 4
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 32MB
log_min_messages = warning
log_line_prefix = '%m [%p] %u@%d %a '
include_if_exists = 'test.conf'
"""

HBA = """
local all postgres               trust
local replication postgres       trust
local all all                    scram-sha-256
host  replication replicator 127.0.0.1/32 scram-sha-256
host  all app_trust 127.0.0.1/32 trust
host  all app_md5   127.0.0.1/32 md5
host  all all       127.0.0.1/32 scram-sha-256
"""

USERS = """
create role app login password '{password}';
create role app_trust login;
create role replicator login replication password '{password}';
create role watcher login password '{password}' in role pg_monitor;
create role other nologin;
grant other to app;
set password_encryption = 'md5';
create role app_md5 login password '{password}';
"""


class Cluster:
    """initdb once, then start(), stop(), restart(), crash() as often as a test likes; the port stays."""

    def __init__(self, workspace, name="cluster", copy_of=None, settings=None):
        """`settings` are laid over ours and may be changed by configure()."""
        self.name = name
        self.folder = workspace.folder(name)
        self.log = self.folder / "server.log"
        self._data = self.folder / "data"
        self._sockets = self.folder / "sockets"
        self._sockets.mkdir()
        self._server = None
        self.certificates = Certificates(self.folder)
        self.log.touch()
        give_to_owner(self.folder, self._sockets, self.log, self.certificates.key)
        if copy_of:
            self._copy(copy_of)
            self._settings = dict(settings or {})
            self._write_settings()
            self._start_on_free_port()
        else:
            self._settings = dict(settings or {})
            self._create()

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def host_rules(self):
        """The file pg_hba.conf; what is written there counts after pg_reload_conf()."""
        return self._data / "pg_hba.conf"

    def _create(self):
        run(as_owner([f"{BIN}/initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                      "--locale=C.UTF-8", "--no-sync"]), cwd="/")
        with open(self._data / "postgresql.conf", "a") as file:
            file.write(SETTINGS.format(sockets=self._sockets, certificate=self.certificates.certificate,
                                       key=self.certificates.key))
        (self._data / "pg_hba.conf").write_text(HBA)
        self._write_settings()
        self._start_on_free_port()
        self.sql(USERS.format(password=PASSWORD))

    def _start_on_free_port(self):
        for attempt in range(START_ATTEMPTS):
            self.port = free_port()
            try:
                self.start()
                break
            except AssertionError:                              # another process took the port meanwhile
                if attempt + 1 == START_ATTEMPTS:
                    raise

    # ---- settings and replication ---------------------------------------------------------------------------------

    def configure(self, **settings):
        """Changes settings and reloads; None goes back to the default. Those that need a restart wait for one."""
        self._settings.update(settings)
        self._write_settings()
        if self.is_running():
            self._server.send_signal(signal.SIGHUP)

    def wait_for_nobody(self):
        """From now on a commit waits for a synchronous standby that does not exist. That the setting is shown does not mean that
        it counts, which the checkpointer says later: a commit of our own is tried until one has to wait, and is cancelled."""
        self.configure(synchronous_standby_names="nobody", synchronous_commit="on")
        eventually(self._a_commit_waits, "a commit waits for a standby")

    def _a_commit_waits(self):
        with self.superuser() as client:
            client.send(msg.query("select pg_logical_emit_message(true, 'a commit', '')"))
            cancel = f"select pg_cancel_backend(pid) from pg_stat_activity where pid = {client.pid} and wait_event = 'SyncRep'"
            eventually(lambda: self.sql(cancel) or not client.is_silent(), "it is committed, or waits")
            result = client.read_result()
            return any("synchronous replication" in each["M"] for each in result.notices)

    def _write_settings(self):
        own = {"unix_socket_directories": self._sockets, "ssl_cert_file": self.certificates.certificate,
               "ssl_key_file": self.certificates.key,
               **{key: value for key, value in self._settings.items() if value is not None}}
        (self._data / "test.conf").write_text("".join(f"{key} = '{value}'\n" for key, value in own.items()))

    def _copy(self, primary):
        run(as_owner([f"{BIN}/pg_basebackup", "-h", primary.sockets, "-p", primary.port, "-U", "postgres", "-D",
                      self._data, "-R", "-X", "stream", "-c", "fast", "--no-sync"]), cwd="/")

    def rejoin(self, primary):
        """Becomes a fresh standby of `primary`; what it had is gone."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._data)
        self._copy(primary)
        self._write_settings()
        self.start()

    def promote(self):
        """A standby becomes the primary; returns when it accepts writes."""
        if self.sql("select pg_promote(true, 20)") != [["t"]]:
            raise AssertionError(f"{self.name} was not promoted\n{tail(self.log)}")

    @property
    def sockets(self):
        """The folder of the Unix socket: superuser without a password, never through a proxy."""
        return self._sockets

    @property
    def pid(self):
        """The postmaster."""
        return self._server.pid

    # ---- running --------------------------------------------------------------------------------------------------

    def start(self):
        for _ in range(100):
            with open(self.log, "a") as log:
                begin = log.tell()
                self._server = subprocess.Popen(
                    as_owner([f"{BIN}/postgres", "-D", self._data, "-p", self.port], death_signal="INT"),
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
            try:
                return eventually(self._answers, "PostgreSQL accepts connections", 30)
            except AssertionError as problem:
                self.stop()
                with open(self.log) as log:
                    log.seek(begin)
                    said = log.read()
                # After kill -9 its children hold the shared memory for a moment.
                if "is still in use" not in said:
                    raise AssertionError(f"{problem}\n{tail(self.log)}") from None
                time.sleep(0.05)
        raise AssertionError("the shared memory of the server before is still in use")

    def _answers(self):
        if self._server.poll() is not None:
            raise AssertionError(f"PostgreSQL ended with {self._server.returncode}")
        try:
            with self.superuser("postgres"):
                return True
        except (OSError, Closed, ServerError):
            return False

    def is_running(self):
        return self._server is not None and self._server.poll() is None

    def stop(self, how=signal.SIGINT):
        """SIGINT is a fast shutdown, SIGQUIT an immediate one."""
        if self._server and self._server.poll() is None:
            self._server.send_signal(how)
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._server = None

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        self.start()

    # ---- out of band: never through a proxy -----------------------------------------------------------------------

    def superuser(self, database="postgres"):
        """A client as superuser over the Unix socket."""
        client = WireClient(f"{self._sockets}/.s.PGSQL.{self.port}")
        try:
            return client.login("postgres", database)
        except BaseException:
            client.abandon()
            raise

    def sql(self, text, database="postgres"):
        """Runs statements as superuser; returns the last rows, raises on error."""
        with self.superuser(database) as client:
            result = client.query(text, 60)
            client.close()
        if result.error:
            raise ServerError(result.error)
        return result.rows

    def create_database(self, name, schema_sql=""):
        self.sql(f"create database {name} owner app")
        if schema_sql:
            self.sql(schema_sql, name)
        return name
