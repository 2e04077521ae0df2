"""The error catalogue of recovery.md 2.14 as clients meet it: what each says of the outcome, and that its incident stands in the log.

R01, R10, R13 and R17 take servers of their own: read_only_cases.py, policy_cases.py, role_cases.py, tests/session.
"""

import os
import re
import signal
from contextlib import ExitStack

from bench import DATABASE, ONE_SERVER
from gate import Gate
from lib import messages as msg
from lib.deadline import eventually
from lib.wire_client import ServerError, send_cancel

DETAIL = re.compile(r"outcome=(\w+) incident=([0-9a-f]{8})\b")
SLOW_ROWS = "select n, repeat('y', 1000), pg_sleep(0.01) from generate_series(1, 1000) as n"


def _stands(proxy, entry, fields, sqlstate, outcome, severity="ERROR"):
    assert (fields["C"], fields["S"]) == (sqlstate, severity), (entry, fields)
    found = DETAIL.match(fields.get("D", ""))
    assert found and found[1] == outcome, (entry, fields)
    assert f"incident {found[2]}: " in proxy.log_text(), (entry, fields)


def _end(bench, client=None):
    """The server of `client`, or every one."""
    which = f"pid = {client.value('select pg_backend_pid()')}" if client else "usename = 'app'"
    bench.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where {which}")


def _lose_unread(bench, client, request):
    """What it is answered when its server ends before it reads the request."""
    pid = int(client.value("select pg_backend_pid()"))
    os.kill(pid, signal.SIGSTOP)
    client.send(request)
    bench.sql(f"select pg_terminate_backend({pid})")
    os.kill(pid, signal.SIGCONT)
    return client.read_result().error


def _in_transaction(bench, client):
    client.query("begin; insert into t values (1)")
    _end(bench, client)
    error = client.query("select 1").error
    client.query("rollback")
    return error


def _commit(bench, client):
    client.query("begin; insert into t values (1)")
    return _lose_unread(bench, client, msg.query("commit"))


def _write(bench, client):
    return _lose_unread(bench, client, msg.query("insert into t values (1)"))


def _rows(bench, client):
    client.send(msg.query(SLOW_ROWS))
    client.read_until("D")
    _end(bench)
    return client.read_result().error


def _copy(bench, client):
    client.send(msg.query("copy t from stdin"))
    client.read_until("G")
    client.send(msg.copy_data(b"1\n"))
    _end(bench)
    client.send(msg.copy_done())
    return client.read_result().error


def _pinned(bench, client):
    client.query("create temp table mine (id int)")
    _end(bench, client)
    frames, _ = client.read_to_end()
    return msg.error_fields(frames[-1].body)


LOST = (("R04", _in_transaction, "40001", "rolled_back"), ("R06", _rows, "08006", "unknown"), ("R07", _commit, "08007", "unknown"),
        ("R08", _write, "40003", "unknown"), ("R09", _copy, "40001", "rolled_back"), ("R12", _pinned, "08006", "unknown"))


def what_is_lost_with_a_server(bench):
    with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}, retry={"result_hold": 0}) as proxy, \
            proxy.connect(DATABASE) as client:
        for entry, provoke, sqlstate, outcome in LOST:
            _stands(proxy, entry, provoke(bench, client), sqlstate, outcome, "FATAL" if entry == "R12" else "ERROR")


def what_is_not_replayed(bench):
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        _end(bench, client)
        _stands(proxy, "R05", client.query("select 1").error, "40001", "rolled_back")


def what_waits(bench):
    """R03, R14, R15, of a pool whose only server is in a transaction."""
    with ExitStack() as open_now:
        proxy = open_now.enter_context(bench.proxy(pool=ONE_SERVER, hold={"max_clients": 1}, shutdown={"drain_timeout": "100ms"}))
        owner, waiter, late, idle = (open_now.enter_context(proxy.connect(DATABASE)) for _ in range(4))
        owner.query("begin")
        waiter.send(msg.query("select 1"))
        eventually(lambda: re.search(r'\npgsteady_pool_waiting_clients\{[^}]*\} 1\n', proxy.http("/metrics")[2]), "it waits")
        _stands(proxy, "R03", late.query("select 1").error, "53300", "not_executed")
        send_cancel(proxy.address, waiter.pid, waiter.key)
        _stands(proxy, "R14", waiter.read_result().error, "57014", "not_executed")
        proxy.signal(signal.SIGTERM)
        for client, outcome in ((idle, "not_executed"), (owner, "rolled_back")):
            frames, _ = client.read_to_end()
            _stands(proxy, "R15", msg.error_fields(frames[-1].body), "57P01", outcome, "FATAL")
        assert proxy.wait() == 0


def who_waits_in_vain(bench):
    """R02, R11, R16."""
    with Gate(("127.0.0.1", bench.cluster.port)) as gate, \
            bench.proxy(backends={"hosts": [f"127.0.0.1:{gate.port}"]}, pool={**ONE_SERVER, "hold_timeout": "200ms"}) as proxy, \
            proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as other:
        owner.query("begin")
        _stands(proxy, "R11", other.query("select 1").error, "53300", "not_executed")
        owner.query("commit")
        gate.refuse()
        gate.rst()
        _stands(proxy, "R02", other.query("select 1").error, "57P03", "not_executed")
        try:
            proxy.connect(DATABASE, datestyle="German, DMY")
            raise AssertionError("R16: it was let in without a server")
        except ServerError as refusal:
            _stands(proxy, "R16", refusal.fields, "57P03", "not_executed", "FATAL")
            assert refusal.fields["M"].startswith("the database system is not available (proxy: no server within 2"), refusal.fields


CASES = [what_is_lost_with_a_server, what_is_not_replayed, what_waits, who_waits_in_vain]
