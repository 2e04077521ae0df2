"""What became of a COMMIT whose answer was lost (recovery.md 2.6), asked of real servers after real crashes and promotions.

A server is stopped (SIGSTOP) before the COMMIT is sent: what is in its socket is never read. Or it waits for a synchronous
standby that does not exist: then it has committed, and nobody has been told.
"""

import os
import re
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "chaos"))

from bench import DATABASE, ONE_SERVER
from gate import Gate
from lib import messages as msg
from lib.cluster import Cluster
from lib.deadline import eventually
from lib.proxy import base_config
from pair import TOKEN, before, order, role, status, two_nodes

TABLE = "create table t (id int primary key); alter table t owner to app"
OPERATED = {"admin": {"operate_token": TOKEN}}
COMMIT = msg.query("commit")
COMMIT_BY_MESSAGES = msg.parse("", "commit") + msg.bind("", "") + msg.execute("") + msg.sync()


@contextmanager
def _own_cluster(bench, name, **settings):
    cluster = Cluster(bench.workspace, name, settings={"synchronous_commit": "on", **settings})
    try:
        cluster.create_database(DATABASE, TABLE)
        yield cluster
    finally:
        cluster.stop(signal.SIGQUIT)


@contextmanager
def _before(bench, cluster, port=None, **sections):
    """A proxy that knows its primary, and a client."""
    config = base_config(cluster, pool={"size": 3, "hold_timeout": "60s"}, **OPERATED, **sections)
    config["backends"]["hosts"] = [f"127.0.0.1:{port or cluster.port}"]
    with bench.proxy_with(config) as proxy, proxy.connect(DATABASE) as client:
        eventually(lambda: role(proxy, port or cluster.port) == "primary", "the monitor has seen the primary", 30)
        yield proxy, client


def _open(client, number):
    """A transaction that has written, and the process that serves it."""
    client.query("begin")
    assert not client.query(f"insert into t values ({number})").error
    return int(client.value("select pg_backend_pid()"))


def _rows(cluster):
    return [int(row[0]) for row in cluster.sql("select id from t order by id", DATABASE)]


def _found(proxy):
    return {name: count for name, count in status(proxy)["in_doubt"].items() if count}


def _path(proxy, outcome, path):
    line = f'pgsteady_in_doubt_resolved_total{{outcome="{outcome}",path="{path}"}} '
    found = [each for each in proxy.http("/metrics")[2].splitlines() if each.startswith("pgsteady_in_doubt_resolved")]
    assert any(each.startswith(line) for each in found), (line, found)


def _wait_for_nobody(cluster):
    """From now on a commit waits for a synchronous standby that does not exist."""
    cluster.wait_for_nobody()


def _waits_for_standby(cluster):
    eventually(lambda: cluster.sql("select count(*) from pg_stat_activity where wait_event = 'SyncRep'") == [["1"]],
               "the commit waits for the standby", 30)


def _rolled_back(result):
    assert (result.sqlstate, result.status) == ("40001", "I"), (result.error, result.tags)
    assert "outcome=rolled_back" in result.error["D"], result.error


def _committed(result):
    assert (result.error, result.tags, result.status) == (None, ["COMMIT"], "I"), (result.error, result.tags)


def its_server_is_ended_before_it_reads_it(bench):
    """The same life of the server: aborted. On either protocol; and the client goes on. Its replay has a capture of its own, and
    is told from the first run by the server process that it has asked for."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        for number, commit in enumerate((COMMIT, COMMIT_BY_MESSAGES)):
            pid = _open(client, number)
            os.kill(pid, signal.SIGSTOP)
            client.send(commit)
            bench.sql(f"select pg_terminate_backend({pid})")
            os.kill(pid, signal.SIGCONT)
            _rolled_back(client.read_result(30))
            assert client.value("select count(*) from t") == "0"
        _path(proxy, "not_committed", "same_incarnation")
        assert _found(proxy)["captured"] == 4


def what_was_not_committed_is_given_again(bench):
    """Nothing in it depends on the server: the client sees a COMMIT, and it has one effect."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        for number, commit in enumerate((COMMIT, COMMIT_BY_MESSAGES)):
            client.query("begin")
            assert client.query(f"insert into t values ({number})").tags == ["INSERT 0 1"]
            client.query("select 1")                                   # takes the capture with it
            (pid,) = map(int, bench.server_pids())
            os.kill(pid, signal.SIGSTOP)
            client.send(commit)
            bench.sql(f"select pg_terminate_backend({pid})")
            os.kill(pid, signal.SIGCONT)
            _committed(client.read_result(30))
            assert bench.sql("select id from t order by id") == [[str(each)] for each in range(number + 1)]
        _path(proxy, "not_committed", "same_incarnation")
        assert status(proxy)["replay"]["replayed"] == 2
        assert proxy.log_text().count("its transaction was replayed") == 2


def after_a_crash_it_is_given_again(bench):
    """To the same server, in its next life."""
    with _own_cluster(bench, "again") as cluster, _before(bench, cluster) as (proxy, client):
        for number in (1, 2):
            client.query("begin")
            client.query(f"insert into t values ({number})")
            client.query("select 1")
            ((pid,),) = cluster.sql(f"select pid from pg_stat_activity where datname = '{DATABASE}' and backend_type = "
                                    "'client backend' and xact_start is not null and backend_xid is not null")
            os.kill(int(pid), signal.SIGSTOP)
            client.send(COMMIT)
            cluster.stop(signal.SIGQUIT)
            cluster.start()
            _committed(client.read_result(45))
            assert _rows(cluster) == list(range(1, number + 1))
        assert _found(proxy)["not_committed"] == 2


def a_backend_is_killed_that_had_committed(bench):
    """E2c: all servers start anew in the same postmaster; the marker was recovered."""
    with _own_cluster(bench, "killed") as cluster, _before(bench, cluster) as (proxy, client):
        _wait_for_nobody(cluster)
        pid = _open(client, 1)
        client.send(COMMIT)
        _waits_for_standby(cluster)
        os.kill(pid, signal.SIGKILL)
        _committed(client.read_result(30))
        _path(proxy, "committed", "crash_after_marker")
        assert _rows(cluster) == [1]


def t1_a_number_that_is_given_again_is_not_believed(bench):
    """T1, E2a: nothing of it had reached the disk, and others have got its number before it is asked for."""
    with _own_cluster(bench, "reused", wal_writer_delay="10s") as cluster, _before(bench, cluster) as (proxy, client):
        pid = _open(client, 1)
        number = int(client.value("select txid_current()"))
        os.kill(pid, signal.SIGSTOP)
        client.send(COMMIT)
        order(proxy, "POST", "/api/v1/hold")
        cluster.stop(signal.SIGQUIT)
        cluster.start()
        for _ in range(5):
            cluster.sql("select txid_current()", DATABASE)
        assert cluster.sql(f"select txid_status({number})", DATABASE) == [["committed"]], "the server tells the lie"
        order(proxy, "POST", "/api/v1/resume")
        _rolled_back(client.read_result(45))
        _path(proxy, "not_committed", "crash_before_marker")
        assert _rows(cluster) == []


def _of_process(pid, name):
    return re.search(rf"^{name}:\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]


def _is_told_to_end(pid):
    """A stopped process has SIGTERM waiting."""
    return int(_of_process(pid, "ShdPnd"), 16) & 1 << (signal.SIGTERM - 1)


def a_clean_restart_knows_the_number(bench):
    with _own_cluster(bench, "restarted") as cluster, _before(bench, cluster) as (proxy, client):
        for number in range(1, 11):
            pid = _open(client, number)
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda: _of_process(pid, "State").startswith("T"), "it has stopped")
            client.send(COMMIT)
            os.kill(cluster.pid, signal.SIGINT)
            eventually(lambda: _is_told_to_end(pid), "the postmaster has told it")
            os.kill(pid, signal.SIGCONT)
            cluster.stop(signal.SIGINT)
            cluster.start()
            result = client.read_result(45)
            if result.tags != ["COMMIT"]:
                break
            assert number in _rows(cluster)                            # it read the COMMIT before it obeyed: once more
        _rolled_back(result)
        _path(proxy, "not_committed", "clean_restart")


def t7_what_waits_for_a_standby_is_waited_for(bench):
    """T7: the connection is cut, the server goes on waiting; it is asked until it knows, and nobody ends it."""
    with _own_cluster(bench, "waits") as cluster, \
            Gate(("127.0.0.1", cluster.port)) as gate, \
            _before(bench, cluster, gate.port, replay={"indoubt_timeout": "60s"}) as (proxy, client):
        _wait_for_nobody(cluster)
        pid = _open(client, 1)
        client.send(COMMIT)
        _waits_for_standby(cluster)
        gate.rst()
        eventually(lambda: "\npgsteady_in_doubt_unresolved 1\n" in proxy.http("/metrics")[2], "it is being looked up", 30)
        assert cluster.sql(f"select wait_event from pg_stat_activity where pid = {pid}") == [["SyncRep"]]
        cluster.configure(synchronous_standby_names=None)
        _committed(client.read_result(45))
        _path(proxy, "committed", "same_incarnation")
        assert _rows(cluster) == [1]


def a_promotion_after_the_commit_had_arrived_there(bench):
    """The primary waits for a standby that does not exist, while the one that does has the commit: it is promoted."""
    with two_nodes(bench, "arrived", TABLE, synchronous_commit="on") as (primary, standby), before(bench, primary, standby) as proxy, \
            proxy.connect(DATABASE) as client:
        _wait_for_nobody(primary)
        _open(client, 1)
        client.send(COMMIT)
        _waits_for_standby(primary)
        eventually(lambda: _rows(standby) == [1], "the standby has it", 30)
        primary.stop(signal.SIGQUIT)
        standby.promote()
        _committed(client.read_result(45))
        _path(proxy, "committed", "promoted_after_marker")
        assert _rows(standby) == [1]


def a_promotion_before_the_commit_was_read(bench):
    """Whether the marker had arrived there or not: its end is not in the new history."""
    with two_nodes(bench, "unread", TABLE, synchronous_commit="on") as (primary, standby), before(bench, primary, standby) as proxy, \
            proxy.connect(DATABASE) as client:
        pid = _open(client, 1)
        os.kill(pid, signal.SIGSTOP)
        client.send(COMMIT)
        primary.stop(signal.SIGQUIT)
        standby.promote()
        _rolled_back(client.read_result(45))
        assert _rows(standby) == []
        assert _found(proxy)["not_committed"] == 1


def with_the_switch_off_nobody_knows(bench):
    with bench.proxy(pool=ONE_SERVER, replay={"in_doubt": False}) as proxy, proxy.connect(DATABASE) as client:
        pid = _open(client, 1)
        os.kill(pid, signal.SIGSTOP)
        client.send(COMMIT)
        bench.sql(f"select pg_terminate_backend({pid})")
        os.kill(pid, signal.SIGCONT)
        assert client.read_result(30).sqlstate == "08007"
        assert "captured" not in _found(proxy)


CASES = [its_server_is_ended_before_it_reads_it, what_was_not_committed_is_given_again,
         after_a_crash_it_is_given_again, a_backend_is_killed_that_had_committed,
         t1_a_number_that_is_given_again_is_not_believed, a_clean_restart_knows_the_number,
         t7_what_waits_for_a_standby_is_waited_for, a_promotion_after_the_commit_had_arrived_there,
         a_promotion_before_the_commit_was_read, with_the_switch_off_nobody_knows]
