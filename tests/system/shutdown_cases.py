"""Drain: open transactions end in peace, everybody hears 57P01, the exit code is 0 (P62, R15)."""

import signal

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.deadline import eventually
from lib.wire_client import Closed, ServerError, WireClient


def _last_error(client):
    frames, _ = client.read_to_end()
    errors = [msg.error_fields(frame.body) for frame in frames if frame.type == "E"]
    assert errors, f"closed without a word: {frames}"
    assert (errors[-1]["C"], errors[-1]["S"]) == ("57P01", "FATAL"), errors
    return errors[-1]


def idle_clients_hear_57p01(bench):
    for number in (signal.SIGTERM, signal.SIGINT):
        with bench.proxy() as proxy:
            clients = [proxy.connect(DATABASE) for _ in range(5)]
            clients[0].query("select 1")
            proxy.signal(number)
            for client in clients:
                _last_error(client)
            assert proxy.wait() == 0
            eventually(lambda: not bench.server_pids(), "no server connection stays")


def open_transactions_finish(bench):
    with bench.proxy(shutdown={"drain_timeout": "20s"}) as proxy, \
            proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as idle:
        client.query("begin; insert into t values (1)")
        proxy.signal(signal.SIGTERM)
        _last_error(idle)
        assert proxy.process.poll() is None
        _assert_no_new_client(proxy)
        client.query("insert into t values (2)")
        assert client.query("commit").tags == ["COMMIT"]
        _last_error(client)
        assert proxy.wait() == 0
        assert bench.sql("select count(*) from t") == [["2"]]


def _assert_no_new_client(proxy):
    try:
        client = WireClient(proxy.address)
    except OSError:
        return
    with client:
        try:
            client.login("app", DATABASE, "x")
            raise AssertionError("a draining proxy took a new client")
        except ServerError as refusal:
            assert refusal.sqlstate == "57P01", refusal.fields
        except Closed:
            pass


def running_statements_finish(bench):
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.send(msg.query("select 'finished', pg_sleep(0.5) /* drained */"))
        bench.wait_running("/* drained */")
        proxy.signal(signal.SIGTERM)
        result = client.read_result()
        assert result.rows and result.rows[0][0] == "finished", result.error
        _last_error(client)
        assert proxy.wait() == 0


def waiting_clients_are_answered(bench):
    """A client in the queue either gets its turn or hears 57P01."""
    with bench.proxy(pool=ONE_SERVER) as proxy, \
            proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as waiter:
        owner.query("begin")
        waiter.send(msg.query("insert into t values (7)"))
        proxy.signal(signal.SIGTERM)
        owner.query("commit")
        _last_error(owner)
        frames, _ = waiter.read_to_end()
        assert frames and frames[-1].type == "E", frames
        assert msg.error_fields(frames[-1].body)["C"] == "57P01"
        assert proxy.wait() == 0


def drain_timeout_ends_it(bench):
    """A transaction that outlives drain_timeout is rolled back and told so."""
    with bench.proxy(shutdown={"drain_timeout": "300ms"}) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin; insert into t values (1)")
        proxy.signal(signal.SIGTERM)
        _last_error(client)
        assert proxy.wait() == 0
        assert bench.sql("select count(*) from t") == [["0"]]


def second_signal_ends_at_once(bench):
    proxy = bench.proxy(shutdown={"drain_timeout": "1h"}).start()
    with proxy.connect(DATABASE) as client:
        client.query("begin; insert into t values (1)")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: proxy.http("/readyz")[0] == 503, "the drain has begun")
        proxy.signal(signal.SIGTERM)
        proxy.wait(10)
    proxy.assert_clean_log()
    eventually(lambda: bench.sql("select count(*) from t") == [["0"]], "the transaction is rolled back")


def admin_stays_reachable(bench):
    """P62, D8: /readyz says 503 while draining, /healthz stays 200."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        assert proxy.http("/readyz")[0] == 200
        client.query("begin")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: proxy.http("/readyz")[0] == 503, "not ready any more")
        assert proxy.http("/healthz")[0] == 200
        client.query("commit")
        assert proxy.wait() == 0


CASES = [idle_clients_hear_57p01, open_transactions_finish, running_statements_finish, waiting_clients_are_answered,
         drain_timeout_ends_it, second_signal_ends_at_once, admin_stays_reachable]
