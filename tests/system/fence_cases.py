"""What a lost connection was doing on its server comes to an end (recovery.md 2.8; D24, T5 to T7)."""

import contextlib
import json
import sys
import threading
import time
from pathlib import Path

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.deadline import eventually
from lib.wire_client import send_cancel

sys.path.append(str(Path(__file__).resolve().parent.parent / "chaos"))
from gate import Gate                                                 # noqa: E402

# Only what the proxy does counts here, not what a server of PostgreSQL 14 or later finds out by itself.
BY_US_ALONE = {"connection_check": 0}


@contextlib.contextmanager
def gated(bench, **sections):
    """A proxy whose way to PostgreSQL can be cut; its monitor goes the same way."""
    with Gate(bench.cluster.address) as gate:
        hosts = {"hosts": [f"127.0.0.1:{gate.port}"]}
        with bench.proxy(**{"pool": {"size": 2}, "backends": hosts, **sections}) as proxy:
            yield gate, proxy


def fences(proxy):
    """How many fences had which outcome."""
    counts = json.loads(proxy.http("/api/database-recovery/status")[2])["fences"]
    return {name: count for name, count in counts.items() if count}


def pid_of(bench, text):
    bench.wait_running(text)
    return bench.sql(f"select pid from pg_stat_activity where state = 'active' and query like '%{text}%' "
                     "and pid <> pg_backend_pid()")[0][0]


def is_there(bench, pid):
    return bench.sql(f"select count(*) from pg_stat_activity where pid = {pid}") == [["1"]]


def quickly(function, what, seconds=10.0):
    began = time.monotonic()
    result = function()
    took = time.monotonic() - began
    assert took < seconds, f"{what} took {took:.2f} s"
    return result


def a_read_is_cancelled(bench):
    """A proven read needs no more than that; it goes on elsewhere meanwhile."""
    with gated(bench, fence=BY_US_ALONE) as (gate, proxy), proxy.connect(DATABASE) as client:
        client.send(msg.query("select pg_sleep(30) /* cut */"))
        pid = pid_of(bench, "/* cut */")
        gate.rst()
        quickly(lambda: eventually(lambda: not is_there(bench, pid), "the lost server process is gone"), "its end")
        other = pid_of(bench, "/* cut */")
        assert other != pid, "it was not sent again"
        send_cancel(proxy.address, client.pid, client.key)
        assert client.read_result().sqlstate == "57014"
        eventually(lambda: fences(proxy) == {"cancelled": 1}, "it is counted")


def a_statement_that_writes_is_terminated(bench):
    """T5, T6: the client is told at once, and its next attempt does not wait for the locks of the lost one."""
    bench.sql("insert into t values (1)")
    with gated(bench, fence=BY_US_ALONE) as (gate, proxy), proxy.connect(DATABASE) as client:
        client.send(msg.query("update t set id = id + 1 where id = 1 and pg_sleep(30) is not null /* cut */"))
        pid = pid_of(bench, "/* cut */")
        gate.rst()
        assert quickly(client.read_result, "the client's answer").sqlstate == "40003"
        result = quickly(lambda: client.query("update t set id = id + 10 where id = 1"), "the next attempt")
        assert result.tags == ["UPDATE 1"], result.error
        assert not is_there(bench, pid)
        assert bench.sql("select id from t") == [["11"]]
        eventually(lambda: fences(proxy) == {"confirmed": 1}, "it is counted")
        assert f"what server process {pid} on" in proxy.log_text()


def a_transaction_is_terminated(bench):
    """T6: with the only place in the pool taken by the client that waits for the lock, the cancel must do."""
    bench.sql("insert into t values (1)")
    for size in (1, 2):
        with gated(bench, fence=BY_US_ALONE, pool={"size": size, "max_overflow": 0}, replay={"enabled": False}) as (gate, proxy), \
                proxy.connect(DATABASE) as client:
            client.query("begin")
            client.query("update t set id = id + 1 where id = 1")
            client.send(msg.query("select pg_sleep(30) /* cut */"))
            pid = pid_of(bench, "/* cut */")
            gate.rst()
            assert quickly(client.read_result, "the client's answer").sqlstate == "40001"
            client.query("rollback")
            quickly(lambda: client.query("update t set id = id where id = 1"), "the next attempt")
            eventually(lambda: not is_there(bench, pid), "the lost server process is gone")
            assert bench.sql("select id from t") == [["1"]]
            eventually(lambda: sum(fences(proxy).get(each, 0) for each in ("confirmed", "gone")) == 1, "it is counted")


def a_client_that_became_somebody_else(bench):
    """The role that a client has taken on may not end the pool's processes: the question is asked as the pool's own."""
    bench.sql("insert into t values (1); grant all on t to other")
    with gated(bench, fence=BY_US_ALONE, pool=ONE_SERVER) as (gate, proxy), proxy.connect(DATABASE) as client, \
            proxy.connect(DATABASE) as stranger:
        stranger.query("set role other")
        client.send(msg.query("update t set id = id where pg_sleep(30) is not null /* cut */"))
        pid = pid_of(bench, "/* cut */")
        stranger.send(msg.query("select current_user"))              # waits for the only server, and gets the new one
        gate.rst()
        assert client.read_result().sqlstate == "40003"
        assert stranger.read_result().value() == "other"
        eventually(lambda: not is_there(bench, pid), "the lost server process is gone", 20)
        assert stranger.value("select current_user") == "other"
        eventually(lambda: "denied" not in fences(proxy) and fences(proxy).get("confirmed") == 1, "it is counted")


def who_waits_for_a_standby_is_spared(bench):
    """T7: ending it would make its commit visible before it is anywhere else."""
    bench.cluster.wait_for_nobody()
    try:
        with gated(bench, replay={"guard_autocommit": "off"}) as (gate, proxy), proxy.connect(DATABASE) as client:
            client.send(msg.query("insert into t values (7) /* sync */"))

            def waiting():
                return [row[0] for row in bench.sql("select pid from pg_stat_activity where wait_event = 'SyncRep'")]
            eventually(waiting, "it waits for the standby")
            before = waiting()
            gate.rst()
            assert client.read_result().sqlstate == "40003"
            # Asked about again and again, for longer than any fence takes that ends something.
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                assert waiting() == before, "it was ended"
                assert bench.sql("select count(*) from t") == [["0"]]
                time.sleep(0.05)
            bench.cluster.configure(synchronous_standby_names=None)
            eventually(lambda: bench.sql("select count(*) from t") == [["1"]], "it is committed")
            eventually(lambda: fences(proxy) == {"gone": 1}, "its end is seen")
    finally:
        bench.cluster.configure(synchronous_standby_names=None, synchronous_commit=None)


def a_client_that_vanishes_cuts_no_wait_for_a_standby(bench):
    """T7: what it left behind is not cancelled, as long as that would make its commit visible too early."""
    _vanish_in_a_wait(bench, "insert into t values (8)")
    _vanish_in_a_wait(bench, "begin", "insert into t values (9)", "commit")


def _vanish_in_a_wait(bench, *texts):
    waits = "select pid from pg_stat_activity where wait_event = 'SyncRep'"
    before_it = bench.sql("select count(*) from t")
    bench.cluster.wait_for_nobody()
    try:
        with bench.proxy(pool={"size": 2}) as proxy:
            client = proxy.connect(DATABASE)
            for text in texts[:-1]:
                client.query(text)
            client.send(msg.query(texts[-1]))
            eventually(lambda: bench.sql(waits), "it waits for the standby")
            waiting = bench.sql(waits)
            client.reset()
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                assert bench.sql(waits) == waiting, "it was ended"
                assert bench.sql("select count(*) from t") == before_it
                time.sleep(0.05)
            bench.cluster.configure(synchronous_standby_names=None)
            eventually(lambda: bench.sql("select count(*) from t") != before_it, "it is committed")
            eventually(lambda: sum(fences(proxy).values()) == 1, "its end is seen")
    finally:
        bench.cluster.configure(synchronous_standby_names=None, synchronous_commit=None)


def a_client_that_vanishes_leaves_no_write_running(bench):
    """Its server ends by SQL that looks first, or by a cancel; whoever comes next has a place in the pool, even the only one."""
    for size, text in ((2, "update t set id = id where pg_sleep(30) is not null; select pg_sleep(30) /* left */"),
                       (1, "update t set id = id where pg_sleep(30) is not null; select pg_sleep(30) /* left */"),
                       (1, "select pg_sleep(30) /* left */")):
        with bench.proxy(pool={**ONE_SERVER, "size": size}, fence=BY_US_ALONE) as proxy, proxy.connect(DATABASE) as other:
            client = proxy.connect(DATABASE)
            client.send(msg.query(text))
            pid = pid_of(bench, "/* left */")
            client.reset()
            eventually(lambda: not is_there(bench, pid), "what it left behind has ended", 20)
            assert other.value("select 1") == "1"


def servers_notice_by_themselves(bench):
    """2.7: PostgreSQL 14 and later looks whether we are still there, also if we can do nothing any more."""
    with gated(bench, fence={"enabled": False}) as (gate, proxy), proxy.connect(DATABASE) as client:
        client.send(msg.query("update t set id = id where pg_sleep(30) is not null; select pg_sleep(30) /* cut */"))
        pid = pid_of(bench, "/* cut */")
        gate.rst()
        assert client.read_result().sqlstate == "40003"
        quickly(lambda: eventually(lambda: not is_there(bench, pid), "the lost server process is gone"), "its end")
        assert fences(proxy) == {}


def settings_of_ours_outlive_a_reset(bench):
    """RESET ALL and DISCARD ALL of clients go back to the server's own; ours come back. A client's choice is its own."""
    show = "show client_connection_check_interval"
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as other:
        assert client.value(show) == "1s"
        for reset in ("reset all", "discard all", "reset client_connection_check_interval"):
            client.query(reset)
            eventually(lambda: (other.query("select 1"), other.value(show))[1] == "1s", f"it is back after {reset}")
        client.query("set client_connection_check_interval = '7s'")
        for _ in range(3):
            assert client.value(show) == "7s"
            eventually(lambda: (other.query("select 1"), other.value(show))[1] == "1s", "others have ours")
        assert client.value("show tcp_keepalives_idle") == "5"
    with bench.proxy(pool={**ONE_SERVER, "mode": "session"}) as proxy:
        for _ in range(3):
            with proxy.connect(DATABASE) as client:
                assert client.value(show) == "1s"


def settings_of_ours_come_back_while_everybody_is_busy(bench):
    """Nobody has to be idle for that: at most a second after the last time, and then before the next client is served."""
    show = "show client_connection_check_interval"
    with bench.proxy(pool=ONE_SERVER) as proxy, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy.connect(DATABASE)) for _ in range(4)]
        done = threading.Event()

        def work(client):
            while not done.is_set():
                client.query("select pg_sleep(0.002)")
        threads = [threading.Thread(target=work, args=(client,)) for client in clients[1:]]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                clients[0].query("reset all")
                eventually(lambda: clients[0].value(show) == "1s", "it is back")
        finally:
            done.set()
            for thread in threads:
                thread.join()


def nothing_is_fenced_without_need(bench):
    """Ended by the server itself, by an operator, or by the client's own farewell: there is nothing left to end."""
    with bench.proxy(pool={"size": 2, "mode": "session"}) as proxy:
        with proxy.connect(DATABASE) as client:
            client.query("begin; insert into t values (3)")
        with proxy.connect(DATABASE) as client:
            client.send(msg.query("select pg_sleep(30) /* told */"))
            pid = pid_of(bench, "/* told */")
            bench.sql(f"select pg_terminate_backend({pid})")
            eventually(lambda: not is_there(bench, pid), "it has ended")
            second = pid_of(bench, "/* told */")                       # a read: sent again
            send_cancel(proxy.address, client.pid, client.key)
            assert client.read_result().sqlstate == "57014"
            assert second != pid
        bench.cluster.restart()
        with proxy.connect(DATABASE) as client:
            assert client.value("select 1") == "1"
        assert fences(proxy) == {}, fences(proxy)


CASES = [a_read_is_cancelled, a_statement_that_writes_is_terminated, a_transaction_is_terminated,
         a_client_that_became_somebody_else, who_waits_for_a_standby_is_spared,
         a_client_that_vanishes_cuts_no_wait_for_a_standby, a_client_that_vanishes_leaves_no_write_running,
         servers_notice_by_themselves,
         settings_of_ours_outlive_a_reset, settings_of_ours_come_back_while_everybody_is_busy,
         nothing_is_fenced_without_need]
