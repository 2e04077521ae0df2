"""COMMIT AND CHAIN and ROLLBACK AND CHAIN whose server is lost (D29): a real PostgreSQL says what the next transaction is like."""

import os
import signal

from bench import DATABASE, ONE_SERVER
from in_doubt_cases import _before, _own_cluster, _rows, _wait_for_nobody, _waits_for_standby
from lib import messages as msg
from lib.deadline import eventually
from pair import status

LIKE = ("show transaction_isolation", "show transaction_read_only", "show transaction_deferrable")
BEGIN = "begin isolation level repeatable read, deferrable"
BY_MESSAGES = msg.parse("", "commit and chain") + msg.bind("", "") + msg.execute("") + msg.sync()


def _characteristics(client):
    return [client.value(each) for each in LIKE]


def _chained(result, tag):
    assert (result.error, result.tags, result.status) == (None, [tag], "T"), (result.error, result.tags, result.status)


def a_commit_that_was_carried_out_is_followed_by_a_transaction_like_it(bench):
    """With what it had last: PostgreSQL itself, undisturbed, is asked first."""
    with _own_cluster(bench, "chained") as cluster, _before(bench, cluster) as (proxy, client):
        client.query(BEGIN)
        client.query("insert into t values (0)")
        client.query("set transaction read only")
        _chained(client.query("commit and chain"), "COMMIT")
        wanted = _characteristics(client)
        assert wanted == ["repeatable read", "on", "on"], wanted
        client.query("rollback")
        for number, commit in enumerate((msg.query("commit and chain"), BY_MESSAGES), 1):
            client.query(BEGIN)
            client.query(f"insert into t values ({number})")
            client.query("set transaction read only")
            pid = int(client.value("select pg_backend_pid()"))
            _wait_for_nobody(cluster)
            client.send(commit)
            _waits_for_standby(cluster)
            os.kill(pid, signal.SIGKILL)
            _chained(client.read_result(30), "COMMIT")
            assert _rows(cluster) == list(range(number + 1))
            assert _characteristics(client) == wanted
            assert client.query("insert into t values (9)").sqlstate == "25006"
            assert client.query("rollback").tags == ["ROLLBACK"]


def a_rollback_is_answered_and_its_successor_is_replayed(bench):
    """And then its own end is lost: a chain of chains."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin isolation level serializable")
        client.query("insert into t values (1)")
        for _ in range(2):
            pid = int(client.value("select pg_backend_pid()"))
            os.kill(pid, signal.SIGSTOP)
            client.send(msg.query("rollback and chain"))
            bench.sql(f"select pg_terminate_backend({pid})")
            os.kill(pid, signal.SIGCONT)
            _chained(client.read_result(30), "ROLLBACK")
            assert client.query("insert into t values (2)").tags == ["INSERT 0 1"]
            assert client.value("show transaction_isolation") == "serializable"
            before = status(proxy)["replay"]["replayed"]
            (pid,) = bench.server_pids()
            bench.sql(f"select pg_terminate_backend({pid})")
            eventually(lambda: status(proxy)["replay"]["replayed"] == before + 1, "it is replayed")
            assert client.value("show transaction_isolation") == "serializable"
        assert client.query("commit").tags == ["COMMIT"]
        assert bench.sql("select id from t") == [["2"]]


CASES = [a_commit_that_was_carried_out_is_followed_by_a_transaction_like_it,
         a_rollback_is_answered_and_its_successor_is_replayed]
