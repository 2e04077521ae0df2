"""What is decided about failures, against real servers: statements that crash them, full disks, each pool's own patience."""

import os
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

from bench import DATABASE, OTHER_DATABASE
from lib import messages as msg
from lib.cluster import Cluster
from lib.deadline import eventually
from lib.processes import give_to_owner
from lib.proxy import base_config
from lib.suite import Skip
from pair import holds, pair, status

POISON = "select 'poison', pg_sleep(20)"


class Killer:
    """Kills the server process of every POISON, as a statement would that crashes it."""

    def __init__(self, cluster):
        self.kills = 0
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _run(self):
        killed = set()
        while not self._over.wait(0.02):
            try:
                if not self._has_witness():
                    continue
                rows = self._cluster.sql("select pid from pg_stat_activity where usename = 'app' and state = 'active' "
                                         f"and query = $${POISON}$$")
            except Exception:  # it is in recovery
                continue
            for (pid,) in rows:
                if pid not in killed:
                    killed.add(pid)
                    self.kills += 1
                    os.kill(int(pid), signal.SIGKILL)

    def _has_witness(self):
        """Without one nobody can tell a crash from a connection that broke: a server of the pool, at rest for a while."""
        return self._cluster.sql("select from pg_stat_activity where usename = 'app' and state = 'idle' and query <> '' "
                                 "and state_change < now() - interval '0.2 s'") != []


def a_statement_that_crashes_the_server_is_withheld(bench):
    """T22, D25, R10: after its third crash it is not sent again; the client hears why, and stays, as everybody does.

    A crash in which the witnesses lost their connections before they were told names nobody, rightly: some may be needed
    beyond the three."""
    with bench.proxy(pool={"hold_timeout": "20s", "size": 3, "min_size": 3}, databases={DATABASE: {}},
                     retry={"max_retries": 10}) as proxy, \
            proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as other, Killer(bench.cluster) as killer:
        assert other.value("select 1") == "1"
        answer = client.query(POISON, 60)
        assert answer.sqlstate == "57P02", answer.error
        assert "crashed 3 times" in answer.error["M"] and "fingerprint" in answer.error["H"], answer.error
        assert 3 <= killer.kills <= 6, killer.kills
        assert client.value("select 2") == "2"
        assert other.value("select 3") == "3"
        # What the client sends itself is never withheld; but one crash is enough now.
        before = killer.kills
        answer = client.query(POISON, 60)
        assert answer.sqlstate == "57P02" and killer.kills <= before + 3, (answer.error, before, killer.kills)
        assert client.value("select 4") == "4"


def databases_have_their_own_patience(bench):
    """D1, D3: one database stops to wait after a second and is read-only, the other one goes on waiting."""
    with pair(bench, "patience", databases={DATABASE: {"pool": {"hold_timeout": "1s"}}}) as (primary, standby, proxy):
        primary.create_database(OTHER_DATABASE)
        for name in (DATABASE, OTHER_DATABASE):
            primary.sql("create table t (a int); alter table t owner to app", name)
        written = primary.sql("select pg_current_wal_lsn()")[0][0]
        eventually(lambda: standby.sql(f"select pg_last_wal_replay_lsn() >= '{written}'") == [["t"]], "the standby has it all")
        with proxy.connect(DATABASE) as hasty, proxy.connect(OTHER_DATABASE) as patient:
            primary.stop(signal.SIGQUIT)
            eventually(lambda: status(proxy)["mode"] == "read_only", "somebody has waited for long enough")
            assert hasty.value("select count(*) from t") == "0"
            before = holds(proxy)
            refused = hasty.query("insert into t values (1)")
            assert refused.sqlstate == "25006" and "read-only mode" in refused.error["M"], refused.error
            assert holds(proxy) == before                        # it has not waited
            answers = []
            waiting = threading.Thread(target=lambda: answers.append(patient.query("insert into t values (1)")))
            waiting.start()
            time.sleep(1.5)
            assert not answers
            primary.start()
            waiting.join()
            assert answers[0].sqlstate is None, answers[0].error
            eventually(lambda: hasty.query("insert into t values (1)").sqlstate is None, "it takes writes again")


def parameters_of(client, sql):
    """The ParameterStatus that come with an answer."""
    client.send(msg.query(sql))
    found = {}
    for frame in client.read_until("Z"):
        assert frame.type != "E", msg.error_fields(frame.body)
        if frame.type == "S":
            cursor = msg.Body(frame.body)
            name, value = cursor.cstring(), cursor.cstring()
            found[name] = value
    return found


def clients_are_told_who_serves_them(bench):
    """2.13: in_hot_standby and default_transaction_read_only are true for whoever watches them."""
    on = {"in_hot_standby": "on", "default_transaction_read_only": "on"}
    off = {"in_hot_standby": "off", "default_transaction_read_only": "off"}
    with pair(bench, "told") as (primary, standby, proxy):
        with proxy.connect(DATABASE) as client:
            assert client.parameters["in_hot_standby"] == "off", client.parameters
            assert parameters_of(client, "select 1") == {}
            primary.stop(signal.SIGQUIT)
            eventually(lambda: status(proxy)["mode"] == "holding", "there is no primary")
            assert parameters_of(client, "select 1") == on
            assert parameters_of(client, "select 1") == {}
            assert client.value("show transaction_read_only") == "on"
            primary.start()
            eventually(lambda: status(proxy)["mode"] == "normal", "it is back")
            assert parameters_of(client, "select 1") == off
            assert parameters_of(client, "select 1") == {}
            with proxy.connect(DATABASE) as other:
                assert other.parameters["in_hot_standby"] == "off", other.parameters


@contextmanager
def small_disk(folder, size="48m"):
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        folder.rmdir()
        raise Skip("file systems may not be mounted here")
    try:
        give_to_owner(folder)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def a_full_disk_makes_it_read_only(bench):
    """2.9, 2.12: three statements that meet a full disk; writes are refused, reads go on, and it is left by itself."""
    with small_disk(bench.workspace.path / "small") as disk:
        cluster = Cluster(bench.workspace, "full")
        try:
            cluster.sql(f"create tablespace small location '{disk}'")
            cluster.sql(f"create database {DATABASE} tablespace small owner app")
            config = base_config(cluster, monitor={"database": DATABASE})
            with bench.proxy_with(config) as proxy, proxy.connect(DATABASE) as client:
                client.query("create table t as select 1 as a")
                filler = disk / "filler"
                with open(filler, "wb", buffering=0) as file:
                    try:
                        while True:
                            file.write(b"x" * 65536)
                    except OSError:
                        pass
                grow = "insert into t select generate_series(1, 100000)"
                for _ in range(3):
                    assert client.query(grow).sqlstate == "53100"
                eventually(lambda: status(proxy)["mode"] == "read_only", "the way for writes is closed")
                time.sleep(1.5)  # longer than the first pause: it has been tried meanwhile
                assert status(proxy)["mode"] == "read_only"
                refused = client.query(grow)
                assert refused.sqlstate == "25006" and "read-only mode" in refused.error["M"], refused.error
                assert client.value("select count(*) from t") == "1"
                assert client.value("show transaction_read_only") == "on"
                client.query("begin")
                assert client.query("insert into t values (2)").sqlstate == "25006"
                client.query("rollback")
                filler.unlink()
                eventually(lambda: status(proxy)["mode"] == "normal", "it is left by itself")
                assert client.query(grow).sqlstate is None
                assert client.value("show transaction_read_only") == "off"
                assert cluster.sql("select count(*) from pg_class where relname = 'pgsteady_write_probe'", DATABASE) == [["0"]]
        finally:
            cluster.stop(signal.SIGQUIT)


def nobody_is_let_in(bench):
    """2.12: a database that is gone costs a sign-in now and then, not one per statement; others are not concerned."""
    bench.cluster.sql("create database doomed owner app")
    with bench.proxy() as proxy, proxy.connect("doomed") as client, proxy.connect(DATABASE) as other:
        assert client.value("select 1") == "1"
        bench.cluster.sql("drop database doomed with (force)")
        counted = lambda: bench.cluster.log.read_text(errors="replace").count('database "doomed" does not exist')  # noqa: E731
        before = counted()
        for _ in range(40):
            refused = client.query("select 1")
            assert (refused.sqlstate, refused.error["S"]) == ("3D000", "ERROR"), refused.error
        assert counted() - before <= 6, counted() - before
        assert other.value("select 1") == "1"
        assert status(proxy)["mode"] == "normal"
        bench.cluster.sql("create database doomed owner app")
        eventually(lambda: client.query("select 1").sqlstate is None, "it is found again")
    bench.cluster.sql("drop database doomed with (force)")


def a_standby_that_refuses_is_not_the_pool(bench):
    """2.12: while the primary restarts, reads are tried on the standby, which lets nobody in; nobody hears of that."""
    with pair(bench, "stranger") as (primary, standby, proxy):
        standby.host_rules.write_text("host all app 127.0.0.1/32 reject\n" + standby.host_rules.read_text())
        standby.sql("select pg_reload_conf()")
        refused = lambda: standby.log.read_text(errors="replace").count("rejects connection")  # noqa: E731
        with ExitStack() as stack:
            clients = [stack.enter_context(proxy.connect(DATABASE)) for _ in range(8)]
            primary.stop()
            for client in clients:
                client.send(msg.query("select 1"))
            eventually(lambda: refused() >= 6, "the standby has been tried")
            primary.start()
            for client in clients:
                result = client.read_result(30)
                assert (result.error, result.rows) == (None, [["1"]]), result.error


CASES = [a_standby_that_refuses_is_not_the_pool, a_statement_that_crashes_the_server_is_withheld, databases_have_their_own_patience, clients_are_told_who_serves_them,
         a_full_disk_makes_it_read_only, nobody_is_let_in]
