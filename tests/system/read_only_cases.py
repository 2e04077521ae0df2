"""Without a primary: what standbys may show, what writers are told, and that it ends by itself (D3, D27, D28; 2.13)."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from bench import DATABASE
from chaos.gate import Gate
from lib import messages as msg
from lib.deadline import eventually
from lib.proxy import base_config
from pair import backends, before, holds, mode, two_nodes, waiting

TABLE = "create table t (id int primary key); alter table t owner to app"


def _refused(result, what, status):
    """R01"""
    assert result.sqlstate == "25006" and result.status == status, (result.error, result.status)
    assert result.error["M"] == f"cannot execute {what}: proxy is in read-only mode (no writable server)", result.error
    assert "outcome=not_executed" in result.error["D"], result.error


def read_only_mode(bench):
    """Begins when writes have waited for hold_timeout, refuses them with R01 in and out of transactions, is truthful, and ends
    by itself when the primary is back."""
    with two_nodes(bench, "readonly", TABLE) as (primary, standby), \
            before(bench, primary, standby, pool={"hold_timeout": "1s"}) as proxy, proxy.connect(DATABASE) as client, \
            proxy.connect(DATABASE) as waiter:
        assert client.value("show transaction_read_only") == "off"
        primary.stop(signal.SIGQUIT)
        result = waiter.query("insert into t values (1)", 20)    # its own time may be up a moment before the mode changes
        assert result.sqlstate in ("57P03", "25006") and result.status == "I", result.error
        eventually(lambda: mode(proxy) == "read_only", "writes wait no more")
        assert proxy.http("/readyz")[0] == 200
        held = holds(proxy)
        _refused(client.query("insert into t values (1)"), "INSERT", "I")
        assert holds(proxy) == held                              # nobody waits for what cannot come
        assert client.value("select count(*) from t") == "0"
        assert client.value("show transaction_read_only") == "on"
        assert client.value("show in_hot_standby") == "on"
        assert client.query("begin").status == "T"
        assert client.value("select pg_is_in_recovery()") == "t"
        assert client.value("show transaction_read_only") == "on"
        _refused(client.query("insert into t values (1)"), "INSERT", "E")
        assert client.query("select 1").sqlstate == "25P02"
        assert client.query("rollback").status == "I"
        client.send(msg.parse("", "update t set id = 2") + msg.bind("", "") + msg.execute("") + msg.sync())
        _refused(client.read_result(), "UPDATE", "I")
        with proxy.connect(DATABASE) as newcomer:
            assert newcomer.value("select 1") == "1"
            _refused(newcomer.query("delete from t"), "DELETE", "I")
        primary.start()
        eventually(lambda: mode(proxy) == "normal", "the primary is back")
        assert client.value("show transaction_read_only") == "off"
        assert client.query("insert into t values (2)").tags == ["INSERT 0 1"]
        assert primary.sql("select id from t", DATABASE) == [["2"]]


def a_standby_that_lags_serves_no_reads(bench):
    """read_only.max_lag_bytes: reads wait until it has caught up, rather than show what is too old (T14)."""
    with two_nodes(bench, "lagging", TABLE) as (primary, standby), \
            before(bench, primary, standby, read_only={"max_lag_bytes": "64KiB"}) as proxy, ThreadPoolExecutor(1) as threads, \
            proxy.connect(DATABASE) as reader:
        standby.sql("select pg_wal_replay_pause()")
        primary.sql("create table big as select repeat('x', 1000) as pad from generate_series(1, 1000)", DATABASE)
        primary.sql("insert into t values (7)", DATABASE)
        eventually(lambda: backends(proxy)[standby.port]["lag_seconds"] != 0, "the lag is seen")
        primary.stop()
        eventually(lambda: mode(proxy) == "holding", "the primary is lost")
        answer = threads.submit(reader.query, "select id from t", 40)
        eventually(lambda: waiting(proxy) == 1, "the read waits")
        time.sleep(0.3)
        assert not answer.done()
        standby.sql("select pg_wal_replay_resume()")
        assert answer.result(40).rows == [["7"]]


def nobody_misses_his_own_write(bench):
    """D28: a standby within the limits serves who has written nothing; who wrote what it has not replayed waits."""
    with two_nodes(bench, "causal", TABLE) as (primary, standby), before(bench, primary, standby) as proxy, \
            ThreadPoolExecutor(1) as threads, proxy.connect(DATABASE) as writer, proxy.connect(DATABASE) as reader:
        assert reader.value("select count(*) from t") == "0"
        eventually(lambda: backends(proxy)[standby.port]["lag_seconds"] == 0, "the standby has it all")
        standby.sql("select pg_wal_replay_pause()")
        assert writer.query("insert into t values (1)").tags == ["INSERT 0 1"]
        eventually(lambda: backends(proxy)[standby.port]["lag_seconds"] != 0, "the lag is seen")
        primary.stop()
        eventually(lambda: mode(proxy) == "holding", "the primary is lost")
        answer = threads.submit(writer.query, "select count(*) from t", 40)
        assert reader.value("select count(*) from t") == "0"     # older, and nothing that it knows of is missing
        eventually(lambda: waiting(proxy) == 1, "who wrote waits")
        standby.sql("select pg_wal_replay_resume()")
        assert answer.result(40).value() == "1"


def a_pool_of_standbys_serves_whatever_is_switched_off(bench):
    """D1: without its own ideas the proxy is a plain pooler, and the server says itself what it does not do."""
    off = {"enabled": False}
    with two_nodes(bench, "only", TABLE) as (_, standby):
        for switches in ({"read_only": off}, {"recovery": off},
                         {"recovery": off, "breaker": off, "read_only": off, "replay": off, "guard": off}):
            with bench.proxy_with(base_config(standby, **switches)) as proxy, proxy.connect(DATABASE) as client:
                def own_words():
                    return client.query("insert into t values (1)").error["M"] == "cannot execute INSERT in a read-only transaction"
                eventually(own_words, "what kind of pool it is has come round")
                for _ in range(2):
                    assert client.value("select count(*) from t") == "0"
                    assert own_words()
                assert [client.query(text).status for text in ("begin", "select 1", "commit")] == ["T", "T", "I"]


def a_black_holed_primary(bench):
    """F12: nothing passes and nothing is refused. Within seconds reads go on, also the one under way, and a write that was sent
    is told that nobody knows (T5); those that come later wait, and are sent once when the way is open again."""
    with two_nodes(bench, "hole", TABLE) as (primary, standby), Gate(primary.address) as gate, \
            before(bench, primary, standby, ports=(standby.port, gate.port)) as proxy, ThreadPoolExecutor(2) as threads, \
            proxy.connect(DATABASE) as reader, proxy.connect(DATABASE) as slow, proxy.connect(DATABASE) as writer:
        for client in (reader, slow, writer):
            client.send(msg.query("select pg_sleep(0.5)"))
        for client in (reader, slow, writer):                    # now there is a server for each of them
            assert client.read_result().error is None
        assert reader.value("show port") == str(primary.port)
        under_way = threads.submit(slow.query, "select count(*), pg_sleep(1.5) from t", 40)
        eventually(lambda: primary.sql("select 1 from pg_stat_activity where query like '%pg_sleep(1.5)%' and state = 'active' "
                                       "and pid <> pg_backend_pid()"), "a read is under way")
        gate.blackhole()
        fell = time.monotonic()
        into_the_hole = threads.submit(writer.query, "insert into t values (1)", 40)
        assert reader.query("show port", 20).value() == str(standby.port)
        took = time.monotonic() - fell
        assert took < 15, took                                   # far below hold_timeout
        assert under_way.result(20).rows == [["0", ""]]
        assert mode(proxy) == "holding" and backends(proxy)[gate.port]["reachable"] is False
        unknown = into_the_hole.result(20)
        assert unknown.sqlstate == "40003" and unknown.status == "I", unknown.error
        later = threads.submit(writer.query, "insert into t values (2)", 40)
        eventually(lambda: waiting(proxy) == 1, "the next write waits")
        time.sleep(0.3)
        assert not later.done()
        gate.heal()
        assert later.result(30).tags == ["INSERT 0 1"]
        assert primary.sql("select count(*) from t where id = 2", DATABASE) == [["1"]]
        eventually(lambda: mode(proxy) == "normal", "the way is open again")
        assert reader.value("show port") == str(primary.port)


CASES = [read_only_mode, a_standby_that_lags_serves_no_reads, nobody_misses_his_own_write,
         a_pool_of_standbys_serves_whatever_is_switched_off, a_black_holed_primary]
