"""Each kill switch of D1 off, by file and by order while running: what it stands for does not happen any more."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from bench import DATABASE, OTHER_DATABASE
from lib.deadline import eventually
from lib.wire_client import Closed, ServerError
from pair import TOKEN, before, mode, order, status, two_nodes, waiting

TABLE = "create table t (id int primary key); alter table t owner to app"
SLOW_READ = "select 'read', pg_sleep(1) /* switch */"


def _lose_server_in(bench, client, text):
    """Its answer when its server is terminated while it runs."""
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.query, text, 20)
        bench.wait_running("/* switch */")
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%/* switch */%' "
                  "and pid <> pg_backend_pid()")
        return answer.result(25)


def _turn(proxy, name, value):
    order(proxy, "PUT", "/api/v1/switches", {name: value})
    assert status(proxy)["switches"][name] is value


def _is_repeated(bench, proxy, database):
    with proxy.connect(database) as client:
        try:
            result = _lose_server_in(bench, client, SLOW_READ)
        except (ServerError, Closed) as ended:                   # a session that ends repeats nothing
            assert isinstance(ended, Closed) or ended.sqlstate in ("08006", "57P01"), ended
            return False
        assert result.error or result.rows == [["read", ""]], result.rows
        return result.error is None


def recovery_off(bench):
    """A plain pooler: a read that was under way is not repeated; on again, it is."""
    with bench.proxy(admin={"operate_token": TOKEN}, recovery={"enabled": False}) as proxy:
        assert not _is_repeated(bench, proxy, DATABASE)
        _turn(proxy, "recovery.enabled", True)
        assert _is_repeated(bench, proxy, DATABASE)


def recovery_off_for_one_pool(bench):
    """D1: also per pool; the neighbour keeps it."""
    with bench.proxy(admin={"operate_token": TOKEN}) as proxy:
        for database in (DATABASE, OTHER_DATABASE):
            proxy.connect(database).close()
        order(proxy, "PUT", "/api/v1/switches", {"recovery.enabled": False, "pool": DATABASE})
        assert not _is_repeated(bench, proxy, DATABASE)
        assert _is_repeated(bench, proxy, OTHER_DATABASE)


def guard_off(bench):
    """The server no longer watches over what is repeated; what the catalogue does not vouch for is not repeated either way."""
    bench.sql("create or replace function unproven() returns text language plpgsql volatile as "
              "$$ begin perform pg_sleep(1.5); return 'done'; end $$")
    try:
        with bench.proxy(admin={"operate_token": TOKEN}) as proxy, proxy.connect(DATABASE) as client:
            for on in (True, False):
                _turn(proxy, "guard.enabled", on)
                assert _lose_server_in(bench, client, "select unproven() /* switch */").sqlstate == "40003"
                assert _lose_server_in(bench, client, SLOW_READ).rows == [["read", ""]]
    finally:
        bench.sql("drop function unproven()")


def read_only_off(bench):
    """No reads from standbys and no read-only mode: everybody waits for the primary, and is told after hold_timeout."""
    with two_nodes(bench, "kept", TABLE) as (primary, standby), \
            before(bench, primary, standby, pool={"hold_timeout": "2s"}, read_only={"enabled": False}) as proxy, \
            ThreadPoolExecutor(2) as threads, proxy.connect(DATABASE) as reader, proxy.connect(DATABASE) as writer:
        assert reader.value("select count(*) from t") == "0"
        primary.stop(signal.SIGQUIT)
        eventually(lambda: mode(proxy) == "holding", "the primary is lost")
        answers = [threads.submit(client.query, text, 20) for client, text in
                   ((reader, "select count(*) from t"), (writer, "insert into t values (1)"))]
        eventually(lambda: waiting(proxy) == 2, "reads wait as writes do")
        for answer in answers:
            assert answer.result(20).sqlstate == "57P03", (answer.result().error, answer.result().rows)
        assert mode(proxy) == "holding"
        _turn(proxy, "read_only.enabled", True)
        eventually(lambda: mode(proxy) == "read_only", "it is allowed now")
        assert reader.value("select pg_is_in_recovery()") == "t"
        assert writer.query("insert into t values (1)").sqlstate == "25006"


def breaker_off(bench):
    """Failures are counted and open nothing; with the switch on they do."""
    def opened(proxy):
        found = [each for each in status(proxy)["circuit_breaker"] if each["scope"].endswith(str(bench.cluster.port))]
        return bool(found) and found[0]["open"]

    with bench.proxy(admin={"operate_token": TOKEN}, breaker={"enabled": False}, pool={"hold_timeout": "20s"}) as proxy, \
            proxy.connect(DATABASE) as client:
        client.query("select 1")
        bench.cluster.stop(signal.SIGQUIT)
        eventually(lambda: mode(proxy) == "holding", "the primary is lost")
        until = time.monotonic() + 1.2
        while time.monotonic() < until:
            assert not opened(proxy), status(proxy)["circuit_breaker"]
            time.sleep(0.05)
        bench.cluster.start()
        assert client.value("select 1") == "1"
        _turn(proxy, "breaker.enabled", True)
        bench.cluster.stop(signal.SIGQUIT)
        eventually(lambda: opened(proxy), "the breaker opens")
        why = [each for each in status(proxy)["circuit_breaker"] if each["scope"].endswith(str(bench.cluster.port))][0]
        assert why["opened_by"] and why["last_failure"], why           # which, is a matter of who noticed first
        bench.cluster.start()
        assert client.value("select 1") == "1"
        eventually(lambda: not opened(proxy), "and closes by itself")


def all_off(bench):
    """D1: what is left is a pooler: transactions, settings and prepared statements work, and an outage is an error."""
    off = {name: {"enabled": False} for name in ("recovery", "breaker", "read_only", "replay", "guard")}
    with bench.proxy(admin={"operate_token": TOKEN}, **off) as proxy, proxy.connect(DATABASE) as client:
        assert not any(status(proxy)["switches"].values()), json.dumps(status(proxy)["switches"])
        client.query("set work_mem to '7MB'")
        assert client.query("begin; insert into t values (1); commit").tags == ["BEGIN", "INSERT 0 1", "COMMIT"]
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        eventually(lambda: not bench.server_pids(), "the servers are gone")
        assert client.value("show work_mem") == "7MB"


CASES = [recovery_off, recovery_off_for_one_pool, guard_off, read_only_off, breaker_off, all_off]
