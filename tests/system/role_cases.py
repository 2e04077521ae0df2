"""A primary that refuses to write: the role's own setting, or a primary no more (D21, recovery.md 2.9)."""

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.deadline import eventually
from monitor_cases import pair, status

INSERT = "insert into written values (1)"


def _timed(client, text):
    began = time.monotonic()
    result = client.query(text)
    return result, time.monotonic() - began


def a_setting_of_its_own_is_no_change_of_roles(bench):
    """The server's words, within one probe; the next one does not wait; nothing is moved or held."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        assert client.query("insert into t values (1)").error is None
        bench.cluster.configure(default_transaction_read_only="on")
        try:
            eventually(lambda: bench.sql("show default_transaction_read_only") == [["on"]], "it is in force")
            for _ in range(5):
                result, took = _timed(client, "insert into t values (2)")
                assert (result.sqlstate, result.status) == ("25006", "I"), result.error
                assert "in a read-only transaction" in result.error["M"], result.error
                assert took < 10, took                           # far below hold_timeout
            client.query("begin")
            assert client.query("insert into t values (2)").sqlstate == "25006"
            assert client.query("commit").tags == ["ROLLBACK"]
            assert status(proxy)["mode"] == "normal"
        finally:
            bench.cluster.configure(default_transaction_read_only=None)
        eventually(lambda: client.query("insert into t values (2)").error is None, "it may write again")
        assert "primary_lost" not in proxy.log_text(), proxy.log_tail()


@contextlib.contextmanager
def demotion(bench, name):
    """A primary that refuses to write, whose monitor session is frozen, so that the news of its end come later. Yields the
    proxy, and a function that ends it, promotes the standby, and returns that."""
    with pair(bench, name, monitor={"timeout": "10s"}, retry={"budget_reserve": 0, "budget": 0}) as (primary, standby, proxy):
        primary.sql("create table written (id int); grant all on written to app", DATABASE)
        frozen = []

        def freeze():
            primary.configure(default_transaction_read_only="on")
            eventually(lambda: primary.sql("show default_transaction_read_only") == [["on"]], "it is in force")
            frozen.extend(int(row[0]) for row in primary.sql("select pid from pg_stat_activity where usename = 'watcher'"))
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)

        def fail_over():
            os.kill(primary.pid, signal.SIGQUIT)
            eventually(lambda: all(_is_told_to_end(pid) for pid in frozen), "its sessions are told to end")
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            primary.stop(signal.SIGQUIT)
            standby.promote()
            return standby
        yield proxy, freeze, fail_over


def _is_told_to_end(pid):
    """SIGQUIT is pending, or it has ended."""
    try:
        with open(f"/proc/{pid}/status") as file:
            pending = [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd", "ShdPnd"))]
    except FileNotFoundError:
        return True
    return any(mask >> (signal.SIGQUIT - 1) & 1 for mask in pending)


def what_a_former_primary_refused_goes_to_the_new_one(bench):
    """T29: the client sees a pause. Without any retry budget: what was refused is as good as not sent."""
    with demotion(bench, "demoted") as (proxy, freeze, fail_over), proxy.connect(DATABASE) as client, \
            ThreadPoolExecutor(1) as threads:
        assert client.query(INSERT).error is None
        freeze()
        answer = threads.submit(client.query, INSERT, 40)
        time.sleep(0.3)
        assert not answer.done(), answer.result()
        standby = fail_over()
        assert answer.result(40).tags == ["INSERT 0 1"], answer.result().error
        assert client.value("show port") == str(standby.port)
        assert standby.sql("select count(*) from written", DATABASE) == [["2"]]


def a_transaction_has_to_begin_anew(bench):
    """R17: 40001 instead of 25006, for which applications have a loop."""
    with demotion(bench, "demoted_block") as (proxy, freeze, fail_over), proxy.connect(DATABASE) as client, \
            ThreadPoolExecutor(1) as threads:
        assert client.query(INSERT).error is None
        freeze()
        assert client.query("begin").error is None
        answer = threads.submit(client.query, INSERT, 40)
        time.sleep(0.3)
        assert not answer.done(), answer.result()
        standby = fail_over()
        result = answer.result(40)
        assert (result.sqlstate, result.status) == ("40001", "E"), result.error
        assert "outcome=rolled_back" in result.error["D"], result.error
        assert client.query("rollback", 40).status == "I"
        assert client.query(INSERT, 40).error is None
        assert standby.sql("select count(*) from written", DATABASE) == [["2"]]


def pipelined_requests_keep_their_order(bench):
    """What follows the refused request in a pipeline has its own answer, in its turn."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        bench.cluster.configure(default_transaction_read_only="on")
        try:
            eventually(lambda: bench.sql("show default_transaction_read_only") == [["on"]], "it is in force")
            client.send(msg.query("insert into t values (1)") + msg.query("select 'second'"))
            assert client.read_result().sqlstate == "25006"
            assert client.read_result().value() == "second"
        finally:
            bench.cluster.configure(default_transaction_read_only=None)


CASES = [a_setting_of_its_own_is_no_change_of_roles, what_a_former_primary_refused_goes_to_the_new_one,
         a_transaction_has_to_begin_anew, pipelined_requests_keep_their_order]
