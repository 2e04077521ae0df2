"""Waits, caps and timeouts: who is refused, how, and that everybody else is unharmed (D7, R11, P51)."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

from bench import DATABASE, ONE_SERVER, OTHER_DATABASE
from lib import messages as msg
from lib.deadline import Timeout, eventually
from lib.wire_client import Closed, WireClient


def pool_wait_ends_with_53300(bench):
    """R11: the statement was not executed, the client stays, and its session goes on."""
    with bench.proxy(pool={**ONE_SERVER, "hold_timeout": "200ms"}) as proxy, \
            proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as waiter:
        owner.query("begin")
        result = waiter.query("insert into t values (1)")
        assert (result.sqlstate, result.error["S"], result.status) == ("53300", "ERROR", "I"), result.error
        waiter.send(msg.parse("s1", "select 1") + msg.bind("", "s1") + msg.execute("") + msg.sync())
        frames = waiter.read_until("Z")
        assert [frame.type for frame in frames] == ["E", "Z"], frames
        assert msg.error_fields(frames[0].body)["C"] == "53300"
        owner.query("commit")
        assert waiter.value("select count(*) from t") == "0"


def waiters_are_served_in_order(bench):
    """D41: first come, first served."""
    with bench.proxy(workers=1, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as owner:
        owner.query("begin")
        waiters = []
        for number in range(5):
            client = proxy.connect(DATABASE)
            client.send(msg.query(f"insert into t values ({number}) /* order */; select count(*) from t"))
            waiters.append(client)
            eventually(lambda: _waiting(proxy) == number + 1, f"{number + 1} clients wait")
        owner.query("commit")
        assert [client.read_result().rows[0][0] for client in waiters] == ["1", "2", "3", "4", "5"]


def _waiting(proxy):
    _, _, body = proxy.http("/api/database-recovery/connections")
    return sum(pool["waiting"] for pool in json.loads(body)["pools"])


def _assert_full(proxy, database=DATABASE, **options):
    refusal = proxy.refused(database, **options)
    assert (refusal["C"], refusal["S"]) == ("53300", "FATAL"), refusal


def _assert_free_again(proxy, **options):
    def connects():
        try:
            proxy.connect(DATABASE, **options).close()
            return True
        except Exception:                                        # noqa: not yet
            return False
    eventually(connects, "a place is free again")


def max_clients(bench):
    with bench.proxy(limits={"max_clients": 2}) as proxy, proxy.connect(DATABASE) as first:
        second = proxy.connect(DATABASE)
        _assert_full(proxy)
        second.close()
        _assert_free_again(proxy)
        assert first.value("select 1") == "1"


def max_clients_per_user(bench):
    with bench.proxy(limits={"max_clients_per_user": 1}) as proxy, proxy.connect(DATABASE) as first:
        _assert_full(proxy)
        proxy.connect(DATABASE, user="app_md5").close()
        assert first.value("select 1") == "1"
        first.close()
        _assert_free_again(proxy)


def max_clients_per_database(bench):
    with bench.proxy(limits={"max_clients_per_database": 1}) as proxy, proxy.connect(DATABASE) as first:
        _assert_full(proxy)
        proxy.connect(OTHER_DATABASE).close()
        first.reset()
        _assert_free_again(proxy)


def max_server_connections(bench):
    """The cap on servers holds over pools, and an idle server of one pool gives way to a waiter of another."""
    with bench.proxy(limits={"max_server_connections": 1}, pool={"size": 5}) as proxy, \
            proxy.connect(DATABASE) as first, proxy.connect(OTHER_DATABASE) as second:
        for _ in range(3):
            assert first.value("select 1") == "1"
            assert second.value("select 2") == "2"
            assert len(bench.server_pids()) <= 1


def overflow_goes_when_calm(bench):
    """Extra servers under pressure are closed when idle for overflow_idle_timeout."""
    pool = {"size": 1, "max_overflow": 2, "min_size": 0, "overflow_idle_timeout": "100ms"}
    with bench.proxy(pool=pool) as proxy:
        clients = [proxy.connect(DATABASE) for _ in range(3)]
        for client in clients:
            client.query("begin")
        assert len(bench.server_pids()) == 3
        for client in clients:
            client.query("commit")
        eventually(lambda: len(bench.server_pids()) == 1, "the overflow is closed")


def login_timeout(bench):
    """A connection that says nothing, or half of something, is turned away; others are not kept waiting."""
    with bench.proxy(timeouts={"login": "300ms"}) as proxy, proxy.connect(DATABASE) as client:
        startup = msg.startup({"user": "app", "database": DATABASE})
        for beginning in (b"", startup[:5], startup, msg.ssl_request()):
            with WireClient(proxy.address) as silent:
                silent.send(beginning)
                silent._wait(lambda: silent._ended, 5)
        assert client.value("select 1") == "1"


def max_unauthenticated(bench):
    """Silent connections take no place that a client needs once they are gone, and never one of a session."""
    with bench.proxy(limits={"max_unauthenticated": 3}, timeouts={"login": "20s"}) as proxy, \
            proxy.connect(DATABASE) as client:
        silent = [WireClient(proxy.address) for _ in range(10)]
        assert client.value("select 1") == "1"
        for one in silent:
            one.abandon()
        _assert_free_again(proxy)


def max_message(bench):
    with bench.proxy(limits={"max_message": "1MiB"}) as proxy:
        with proxy.connect(DATABASE) as client:
            assert client.value("select length('" + "x" * 1_000_000 + "')") == "1000000"
            try:
                client.send(msg.query("select length('" + "x" * 1_100_000 + "')"))
            except Closed:
                pass
            frames, _ = client.read_to_end()
            assert msg.error_fields(frames[-1].body)["S"] == "FATAL", frames
        proxy.connect(DATABASE).close()


def statement_timeout(bench):
    with bench.proxy(timeouts={"statement": "200ms"}) as proxy, proxy.connect(DATABASE) as client:
        assert client.query("select pg_sleep(30)").sqlstate == "57014"
        assert client.value("select 1") == "1"


def copy_that_waits_for_a_lock_is_no_dead_server(bench):
    """A server whose window stays closed, because it waits for a lock, still answers the network: it is not given up."""
    bench.sql("create table copied (id int primary key); alter table copied owner to app")
    data = "".join(f"{number}\n" for number in range(1_500_000)).encode()

    def copy(client):
        client.send(msg.query("copy copied from stdin"))
        client.read_until("G")
        for at in range(0, len(data), 60_000):
            client.send(msg.copy_data(data[at:at + 60_000]), 60)
        client.send(msg.copy_done())
        return client.read_result(60)
    try:
        with bench.proxy(connect={"tcp_user_timeout": "500ms"}) as proxy, ThreadPoolExecutor(1) as threads, \
                proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as owner:
            owner.query("begin; insert into copied values (0)")
            answer = threads.submit(copy, client)
            bench.wait_running("copy copied")
            time.sleep(3)  # several times the limit
            owner.query("rollback")
            result = answer.result(90)
            assert result.error is None, result.error
            assert client.value("select count(*) from copied") == "1500000"
    finally:
        bench.sql("drop table copied")


def idle_in_transaction_timeout(bench):
    """Its server's locks are free again; a segment left open counts as well (D17)."""
    with bench.proxy(timeouts={"idle_in_transaction": "200ms"}, pool=ONE_SERVER) as proxy:
        for beginning in (msg.query("begin; insert into t values (1)"),
                          msg.parse("", "insert into t values (1)") + msg.bind("", "") + msg.execute("") + msg.flush()):
            with proxy.connect(DATABASE) as sleeper:
                sleeper.send(beginning)
                frames, _ = sleeper.read_to_end()
                assert msg.error_fields(frames[-1].body)["C"] == "25P03", frames
            with proxy.connect(DATABASE) as other:
                assert other.value("select count(*) from t") == "0"


def transaction_timeout(bench):
    with bench.proxy(timeouts={"transaction": "300ms"}, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        codes = set()
        try:
            while True:
                codes.add(client.query("select 1").sqlstate)
        except (Closed, Timeout):
            pass
        except Exception as problem:                             # noqa: the FATAL that we wait for
            codes.add(problem.sqlstate)
        assert "25P04" in codes, codes


def client_idle_timeout(bench):
    with bench.proxy(timeouts={"client_idle": "200ms"}) as proxy, proxy.connect(DATABASE) as client:
        frames, _ = client.read_to_end()
        assert msg.error_fields(frames[-1].body)["C"] == "57P05", frames


CASES = [pool_wait_ends_with_53300, waiters_are_served_in_order, max_clients, max_clients_per_user,
         max_clients_per_database, max_server_connections, overflow_goes_when_calm, login_timeout,
         max_unauthenticated, max_message, statement_timeout, copy_that_waits_for_a_lock_is_no_dead_server,
         idle_in_transaction_timeout, transaction_timeout, client_idle_timeout]
