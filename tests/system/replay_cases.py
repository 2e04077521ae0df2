"""Transactions that are given to another server when theirs is lost (recovery.md 2.5), with a real PostgreSQL behind."""

import os
import signal
import threading

from bench import DATABASE, ONE_SERVER
from fence_cases import BY_US_ALONE, gated, pid_of, quickly
from lib import messages as msg
from lib.deadline import eventually
from lib.wire_client import Closed, ServerError, send_cancel
from pair import status

# A COMMIT that is lost on its way is another matter; an answer that differs is the truth.
TOLD = {"08007", "40001"}


def _replays(proxy):
    return status(proxy)["replay"]


def _begin(client):
    assert client.query("begin").tags == ["BEGIN"]
    assert client.query("insert into t values (1)").tags == ["INSERT 0 1"]


def a_silent_client_notices_nothing(bench):
    """E: also its locks are back before it goes on."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        for _ in range(3):
            _begin(client)
            client.query("savepoint s")
            assert client.query("insert into t values (1)").sqlstate == "23505"
            client.query("rollback to s")
            before = _replays(proxy)["replayed"]
            (pid,) = bench.server_pids()
            bench.sql(f"select pg_terminate_backend({pid})")
            eventually(lambda: _replays(proxy)["replayed"] == before + 1, "the transaction is replayed")
            assert client.query("update t set id = 2").tags == ["UPDATE 1"]
            assert client.query("commit").tags == ["COMMIT"]
            assert bench.sql("select id from t") == [["2"]]
            bench.sql("truncate t")
        assert "its transaction was replayed" in proxy.log_text()


def a_statement_in_flight_is_answered(bench):
    """F, on both protocols: what was under way comes last, and once."""
    extended = msg.parse("", "insert into t values (2) returning id, pg_sleep(1)") + msg.bind("", "") + msg.execute("") + msg.sync()
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        for statement in (msg.query("insert into t values (2) returning id, pg_sleep(1)"), extended):
            _begin(client)
            client.send(statement)
            bench.wait_running("returning id, pg_sleep")
            (pid,) = bench.server_pids()
            bench.sql(f"select pg_terminate_backend({pid})")
            result = client.read_result(30)
            assert (result.error, result.tags, result.status) == (None, ["INSERT 0 1"], "T"), result.error
            assert client.query("commit").tags == ["COMMIT"]
            assert bench.sql("select id from t order by id") == [["1"], ["2"]]
            bench.sql("truncate t")


def a_replay_that_is_cut_as_it_begins(bench):
    """D24: of its BEGIN no answer had come, so no transaction was known to be open there: its end is waited for all the same."""
    with gated(bench, fence=BY_US_ALONE) as (gate, proxy), proxy.connect(DATABASE) as client:
        client.query("begin; select pg_sleep(1) /* again */")
        client.query("insert into t values (1)")
        gate.rst()
        for _ in range(2):
            pid = pid_of(bench, "/* again */")
            gate.rst()
            eventually(lambda: pid not in bench.server_pids(), "the lost server process is gone")
        assert quickly(lambda: client.query("commit"), "the replay", 10).tags == ["COMMIT"]
        assert bench.sql("select id from t") == [["1"]]


def a_large_result_is_continued(bench):
    """2.3: rows that were delivered are not delivered again, none is missing."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        _begin(client)
        client.send(msg.query("select n, repeat('x', 500) from generate_series(1, 60000) as n"))
        eventually(lambda: bench.running("repeat"), "it waits for its reader")
        (pid,) = bench.server_pids()
        bench.sql(f"select pg_terminate_backend({pid})")
        result = client.read_result(60)
        assert result.error is None, result.error
        assert [row[0] for row in result.rows] == [str(n) for n in range(1, 60001)]
        assert client.query("commit").tags == ["COMMIT"]
        eventually(lambda: _replays(proxy)["resume_continued"] == 1, "it is counted")


def other_answers_are_told(bench):
    """R05: the client stays, in a failed transaction."""
    bench.sql("insert into t values (1)")
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        assert client.value("select count(*) from t") == "1"
        bench.sql("insert into t values (2)")
        (pid,) = bench.server_pids()
        bench.sql(f"select pg_terminate_backend({pid})")
        eventually(lambda: _replays(proxy)["different"] == 1, "the difference is seen")
        result = client.query("select 1")
        assert (result.sqlstate, result.status) == ("40001", "E"), result.error
        assert "different results at statement 2" in result.error["M"]
        assert client.query("rollback").tags == ["ROLLBACK"]
        assert client.value("select count(*) from t") == "2"


def an_obstacle_is_named(bench):
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        for statement, why in (("select lo_creat(-1)", "large objects"), ("set pgsteady.replay = off", "replay is off")):
            client.query("begin")
            assert client.query(statement).error is None
            (pid,) = bench.server_pids()
            bench.sql(f"select pg_terminate_backend({pid})")
            eventually(lambda: pid not in bench.server_pids(), "the server process is gone")
            result = client.query("select 1")
            assert (result.sqlstate, result.status) == ("40001", "E") and why in result.error["M"], result.error
            client.query("rollback")


class Transfers:
    """Clients that move money, each transaction in four round trips."""

    def __init__(self, proxy, clients=4):
        self.answers, self.told, self.problems = 0, 0, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(proxy, n)) for n in range(clients)]

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for each in self._threads:
            each.join(60)

    def _run(self, proxy, number):
        try:
            with proxy.connect(DATABASE) as client:
                while not self._stop.is_set():
                    self._transfer(client, number)
        except (ServerError, Closed, OSError, AssertionError, TimeoutError) as problem:
            self.problems.append(repr(problem))

    def _transfer(self, client, number):
        # Always in the same order: no deadlocks.
        for text in ("begin", f"update bank set money = money - 1 where id = {number}",
                     "update bank set money = money + 1 where id = 99", "commit"):
            result = client.query(text, 60)
            if result.sqlstate in TOLD:
                self.told += 1
                if result.status != "I":
                    client.query("rollback", 60)
                return
            if result.error:
                raise ServerError(result.error)
        self.answers += 1

    def go_on(self):
        seen = self.answers
        eventually(lambda: self.problems or self.answers > seen + 40, "transfers go on", 60)
        assert not self.problems, self.problems


def _crash(bench):
    (pid, *_rest) = bench.server_pids()
    os.kill(int(pid), signal.SIGKILL)


def transfers_survive_outages(bench):
    """I4: terminated, killed, restarted fast and at once: the sum stays, nobody is sent away, and almost nobody is told."""
    bench.sql("create table bank (id int primary key, money int); grant all on bank to app; "
              "insert into bank select n, 1000 from generate_series(0, 99) as n")
    try:
        with bench.proxy(pool={"size": 4}) as proxy, Transfers(proxy) as load:
            load.go_on()
            for outage in (lambda: bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'"),
                           lambda: _crash(bench), bench.cluster.restart, lambda: bench.cluster.restart(signal.SIGQUIT)):
                outage()
                load.go_on()
            replays = _replays(proxy)
        assert not load.problems, load.problems
        assert replays["replayed"] > 0 and replays["different"] == 0 and replays["failed"] == 0 and replays["refused"] == 0, replays
        assert load.told <= 16, load.told                        # COMMITs that were under way
        assert bench.sql("select sum(money) from bank") == [["100000"]]
    finally:
        bench.sql("drop table bank")


def an_outage_longer_than_a_fence_waits(bench):
    """D24: the host comes back after fence.timeout, and then what it was doing is known to have ended."""
    with bench.proxy(pool=ONE_SERVER, fence={"timeout": "500ms"}) as proxy, proxy.connect(DATABASE) as client:
        _begin(client)
        (pid,) = bench.server_pids()
        os.kill(int(pid), signal.SIGSTOP)           # so that it does not take its leave
        os.kill(bench.cluster.pid, signal.SIGKILL)
        os.kill(int(pid), signal.SIGKILL)
        bench.cluster.stop()
        eventually(lambda: "fence unreachable" in proxy.log_text(), "the fence has given up", 20)
        bench.cluster.start()
        assert client.query("update t set id = 2").tags == ["UPDATE 1"]
        assert client.query("commit").tags == ["COMMIT"]
        assert bench.sql("select id from t") == [["2"]]


def new_work_waits_for_replays(bench):
    """D30: locks first, then what was under way, then what came while nobody could be served."""
    bench.sql("create table held (id int primary key, seen int); grant all on held to app; insert into held select n, 0 from generate_series(1, 3) as n")
    try:
        # Longer than a step takes; it ends one in which a transaction outlived another whose rows it then got (a fast shutdown).
        with bench.proxy(pool={"size": 8}, replay={"barrier": "3s"}) as proxy, \
                proxy.connect(DATABASE) as first, proxy.connect(DATABASE) as second, proxy.connect(DATABASE) as new:
            for outage in range(1, 4):
                for client, row in ((first, 1), (second, 2)):
                    client.query("begin")
                    client.query(f"select seen from held where id = {row} for update")
                    client.query(f"update held set seen = seen + 1 where id = {row}")
                first.send(msg.query("update held set seen = seen + 10 where id = 2"))     # waits for the second one
                eventually(lambda: bench.sql("select count(*) from pg_locks where not granted") == [["1"]], "it waits", 30)
                bench.cluster.stop(signal.SIGINT)
                new.send(msg.query("update held set seen = seen + 100 where id in (1, 2)"))
                bench.cluster.start()
                result = second.query("select seen from held where id = 2", 60)
                assert result.error is None, result.error
                assert second.query("commit", 60).tags == ["COMMIT"]
                result = first.read_result(60)
                assert (result.error, result.tags, result.status) == (None, ["UPDATE 1"], "T"), result.error
                assert first.query("commit", 60).tags == ["COMMIT"]
                result = new.read_result(60)
                assert (result.error, result.tags) == (None, ["UPDATE 2"]), result.error
                assert bench.sql("select seen from held order by id") == [[str(101 * outage)], [str(111 * outage)], ["0"]]
            found = _replays(proxy)
            # More than six: a server that was still there when the first ended may take a replay, and end as well.
            assert found["replayed"] >= 6 and (found["different"], found["failed"]) == (0, 0), found
            assert found["barrier_completed"] + found["barrier_expired"] >= 3, found
    finally:
        bench.sql("drop table held")


def a_barrier_does_not_hold_for_ever(bench):
    """D30: what is under way takes long; new work comes in all the same, and nothing of it is lost."""
    with bench.proxy(pool={"size": 8}, replay={"barrier": "200ms"}) as proxy, \
            proxy.connect(DATABASE) as slow, proxy.connect(DATABASE) as other, proxy.connect(DATABASE) as new:
        for client in (slow, other):
            client.query("begin")
            client.query("select 1")
        slow.send(msg.query("select pg_sleep(20)"))
        bench.wait_running("pg_sleep(20)")
        bench.cluster.stop(signal.SIGINT)
        new.send(msg.query("insert into t values (1)"))
        bench.cluster.start()
        assert new.read_result(15).tags == ["INSERT 0 1"]                       # sooner than the slow one
        assert other.query("commit").tags == ["COMMIT"]
        eventually(lambda: _replays(proxy)["barrier_expired"] == 1, "it was opened by time", 30)
        bench.sql("truncate t")


def _open_behind(bench, text):
    """The pid of app's session whose client is silent in a transaction, behind a statement like this."""
    found = []

    def look():
        found[:] = bench.sql(f"select pid from pg_stat_activity where usename = 'app' and state = 'idle in transaction' and query like '%{text}%'")
        return len(found) == 1
    eventually(look, f"one transaction is open behind {text}")
    return found[0][0]


# Ends the first session; as soon as the second, which waited for its lock, has been answered, that one, too.
# A replay may have the row before the one that has waited for it, who then waits on: there is no more to wait for.
ONE_AFTER_THE_OTHER = """do $$ declare patience timestamptz = clock_timestamp() + interval '2 s'; begin
    perform pg_terminate_backend({0});
    while clock_timestamp() < patience
            and exists (select from pg_stat_activity where pid = {1} and state = 'active') loop
        perform pg_stat_clear_snapshot();
    end loop;
    perform pg_terminate_backend({1});
end $$"""


def locks_that_dying_servers_pass_on(bench):
    """D30: whose server ends a moment later was never told of rows that another one had lost: both are replayed."""
    bench.sql("insert into t values (1), (2)")
    # The longer the barrier, the longer an answer is held: a machine that is busy has time enough. Two workers may hear of the
    # two ends the other way round.
    with bench.proxy(pool={"size": 2, "max_overflow": 0}, replay={"barrier": "30s"}, workers=1) as proxy, \
            proxy.connect(DATABASE) as first, proxy.connect(DATABASE) as second:
        first.query("begin")
        second.query("begin")
        assert first.value("select id from t where id = 1 for update") == "1"
        second.send(msg.query("select count(*) from (select from t where id <= 2 for update) as locked"))
        bench.sql(ONE_AFTER_THE_OTHER.format(_open_behind(bench, "for update"), pid_of(bench, "as locked")))
        assert first.query("update t set id = 3 where id = 1", 20).tags == ["UPDATE 1"]
        assert first.query("commit", 20).tags == ["COMMIT"]
        result = second.read_result(20)
        assert (result.error, result.rows) == (None, [["1"]]), (result.error, result.rows)
        assert second.query("commit").tags == ["COMMIT"]
        assert _replays(proxy)["different"] == 0


def rows_that_others_got_meanwhile(bench):
    """D30: one server ends; whoever waited for its rows gives way to the replay, unheard, and comes behind it."""
    bench.sql("create table held (id int primary key, seen int); grant all on held to app; insert into held select n, 0 from generate_series(1, 2) as n")
    locks, adds = "select seen from held where id = 1 for update", "update held set seen = seen + 1 where id = 1"
    try:
        with bench.proxy(pool={"size": 6}) as proxy, proxy.connect(DATABASE) as first, \
                proxy.connect(DATABASE) as second, proxy.connect(DATABASE) as third:
            for run in range(1, 4):
                found = _replays(proxy)
                for client in (first, second, third):
                    client.query("begin")
                second.query("select seen from held where id = 2 for update")            # which it has to have again, too
                assert first.value(locks) == str(3 * (run - 1))
                holder = _open_behind(bench, "id = 1 for update")
                for client in (second, third):
                    client.send(msg.query(locks))
                eventually(lambda: bench.sql("select count(*) from pg_locks where not granted") == [["2"]], "they wait", 30)
                bench.sql(f"select pg_terminate_backend({holder})")
                eventually(lambda: _replays(proxy)["replayed"] > found["replayed"], "the first has its row again", 30)
                assert first.query(adds, 20).tags == ["UPDATE 1"]
                assert first.query("commit", 20).tags == ["COMMIT"]
                waiting = [second, third]
                while waiting:                                                          # in whatever order
                    answered = [client for client in waiting if not client.is_silent()]
                    for client in answered:
                        result = client.read_result(20)
                        assert result.error is None, result.error
                        assert client.query(adds, 20).tags == ["UPDATE 1"]
                        assert client.query("commit", 20).tags == ["COMMIT"]
                        waiting.remove(client)
                assert bench.sql("select seen from held where id = 1") == [[str(3 * run)]]
            found = _replays(proxy)
            assert (found["different"], found["failed"]) == (0, 0), found
            assert found["gave_way"] > 0 and "gives way" in proxy.log_text()
    finally:
        bench.sql("drop table held")


def a_cancel_ends_the_wait_for_others(bench):
    """R14, D30: what waits at the barrier is cancelled at once, and its transaction has failed."""
    bench.sql("create table held (id int); insert into held values (1); grant all on held to app")
    try:
        with bench.proxy(pool={"size": 8}, replay={"barrier": "30s"}) as proxy, bench.cluster.superuser(DATABASE) as outsider, \
                proxy.connect(DATABASE) as slow, proxy.connect(DATABASE) as other:
            slow.query("begin")
            slow.query("select id from held where id = 1 for update")
            other.query("begin")
            other.query("insert into t values (2)")
            holder, victim = _open_behind(bench, "for update"), _open_behind(bench, "insert into t")
            # Of those who wait for a table the first has its lock as soon as it is free; a row would be whoever's comes first.
            outsider.send(msg.query("begin; lock table held in exclusive mode /* outsider */"))
            bench.wait_running("/* outsider */")
            bench.sql(f"select pg_terminate_backend({holder})")
            outsider.read_result()
            eventually(lambda: bench.running("for update") == 1, "a replay waits for the table")
            bench.sql(f"select pg_terminate_backend({victim})")
            eventually(lambda: _replays(proxy)["replayed"] == 1, "the other one is replayed")
            other.send(msg.query("insert into t values (3)"))
            assert other.is_silent()
            send_cancel(proxy.address, other.pid, other.key)
            result = other.read_result(20)
            assert (result.sqlstate, result.status) == ("57014", "E"), result.error
            assert other.query("rollback").tags == ["ROLLBACK"]
            outsider.query("rollback")
            assert slow.query("commit", 20).tags == ["COMMIT"]
        assert bench.sql("select id from t") == []
    finally:
        bench.sql("drop table held")


CASES = [an_outage_longer_than_a_fence_waits, a_silent_client_notices_nothing, a_statement_in_flight_is_answered, a_replay_that_is_cut_as_it_begins,
         a_large_result_is_continued, other_answers_are_told,
         an_obstacle_is_named, transfers_survive_outages, new_work_waits_for_replays, a_barrier_does_not_hold_for_ever,
         locks_that_dying_servers_pass_on, rows_that_others_got_meanwhile, a_cancel_ends_the_wait_for_others]
