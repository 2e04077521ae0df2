"""What an operator orders, with clients at work: pause, hold, switchover; and the end of each releases all who wait."""

import time
from concurrent.futures import ThreadPoolExecutor

from bench import DATABASE, OTHER_DATABASE
from lib import messages as msg
from lib.cluster import BIN
from lib.deadline import eventually
from lib.wire_client import send_cancel
from outage_cases import Loopers
from pair import TOKEN, before, mode, order, pair, status, two_nodes, waiting

PAUSE, RESUME = (f"/api/v1/pools/{DATABASE}%2Fapp/{word}" for word in ("pause", "resume"))


def pause_and_resume(bench):
    """Who is in a transaction ends it, who begins waits and may be cancelled or leave, the neighbour is served; then all are."""
    with bench.proxy(admin={"operate_token": TOKEN}, pool={"size": 4, "hold_timeout": "30s"}) as proxy, \
            ThreadPoolExecutor(8) as threads:
        busy, leaver, quitter = (proxy.connect(DATABASE) for _ in range(3))
        clients = [proxy.connect(DATABASE) for _ in range(6)]
        busy.query("begin; insert into t values (100)")
        order(proxy, "POST", PAUSE)
        texts = ["select 1", "insert into t values (%d)", "begin; insert into t values (1%d); commit"]
        answers = [threads.submit(client.query, texts[i % 3].replace("%d", str(i)), 40) for i, client in enumerate(clients)]
        for client in (leaver, quitter):
            client.send(msg.query("insert into t values (999)"))
        eventually(lambda: waiting(proxy) == 8, "everybody waits")
        send_cancel(proxy.address, quitter.pid, quitter.key)
        assert quitter.read_result().sqlstate == "57014"
        leaver.reset()
        eventually(lambda: waiting(proxy) == 6, "who was cancelled or has left waits no more")
        assert busy.query("insert into t values (101)").tags == ["INSERT 0 1"]
        assert busy.query("commit").tags == ["COMMIT"]
        eventually(lambda: not bench.server_pids(), "a paused pool has no servers")
        with proxy.connect(OTHER_DATABASE) as neighbour:
            assert neighbour.value("select 1") == "1"
        assert not any(answer.done() for answer in answers)
        order(proxy, "POST", RESUME)
        assert [answer.result(40).sqlstate for answer in answers] == [None] * 6
        assert [row[0] for row in bench.sql("select id from t order by id")] == ["1", "4", "12", "15", "100", "101"]
        assert quitter.value("select 1") == "1"


def a_pause_is_no_longer_than_hold_timeout(bench):
    """D3: who waits for a paused pool is told, was not sent, and stays."""
    with bench.proxy(admin={"operate_token": TOKEN}, pool={"hold_timeout": "400ms"}) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        order(proxy, "POST", PAUSE)
        began = time.monotonic()
        result = client.query("insert into t values (1)")
        assert result.sqlstate == "57P03" and result.status == "I", result.error
        assert "outcome=not_executed" in result.error["D"], result.error
        assert 0.3 < time.monotonic() - began < 20                # the default is 30 s
        order(proxy, "POST", RESUME)
        assert client.query("insert into t values (2)").tags == ["INSERT 0 1"]
        assert bench.sql("select id from t") == [["2"]]


def hold_and_resume(bench):
    """While an operator holds, reads go to the standby and writes wait; a transaction that was open goes on; resume sends all."""
    with pair(bench, "hold") as (primary, standby, proxy), ThreadPoolExecutor(8) as threads:
        primary.sql("create table t (id int primary key); alter table t owner to app", DATABASE)
        busy, reader = proxy.connect(DATABASE), proxy.connect(DATABASE)
        writers = [proxy.connect(DATABASE) for _ in range(6)]
        assert reader.value("show port") == str(primary.port)
        busy.query("begin; insert into t values (100)")
        order(proxy, "POST", "/api/v1/hold")
        assert mode(proxy) == "holding" and status(proxy)["held_by_operator"] is True
        assert proxy.http("/readyz")[0] == 200
        texts = ["insert into t values (%d)", "begin", "update t set id = id where id = %d"]
        answers = [threads.submit(client.query, texts[i % 3].replace("%d", str(i)), 40) for i, client in enumerate(writers)]
        eventually(lambda: waiting(proxy) == 6, "the writers wait")
        for _ in range(3):
            assert reader.value("show port") == str(standby.port)
        assert busy.query("commit").tags == ["COMMIT"]
        assert not any(answer.done() for answer in answers)
        order(proxy, "POST", "/api/v1/resume")
        assert [answer.result(40).sqlstate for answer in answers[::3] + answers[2::3]] == [None] * 4
        for client, answer in list(zip(writers, answers))[1::3]:
            assert answer.result(40).status == "T"
            client.query("rollback")
        assert mode(proxy) == "normal" and reader.value("show port") == str(primary.port)
        assert primary.sql("select id from t order by id", DATABASE) == [["0"], ["3"], ["100"]]


def hold_without_a_standby(bench):
    """Of one host alone, reads wait as well."""
    with bench.proxy(admin={"operate_token": TOKEN}, pool={"size": 4}) as proxy, ThreadPoolExecutor(4) as threads:
        clients = [proxy.connect(DATABASE) for _ in range(4)]
        order(proxy, "POST", "/api/v1/hold")
        texts = ["select 1", "insert into t values (1)"]
        answers = [threads.submit(client.query, texts[i % 2].replace("1", str(i)), 40) for i, client in enumerate(clients)]
        eventually(lambda: waiting(proxy) == 4, "everybody waits")
        order(proxy, "POST", "/api/v1/resume")
        assert [answer.result(40).sqlstate for answer in answers] == [None] * 4
        assert bench.sql("select id from t order by id") == [["1"], ["3"]]


HOOK = """#!/bin/sh
set -e
[ "$PGSTEADY_OLD_PRIMARY" = "{primary}" ]
pid=$(head -n 1 {data}/postmaster.pid)
kill -INT "$pid"
while [ -e {data}/postmaster.pid ]; do sleep 0.02; done
{bin}/psql -X -h {sockets} -p {port} -U postgres -d postgres -Atc 'select pg_promote(true, 20)'
"""


def _hook(bench, primary, standby):
    """Stops the primary and promotes the standby, as a switchover tool would."""
    script = bench.workspace.path / f"hook{standby.port}.sh"
    script.write_text(HOOK.format(primary=f"127.0.0.1:{primary.port}", data=primary.folder / "data", bin=BIN,
                                  sockets=standby.sockets, port=standby.port))
    script.chmod(0o755)
    return str(script)


def _switchover_ends(proxy):
    return eventually(lambda: (found := status(proxy)["switchover"]) and found["step"] in ("done", "failed", "cancelled") and found,
                      "the switchover is over", 30)


def switchover(bench):
    """D6: with a hook that promotes, clients see a pause and no error; no transaction is lost, for they were let end."""
    with two_nodes(bench, "switch") as (primary, standby), \
            before(bench, primary, standby, switchover={"hook": _hook(bench, primary, standby)}) as proxy:
        with Loopers(proxy) as clients:
            order(proxy, "POST", "/api/v1/switchover", expect=202)
            assert _switchover_ends(proxy)["step"] == "done", (status(proxy)["switchover"], proxy.log_tail())
            clients.go_on()
            assert clients.lost == 0, clients.lost
        assert not clients.problems, clients.problems
        with proxy.connect(DATABASE) as client:
            assert client.value("show port") == str(standby.port)
            client.query("create table written (id int)")
        assert mode(proxy) == "normal" and not primary.is_running()


def a_switchover_does_not_wait_for_ever(bench):
    """switchover.drain_timeout: who does not end his transaction loses it, is told so, and stays (R04)."""
    with two_nodes(bench, "stubborn", "create table t (id int primary key); alter table t owner to app") as (primary, standby), \
            before(bench, primary, standby, replay={"enabled": False},
                   switchover={"hook": _hook(bench, primary, standby), "drain_timeout": "300ms"}) as proxy, \
            proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as newcomer:
        client.query("begin; insert into t values (1)")
        order(proxy, "POST", "/api/v1/switchover", expect=202)
        newcomer.send(msg.query("insert into t values (2)"))     # held meanwhile
        assert _switchover_ends(proxy)["step"] == "done", (status(proxy)["switchover"], proxy.log_tail())
        lost = client.query("insert into t values (3)")
        assert lost.sqlstate == "40001" and lost.status == "E" and "outcome=rolled_back" in lost.error["D"], lost.error
        assert client.query("rollback").status == "I"
        assert newcomer.read_result().tags == ["INSERT 0 1"]
        assert client.query("insert into t values (4)").tags == ["INSERT 0 1"]
        assert standby.sql("select id from t order by id", DATABASE) == [["2"], ["4"]]


def a_hold_is_no_longer_than_hold_timeout(bench):
    """D3: an operator who forgets to resume does not hang anybody: 57P03, not sent, and the client stays."""
    with bench.proxy(admin={"operate_token": TOKEN}, pool={"hold_timeout": "400ms"}) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        order(proxy, "POST", "/api/v1/hold")
        for text in ("insert into t values (1)", "begin"):
            result = client.query(text)
            assert result.sqlstate == "57P03" and result.status == "I", result.error
            assert "outcome=not_executed" in result.error["D"], result.error
        assert proxy.http("/readyz")[0] == 200
        order(proxy, "POST", "/api/v1/resume")
        assert client.query("insert into t values (2)").tags == ["INSERT 0 1"]
        assert bench.sql("select id from t") == [["2"]]


def a_failed_switchover_releases(bench):
    """The hook fails: everybody goes on where they were, and status says why."""
    with pair(bench, "failing", switchover={"hook": "exit 3"}) as (primary, _, proxy), Loopers(proxy) as clients:
        order(proxy, "POST", "/api/v1/switchover", expect=202)
        found = _switchover_ends(proxy)
        assert found["step"] == "failed" and "ended with 3" in found["what"], found
        clients.go_on()
        assert clients.lost == 0, clients.lost
        with proxy.connect(DATABASE) as client:
            assert client.value("show port") == str(primary.port)


def resume_cancels_a_switchover(bench):
    """Nobody moves the primary: resume lets all go on."""
    with pair(bench, "cancelled") as (primary, _, proxy), Loopers(proxy) as clients:
        order(proxy, "POST", "/api/v1/switchover", expect=202)
        eventually(lambda: status(proxy)["switchover"]["step"] == "waiting_for_primary", "it waits for another primary")
        order(proxy, "POST", "/api/v1/switchover", expect=409)
        order(proxy, "POST", "/api/v1/resume")
        assert _switchover_ends(proxy)["step"] == "cancelled"
        clients.go_on()
        assert clients.lost == 0, clients.lost


CASES = [pause_and_resume, a_pause_is_no_longer_than_hold_timeout, hold_and_resume, hold_without_a_standby,
         a_hold_is_no_longer_than_hold_timeout, switchover, a_switchover_does_not_wait_for_ever,
         a_failed_switchover_releases, resume_cancels_a_switchover]
