"""The monitor: roles are discovered, a promotion is seen, a server that dies is held for, one that is silent is found out."""

import signal
import threading
import time

from bench import DATABASE
from lib.deadline import eventually
from lib.fake_server import FakeServer, error
from pair import backends, pair, role, status


def roles_are_shown(bench):
    with pair(bench, "roles") as (primary, standby, proxy):
        shown = backends(proxy)[standby.port]
        assert shown["reachable"] and shown["lag_seconds"] == 0 and shown["timeline"] == 1, shown
        assert shown["latency_ms"] is not None, shown
        assert status(proxy)["mode"] == "normal"
        with proxy.connect(DATABASE) as client:
            assert client.value("select pg_is_in_recovery()") == "f"
        names = primary.sql("select count(*), string_agg(distinct usename, '') from pg_stat_activity "
                            "where application_name = 'pgsteady monitor'")
        assert names == [["1", "watcher"]], names


def promotion_is_seen(bench):
    """And the old primary is not written to when it comes back (T37)."""
    with pair(bench, "promotion") as (primary, standby, proxy):
        primary.stop(signal.SIGQUIT)
        eventually(lambda: status(proxy)["mode"] == "holding", "there is no primary")
        assert proxy.http("/readyz")[0] == 200
        standby.promote()
        eventually(lambda: role(proxy, standby.port) == "primary" and status(proxy)["mode"] == "normal", "it is adopted")
        primary.start()
        eventually(lambda: role(proxy, primary.port) == "primary", "the old primary is seen")
        with proxy.connect(DATABASE) as client:
            assert client.value("show port") == str(standby.port)
            client.query("create table written (id int)")
        assert status(proxy)["mode"] == "normal"
        eventually(lambda: "old_primary" in proxy.log_text(), "the log tells of the old primary")
        assert primary.sql("select count(*) from pg_class where relname = 'written'", DATABASE) == [["0"]]


def killed_postmaster_and_restart(bench):
    with bench.proxy(pool={"hold_timeout": "20s"}) as proxy, proxy.connect(DATABASE) as client:
        assert client.value("select 1") == "1"
        bench.cluster.stop(signal.SIGKILL)
        eventually(lambda: status(proxy)["mode"] == "holding", "it is held")
        assert status(proxy)["state"] == "recovering"
        bench.cluster.start()
        eventually(lambda: status(proxy)["mode"] == "normal", "it is back")
        with proxy.connect(DATABASE) as other:
            assert other.value("select 1") == "1"


def terminated_monitor_changes_nothing(bench):
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        eventually(lambda: role(proxy, bench.cluster.port) == "primary", "the primary is found")
        for _ in range(5):
            bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'watcher'")
            assert client.value("select 1") == "1"
            time.sleep(0.05)
        eventually(lambda: bench.sql("select count(*) from pg_stat_activity where usename = 'watcher'") == [["1"]],
                   "the monitor is back")
        assert "mode_changed" not in proxy.log_text(), proxy.log_tail()
        assert "host_lost" not in proxy.log_text(), proxy.log_tail()


def busy_pool_does_not_blind_the_monitor(bench):
    """P48: the probes have a connection of their own: with the only server of the pool taken, samples go on."""
    with bench.proxy(pool={"size": 1, "max_overflow": 0}) as proxy, proxy.connect(DATABASE) as client:
        eventually(lambda: role(proxy, bench.cluster.port) == "primary", "the primary is found")
        client.query("begin")
        probed = lambda: bench.sql("select max(query_start) from pg_stat_activity where usename = 'watcher'")  # noqa: E731
        before = probed()
        eventually(lambda: probed() != before, "probes go on")
        assert role(proxy, bench.cluster.port) == "primary"
        client.query("commit")


def monitor_that_is_refused(bench):
    """D10: with a wrong account for the monitor, pools find out for themselves, and the log says so once."""
    with bench.proxy(monitor={"password": "wrong"}) as proxy, proxy.connect(DATABASE) as client:
        assert client.value("select 1") == "1"
        assert status(proxy)["mode"] == "normal"
        eventually(lambda: role(proxy, bench.cluster.port) == "primary", "pools say what it is")


def least_rights(bench):
    """An account that may call next to nothing still learns the role."""
    bench.sql("create role humble login password 'humble'")
    bench.cluster.sql("revoke execute on function pg_control_system() from public")
    try:
        with bench.proxy(monitor={"user": "humble", "password": "humble"}) as proxy:
            eventually(lambda: role(proxy, bench.cluster.port) == "primary", "the primary is found")
            assert backends(proxy)[bench.cluster.port]["timeline"] == 1
    finally:
        bench.cluster.sql("grant execute on function pg_control_system() to public")
        bench.sql("drop role humble")


def silent_host(bench):
    """F12: it accepts connections and never says a word: three missed probes, whatever the other host does."""
    release = threading.Event()
    with FakeServer(lambda peer: release.wait(30)) as mute:
        hosts = [f"127.0.0.1:{mute.port}", f"127.0.0.1:{bench.cluster.port}"]
        with bench.proxy(backends={"hosts": hosts}) as proxy:
            eventually(lambda: role(proxy, bench.cluster.port) == "primary", "the primary is found")
            started = time.monotonic()
            eventually(lambda: "host_lost" in proxy.log_text(), "the silent host is found out")
            assert time.monotonic() - started < 15
            with proxy.connect(DATABASE) as client:
                assert client.value("select 1") == "1"
            assert status(proxy)["mode"] == "normal"
            assert backends(proxy).get(mute.port, {}).get("reachable") is False
        release.set()


def host_that_speaks_nonsense(bench):
    """P9: whatever a host sends, the monitor takes no harm and goes on."""
    scripts = [lambda peer: peer.send(b"SSH-2.0-nonsense\r\n" * 100),
               lambda peer: (peer.login_ok(), peer.send(b"D\x7f\xff\xff\xff" + b"x" * 100000)),
               lambda peer: (peer.login_ok(), peer.read_message(), peer.send(b"D\0\0\0\x06\0\x09Z\0\0\0\5I")),
               lambda peer: (peer.read_startup(), peer.send(error("57P03", "the database system is starting up"))),
               lambda peer: (peer.login_ok(), [peer.send(b"N\0\0\x10\0" + b"y" * 4092) for _ in range(2000)])]
    servers = [FakeServer(script) for script in scripts]
    hosts = [f"127.0.0.1:{each.port}" for each in servers] + [f"127.0.0.1:{bench.cluster.port}"]
    with bench.proxy(backends={"hosts": hosts}) as proxy, proxy.connect(DATABASE) as client:
        eventually(lambda: role(proxy, bench.cluster.port) == "primary", "the primary is found")
        assert client.value("select 1") == "1"
        eventually(lambda: all(each.connections > 2 for each in servers), "each is tried again")
        shown = backends(proxy)
        assert all(shown[each.port]["role"] == "unknown" for each in servers), shown
        assert client.value("select 1") == "1"


def switched_off(bench):
    """monitor.interval 0: nobody asks the server; what its own connections say is enough (D10)."""
    with bench.proxy(monitor={"interval": "0"}) as proxy, proxy.connect(DATABASE) as client:
        assert client.value("select pg_is_in_recovery()") == "f"
        eventually(lambda: role(proxy, bench.cluster.port) == "primary", "the pool's connection has told the role")
        asking = "select count(*) from pg_stat_activity where application_name = 'pgsteady monitor'"
        assert client.value(asking) == "0"


CASES = [roles_are_shown, switched_off, promotion_is_seen, killed_postmaster_and_restart, terminated_monitor_changes_nothing,
         busy_pool_does_not_blind_the_monitor, monitor_that_is_refused, least_rights, silent_host, host_that_speaks_nonsense]
