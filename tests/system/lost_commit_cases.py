"""COMMITs whose answer is lost (D23), and LISTEN (recovery.md 2.7), with a real PostgreSQL behind.

A server is stopped (SIGSTOP) before the COMMIT is sent and told to end before it goes on: what is in its socket is never
read, which nobody on this side can know.
"""

import os
import signal

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.deadline import eventually

COMMIT_BY_MESSAGES = msg.parse("", "commit") + msg.bind("", "") + msg.execute("") + msg.sync()


def _lose_in_commit(bench, client, commit=msg.query("commit")):
    """Its answer. The transaction is open, and its server idle."""
    pid = int(client.value("select pg_backend_pid()"))
    os.kill(pid, signal.SIGSTOP)
    client.send(commit)
    bench.sql(f"select pg_terminate_backend({pid})")
    os.kill(pid, signal.SIGCONT)
    return client.read_result(20)


def a_transaction_that_has_only_read(bench):
    """COMMIT on either protocol, without READ ONLY: the catalogue says so on the next server."""
    bench.sql("create or replace view seen as select count(*) from t; grant select on seen to app")
    with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}) as proxy, proxy.connect(DATABASE) as client:
        for commit in (msg.query("commit"), COMMIT_BY_MESSAGES):
            client.query("begin")
            assert client.value("select * from seen") == "0"
            result = _lose_in_commit(bench, client, commit)
            assert (result.error, result.tags, result.status) == (None, ["COMMIT"], "I")
            assert client.value("select 'on'") == "on"


def read_only_needs_no_proof(bench):
    bench.sql("create or replace function opaque() returns int language sql volatile as 'select 1'")
    with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin read only")
        client.query("select opaque()")
        assert _lose_in_commit(bench, client).tags == ["COMMIT"]
        client.query("begin")
        client.query("select opaque()")
        assert _lose_in_commit(bench, client).sqlstate == "08007"


def a_transaction_that_has_written(bench):
    """08007, whether it is hidden in a view or a function or not, and under SERIALIZABLE for reads alone."""
    bench.sql("create or replace function hides() returns int language plpgsql as "
              "'begin insert into t values (7); return 1; end'")
    with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}) as proxy, proxy.connect(DATABASE) as client:
        for begin, statement in (("begin", "insert into t values (1)"), ("begin", "select hides()"),
                                 ("begin isolation level serializable", "select count(*) from t"),
                                 ("begin", "notify a"), ("begin", "select 1 from t for update")):
            client.query(begin)
            assert not client.query(statement).error
            result = _lose_in_commit(bench, client)
            assert (result.sqlstate, result.status) == ("08007", "I"), (statement, result.error)
            assert "outcome=unknown" in result.error["D"]
    assert bench.sql("select count(*) from t") == [["0"]]


def the_wait_for_a_standby_is_cut_short(bench):
    """E3a, T7: terminated while it waits for a synchronous standby, a server has committed."""
    bench.cluster.wait_for_nobody()
    try:
        with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}) as proxy, proxy.connect(DATABASE) as client:
            client.query("begin; insert into t values (1)")
            result = _cut_wait(bench, client, msg.query("commit"))
            assert (result.error, result.tags, result.status) == (None, ["COMMIT"], "I")
            assert [(notice["S"], notice["C"]) for notice in result.notices] == [("WARNING", "01000")]
            extended = msg.parse("", "insert into t values (2)") + msg.bind("", "") + msg.execute("") + msg.sync()
            result = _cut_wait(bench, client, extended)
            assert (result.error, result.tags, result.status) == (None, ["INSERT 0 1"], "I")
            result = _cut_wait(bench, client, msg.query("insert into t values (3)"))
            assert (result.sqlstate, result.status) == ("08007", "I")
            assert "outcome=committed" in result.error["D"]
            assert client.value("select array_agg(id order by id) from t") == "{1,2,3}"
    finally:
        bench.cluster.configure(synchronous_standby_names=None, synchronous_commit=None)


def _cut_wait(bench, client, request):
    client.send(request)
    waits = "from pg_stat_activity where wait_event = 'SyncRep'"
    eventually(lambda: bench.sql(f"select count(*) {waits}") == [["1"]], "it waits for the standby")
    bench.sql(f"select pg_terminate_backend(pid) {waits}")
    return client.read_result(20)


CASES = [a_transaction_that_has_only_read, read_only_needs_no_proof, a_transaction_that_has_written,
         the_wait_for_a_standby_is_cut_short]
