"""Many clients that mostly wait: all are served by few servers, and each costs little (P59, P60)."""

import json
import time

from bench import DATABASE
from lib import messages as msg
from lib.deadline import eventually

CLIENTS = 500
KIB_PER_CLIENT = 16                                               # resident, allocator and kernel-free; the target is 6


def five_hundred_idle_clients(bench):
    with bench.proxy(auth={"method": "trust"}, pool={"size": 5}) as proxy:
        warm = [proxy.connect(DATABASE, password=None) for _ in range(20)]
        before = proxy.memory_kib()
        clients = [proxy.connect(DATABASE, password=None) for _ in range(CLIENTS)]
        each = (proxy.memory_kib() - before) / CLIENTS
        for client in clients:
            client.send(msg.query("select 1"))
        assert all(client.read_result().rows == [["1"]] for client in clients)
        assert len(bench.server_pids()) <= 5
        for client in clients[::2]:
            client.reset()
        for client in clients[1::2]:
            assert client.value("select 2") == "2"
            client.abandon()
        assert warm[0].value("select 3") == "3"
        print(f"      {each:.1f} KiB resident per idle client", flush=True)
        assert each < KIB_PER_CLIENT, f"{each:.1f} KiB per idle client"


def idle_clients_hold_no_server(bench):
    """In transaction mode an idle client occupies nothing."""
    with bench.proxy(pool={"size": 1}) as proxy:
        clients = [proxy.connect(DATABASE) for _ in range(20)]
        for _ in range(3):
            for number, client in enumerate(clients):
                assert client.value(f"select {number}") == str(number)
        eventually(lambda: len(bench.server_pids()) == 1, "one server is enough")


def session_mode_keeps_its_server(bench):
    """The same backend from login to the end; the next client gets it cleaned."""
    with bench.proxy(pool={"mode": "session", "size": 1}) as proxy:
        with proxy.connect(DATABASE) as client:
            pid = client.value("select pg_backend_pid()")
            client.query("create temp table mine (a int); set work_mem to '9MB'; prepare p as select 1; listen chan")
            assert client.value("select pg_backend_pid()") == pid
            client.close()
        with proxy.connect(DATABASE) as client:
            assert client.query("select * from mine").sqlstate == "42P01"
            assert client.query("execute p").sqlstate == "26000"
            assert client.value("show work_mem") != "9MB"
            assert client.query("select pg_listening_channels()").rows == []


def statement_mode_refuses_transactions(bench):
    """A transaction block would span statements: the client is told, and nothing stays open."""
    with bench.proxy(pool={"mode": "statement", "size": 1}) as proxy:
        with proxy.connect(DATABASE) as client:
            assert client.value("select 1") == "1"
            client.send(msg.query("begin"))
            frames, _ = client.read_to_end()
            assert msg.error_fields(frames[-1].body)["S"] == "FATAL", frames
        with proxy.connect(DATABASE) as client:
            assert client.query("select 1").status == "I"


def servers_are_kept_warm(bench):
    """D7: a listed database has min_size servers before anybody asks, and again after they were lost."""
    with bench.proxy(pool={"size": 4, "min_size": 2}, databases={DATABASE: {}}) as proxy:
        before = eventually(lambda: _two_servers(bench), "two servers are open")
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        eventually(lambda: not (_two_servers(bench) or before) & before, "two others are open")
        with proxy.connect(DATABASE) as client:
            assert client.value("select 1") == "1"


def _two_servers(bench):
    """The pids of app's servers if there are two of them."""
    pids = {row[0] for row in bench.sql("select pid from pg_stat_activity where usename = 'app'")}
    return pids if len(pids) == 2 else None


def unused_automatic_pools_are_dropped(bench):
    """auto_pools.idle_timeout: the servers of a pool that nobody uses are closed, and it serves the next client again."""
    with bench.proxy(auto_pools={"idle_timeout": "1s"}, pool={"size": 3, "idle_timeout": "1h"}) as proxy:
        with proxy.connect(DATABASE) as client:
            assert client.value("select 1") == "1"
            time.sleep(2.5)
            assert bench.server_pids(), "a pool with a client is in use"
            client.close()
        eventually(lambda: not bench.server_pids(), "its servers are closed")
        eventually(lambda: not _pools(proxy), "it is not listed any more")
        with proxy.connect(DATABASE) as client:
            assert client.value("select 1") == "1"


def _pools(proxy):
    _, _, body = proxy.http("/api/database-recovery/connections")
    return json.loads(body)["pools"]


CASES = [five_hundred_idle_clients, idle_clients_hold_no_server, session_mode_keeps_its_server,
         statement_mode_refuses_transactions, servers_are_kept_warm, unused_automatic_pools_are_dropped]
