"""Backends that are down, come up, or lose sessions: nobody hangs and nothing spreads (P33, P47, P52, P55)."""

import signal
from concurrent.futures import ThreadPoolExecutor

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.deadline import eventually
from lib.wire_client import Closed, ServerError


def starts_while_the_backend_is_down(bench):
    """P52, D3: it starts, the client waits, and is served when the backend is up."""
    bench.cluster.stop()
    with bench.proxy(pool={"hold_timeout": "30s"}) as proxy, ThreadPoolExecutor(1) as threads:
        assert proxy.http("/healthz")[0] == 200

        def first_value():
            with proxy.connect(DATABASE) as client:
                return client.value("select 'served'")
        answer = threads.submit(first_value)
        bench.cluster.start()
        assert answer.result(30) == "served"


def refuses_after_the_wait(bench):
    """R16: no backend within hold_timeout; the proxy stays up."""
    bench.cluster.stop()
    with bench.proxy(pool={"hold_timeout": "300ms"}) as proxy:
        refusal = proxy.refused(DATABASE)
        assert (refusal["C"], refusal["S"]) == ("57P03", "FATAL"), refusal
        bench.cluster.start()
        eventually(lambda: _connects(proxy), "clients are served again")


def _connects(proxy):
    try:
        with proxy.connect(DATABASE) as client:
            return client.value("select 1") == "1"
    except (ServerError, Closed):
        return False


def idle_servers_that_died_are_not_handed_out(bench):
    """P33: terminated while idle in the pool; the next query of the same client gets a fresh server."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.query("set work_mem to '10MB'")
        for _ in range(3):
            assert client.value("select 1") == "1"
            bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
            eventually(lambda: not bench.server_pids(), "the servers are gone")
            assert client.value("show work_mem") == "10MB"


def idle_clients_survive_a_restart(bench):
    with bench.proxy(pool={"hold_timeout": "30s"}) as proxy:
        clients = [proxy.connect(DATABASE) for _ in range(5)]
        for client in clients:
            client.send(msg.parse("s1", "select 'prepared'") + msg.sync())
            client.read_until("Z")
        bench.cluster.restart()
        for client in clients:
            client.send(msg.bind("", "s1") + msg.execute("") + msg.sync())
            assert "D" in [frame.type for frame in client.read_until("Z")]


def server_lost_in_a_query(bench):
    """An error with a SQLSTATE that tells, at once; other clients and later ones are served."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as other:
        client.send(msg.query("update t set id = id where pg_sleep(60) is null /* lost */; select pg_sleep(60) /* lost */"))
        bench.wait_running("/* lost */")
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%/* lost */%' "
                  "and pid <> pg_backend_pid()")
        try:
            result = client.read_result()
            assert result.sqlstate[:2] in ("08", "57", "40"), result.error
            assert client.value("select 1") == "1"
        except ServerError as problem:                           # a FATAL and the close
            assert problem.sqlstate[:2] in ("08", "57", "40"), problem.fields
        assert other.value("select 1") == "1"
        proxy.connect(DATABASE).close()


def server_lost_in_a_transaction(bench):
    with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin; insert into t values (1)")
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        eventually(lambda: not bench.server_pids(), "the server is gone")
        try:
            result = client.query("insert into t values (2)")
            assert result.sqlstate[:2] in ("08", "57", "40"), result.error
            client.query("rollback")
            assert client.value("select count(*) from t") == "0"
        except (ServerError, Closed):
            pass
        with proxy.connect(DATABASE) as next_client:
            assert next_client.value("select count(*) from t") == "0"


def crash_and_recovery(bench):
    """The postmaster is killed outright; clients are served again once it is back."""
    with bench.proxy(pool={"hold_timeout": "30s"}) as proxy:
        idle = proxy.connect(DATABASE)
        bench.cluster.restart(signal.SIGQUIT)
        assert idle.value("select 1") == "1"


def pool_exhaustion_is_not_an_outage(bench):
    """P47: waits that end in vain do not make the backend count as down."""
    with bench.proxy(pool={**ONE_SERVER, "hold_timeout": "50ms"}) as proxy, proxy.connect(DATABASE) as owner, \
            proxy.connect(DATABASE) as waiter:
        owner.query("begin")
        for _ in range(10):
            assert waiter.query("select 1").sqlstate == "53300"
        owner.query("commit")
        assert waiter.value("select 1") == "1"
        assert proxy.http("/readyz")[0] == 200


def unknown_database(bench):
    """The server's own words reach a client that has proven who it is; the proxy and other pools are unharmed."""
    with bench.proxy(pool={"hold_timeout": "2s"}) as proxy, proxy.connect(DATABASE) as client:
        assert proxy.refused("no_such_database")["C"] in ("3D000", "57P03")
        assert client.value("select 1") == "1"


CASES = [starts_while_the_backend_is_down, refuses_after_the_wait, idle_servers_that_died_are_not_handed_out,
         idle_clients_survive_a_restart, server_lost_in_a_query, server_lost_in_a_transaction, crash_and_recovery,
         pool_exhaustion_is_not_an_outage, unknown_database]
