"""Results outside of transactions that go on where their server died (recovery.md 2.3), with a real PostgreSQL behind."""

import os
import signal
import time

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.deadline import eventually
from pair import pair, role, status

ROWS = 60000  # 30 MB: more than what sockets hold, so that the server waits for the reader
NUMBERS = f"select n, repeat('x', 500) from generate_series(1, {ROWS}) as n"


def _resumes(proxy, outcome="continued"):
    return status(proxy)["replay"]["resume_" + outcome]


def _expect_one(proxy, outcome="continued"):
    eventually(lambda: _resumes(proxy, outcome) == 1, f"one is counted as {outcome}")


def _server(bench, text):
    """The process that waits for the reader of what it was asked."""
    eventually(lambda: bench.running(text), "it waits for its reader")
    (pid,) = bench.server_pids()
    return int(pid)


def _expect_numbers(result):
    assert result.error is None, result.error
    assert [row[0] for row in result.rows] == [str(n) for n in range(1, ROWS + 1)]
    assert (result.tags, result.status) == ([f"SELECT {ROWS}"], "I"), (result.tags, result.status)


def a_large_result_goes_on_after_a_crash(bench):
    """D: simple and extended protocol, each server process killed with -9."""
    extended = msg.parse("", NUMBERS) + msg.bind("", "") + msg.execute("") + msg.sync()
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        for number, asked in enumerate((msg.query(NUMBERS), extended)):
            client.send(asked)
            os.kill(_server(bench, "repeat"), signal.SIGKILL)
            _expect_numbers(client.read_result(60))
            eventually(lambda: _resumes(proxy) == number + 1, "it is counted")
        assert "goes on" in proxy.log_text()


def a_result_survives_a_restart(bench):
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.send(msg.query(NUMBERS))
        _server(bench, "repeat")
        bench.cluster.restart()
        _expect_numbers(client.read_result(60))
        _expect_one(proxy)


def a_pipeline_keeps_its_answers(bench):
    """Those before are answered already, those behind come behind."""
    asked = [msg.parse("", text) + msg.bind("", "") + msg.execute("") + msg.sync() for text in ("select 'before'", NUMBERS, "select 'behind'")]
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.send(b"".join(asked))
        os.kill(_server(bench, "repeat"), signal.SIGTERM)
        assert client.read_result(30).rows == [["before"]]
        _expect_numbers(client.read_result(60))
        behind = client.read_result(30)
        assert behind.error is None and behind.rows[0][0] == "behind", behind
        _expect_one(proxy)


def copy_to_stdout_goes_on(bench):
    """K: row by row."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.send(msg.query(f"copy ({NUMBERS}) to stdout"))
        os.kill(_server(bench, "repeat"), signal.SIGTERM)
        frames = client.read_until("Z", seconds=60)
        lines = b"".join(frame.body for frame in frames if frame.type == "d").split(b"\n")
        assert [line.split(b"\t")[0] for line in lines[:-1]] == [b"%d" % n for n in range(1, ROWS + 1)]
        assert [frame.type for frame in frames if frame.type != "d"] == list("HcCZ")
        _expect_one(proxy)


def a_slow_small_result_goes_on(bench):
    """What was held for retry.result_hold_time, and then shown."""
    text = "select n, repeat('y', 1000), pg_sleep(0.02) from generate_series(1, 100) as n"
    with bench.proxy(pool=ONE_SERVER, retry={"result_hold_time": "20ms"}) as proxy, proxy.connect(DATABASE) as client:
        client.send(msg.query(text))
        pid = _server(bench, "repeat")
        first = client.read_frame(30)
        assert first.type == "T", first
        os.kill(pid, signal.SIGTERM)
        result = client.read_result(60)
        assert result.error is None, result.error
        assert [row[0] for row in result.rows] == [str(n) for n in range(1, 101)]
        _expect_one(proxy)


def another_result_is_told(bench):
    """R06: the client stays, and is told how much it has."""
    bench.sql(f"create table wide as {NUMBERS}; grant select on wide to app")
    try:
        with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
            client.send(msg.query("select * from wide"))
            pid = _server(bench, "wide")
            bench.sql("update wide set repeat = 'changed' where n = 1")
            os.kill(pid, signal.SIGTERM)
            result = client.read_result(60)
            assert (result.sqlstate, result.status) == ("08006", "I"), result.error
            assert f"after {len(result.rows)} rows" in result.error["M"], (result.error, len(result.rows))
            assert client.value("select 1") == "1"
            _expect_one(proxy, "different")
            assert _resumes(proxy) == 0
    finally:
        bench.sql("drop table wide")


def a_promoted_standby_goes_on(bench):
    """T14: not the standby that it still is, but the primary that it becomes. D24: nobody is left to ask whether what the lost host
    was doing has ended; a replay goes on as soon as it has a successor."""
    with pair(bench, "resumed", fence={"timeout": "60s"}) as (primary, standby, proxy):
        with proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as writer:
            writer.query("begin")
            writer.query("create table made as select 1 as id")
            (found,) = primary.sql("select pid from pg_stat_activity where state = 'idle in transaction'", DATABASE)
            client.send(msg.query(NUMBERS))
            eventually(lambda: primary.sql("select 1 from pg_stat_activity where state = 'active' and query like '%repeat%' "
                                           "and pid <> pg_backend_pid()", DATABASE), "it waits for its reader")
            os.kill(int(found[0]), signal.SIGSTOP)  # so that it does not take its leave
            os.kill(primary.pid, signal.SIGKILL)
            os.kill(int(found[0]), signal.SIGKILL)
            primary.stop()
            time.sleep(0.5)  # as long as it takes to decide; the standby would serve reads at once
            standby.promote()
            _expect_numbers(client.read_result(60))
            assert role(proxy, standby.port) == "primary"
            assert writer.query("insert into made values (2)", 20).tags == ["INSERT 0 1"]
            assert writer.query("commit", 20).tags == ["COMMIT"]
            assert standby.sql("select id from made order by id", DATABASE) == [["1"], ["2"]]
            _expect_one(proxy)


CASES = [a_large_result_goes_on_after_a_crash, a_result_survives_a_restart, a_pipeline_keeps_its_answers, copy_to_stdout_goes_on,
         a_slow_small_result_goes_on, another_result_is_told, a_promoted_standby_goes_on]
