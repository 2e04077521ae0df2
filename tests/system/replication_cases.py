"""Replication connections: one server each, bytes both ways as they are, COPY BOTH included."""

import os
import subprocess

from bench import DATABASE
from lib import messages as msg
from lib.cluster import BIN, PASSWORD
from lib.deadline import eventually
from lib.proxy import clean_environment
from lib.wire_client import ServerError

USERS = {"app": {"password": PASSWORD}, "replicator": {"password": PASSWORD}}
SECONDS = 60


def _tool(name, proxy, *arguments, wait=True):
    command = [f"{BIN}/{name}", "-h", "127.0.0.1", "-p", str(proxy.port), "-U", "replicator", *arguments]
    process = subprocess.Popen(command, env={**clean_environment(), "PGPASSWORD": PASSWORD}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not wait:
        return process
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    return said


def _walsenders(bench):
    return int(bench.sql("select count(*) from pg_stat_activity where backend_type = 'walsender'")[0][0])


def commands_are_answered(bench):
    """Also more of them than the pool has servers, which they leave to others."""
    with bench.proxy(users=USERS, pool={"size": 1}) as proxy:
        clients = [proxy.connect(DATABASE, "replicator", replication="database", application_name=f"r{number}")
                   for number in range(3)]
        for client in clients:
            system, timeline, position, database = client.query("IDENTIFY_SYSTEM").rows[0]
            assert (timeline, database) == ("1", DATABASE) and system and position
            assert client.parameters["server_version"]
            assert client.query("select 1").rows == [["1"]]                 # a walsender of a database speaks SQL, too
        assert _walsenders(bench) == 3
        names = bench.sql("select application_name from pg_stat_activity where backend_type = 'walsender' order by 1")
        assert names == [["r0"], ["r1"], ["r2"]], names
        with proxy.connect(DATABASE) as other:
            assert other.value("select 2") == "2"
        for client in clients:
            client.close()
        eventually(lambda: _walsenders(bench) == 0, "they leave with their clients")


def a_backup_comes_through(bench):
    bench.sql("insert into t select generate_series(1, 20000)")
    folder = bench.workspace.path / "backup"
    with bench.proxy(users=USERS) as proxy:
        _tool("pg_basebackup", proxy, "-D", str(folder), "-X", "stream", "-c", "fast", "--no-sync")
    said = subprocess.run([f"{BIN}/pg_verifybackup", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    assert said.returncode == 0, said.stdout
    eventually(lambda: _walsenders(bench) == 0, "no walsender stays")


def wal_streams_both_ways(bench):
    """The receiver's feedback goes up the same connection."""
    folder = bench.workspace.folder("wal")
    with bench.proxy(users=USERS) as proxy:
        receiver = _tool("pg_receivewal", proxy, "-D", str(folder), "-s", "1", "--synchronous", "--no-loop", wait=False)
        try:
            def caught_up():
                bench.sql("insert into t select coalesce(max(id), 0) + 1 from t")
                return bench.sql("select 1 from pg_stat_replication where state = 'streaming' "
                                 "and flush_lsn >= pg_current_wal_lsn() - 1000")
            eventually(caught_up, "the receiver reports what it has")
            assert os.listdir(folder)
        finally:
            receiver.terminate()
            receiver.communicate(timeout=SECONDS)
        eventually(lambda: _walsenders(bench) == 0, "the walsender leaves with its receiver")


def a_lost_server_ends_it(bench):
    with bench.proxy(users=USERS) as proxy:
        with proxy.connect(DATABASE, "replicator", replication="database") as client:
            client.query("IDENTIFY_SYSTEM")
            bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'")
            frames, _ = client.read_to_end()
            assert [msg.error_fields(frame.body)["C"] for frame in frames if frame.type == "E"] == ["57P01"], frames
        with proxy.connect(DATABASE, "replicator", replication="true") as client:
            assert client.query("IDENTIFY_SYSTEM").rows
            client.close()


def what_the_server_refuses_is_told(bench):
    with bench.proxy() as proxy:
        try:
            proxy.connect(DATABASE, replication="database")
            raise AssertionError("a role without the right to replicate was let in")
        except ServerError as refusal:
            assert refusal.sqlstate in ("42501", "28000"), refusal.fields
        with proxy.connect(DATABASE, replication="off") as client:
            assert client.value("select 1") == "1"


def a_drain_waits_for_it(bench):
    with bench.proxy(users=USERS, shutdown={"drain_timeout": "1s"}) as proxy:
        client = proxy.connect(DATABASE, "replicator", replication="database")
        proxy.signal(15)
        assert client.query("IDENTIFY_SYSTEM").rows
        client.read_to_end()
        assert proxy.wait() == 0
        proxy.process = None


CASES = [commands_are_answered, a_backup_comes_through, wal_streams_both_ways, a_lost_server_ends_it,
         what_the_server_refuses_is_told, a_drain_waits_for_it]
