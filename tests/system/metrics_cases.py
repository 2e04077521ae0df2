"""What /metrics says of a running proxy: that it is true, that Prometheus takes it, and that it does not grow without end."""

import os
import re
import shutil
import subprocess
import time

from bench import DATABASE, ONE_SERVER, OTHER_DATABASE
from lib.deadline import eventually
from lib.suite import Skip


def _page(proxy, **headers):
    status, got, body = proxy.http("/metrics", headers=headers)
    assert status == 200, status
    return got, body


def _value(proxy, series):
    """The value of the series that begins like this; None if there is none."""
    for line in _page(proxy)[1].splitlines():
        if line.startswith(series):
            return float(line.rsplit(" ", 1)[1])
    return None


def promtool_accepts_it(bench):
    """Debian's promtool has one remark: a name that older dashboards rely on."""
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not promtool:
        raise Skip("no promtool (Debian: prometheus)")
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        done = subprocess.run([promtool, "check", "metrics"], input=_page(proxy)[1], text=True, capture_output=True, timeout=30)
        remarks = [line for line in (done.stdout + done.stderr).splitlines() if line]
        assert remarks == ["db_connections_wait_time_ms metric names should not contain abbreviated units"], remarks
        assert done.returncode == 3, done.returncode                   # remarks; 1 would be a page that cannot be read
    with bench.proxy(admin={"old_metric_names": False}) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        done = subprocess.run([promtool, "check", "metrics"], input=_page(proxy)[1], text=True, capture_output=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def openmetrics_for_who_asks(bench):
    with bench.proxy() as proxy:
        wanted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        headers, body = _page(proxy, Accept=wanted)
        assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), headers
        assert headers["Vary"] == "Accept" and body.endswith("\n# EOF\n"), headers
        headers, body = _page(proxy, Accept="*/*")
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
        assert "# EOF" not in body


def open_transactions_and_pins(bench):
    """How many, how old, why: seen from the servers that they hold."""
    pool = f'{{pool="{DATABASE}/app"'
    with bench.proxy() as proxy, proxy.connect(DATABASE) as first, proxy.connect(DATABASE) as second:
        first.query("begin")
        second.query("select pg_advisory_lock(1)")
        eventually(lambda: _value(proxy, f"pgsteady_pool_sessions_idle_in_transaction{pool}") == 1, "one rests in a transaction")
        before = _value(proxy, f"pgsteady_pool_oldest_transaction_seconds{pool}")
        time.sleep(0.3)
        after = _value(proxy, f"pgsteady_pool_oldest_transaction_seconds{pool}")
        assert 0.2 <= after - before <= 5, (before, after)
        assert _value(proxy, f'pgsteady_pool_pins{pool},reason="advisory_lock"}}') == 1
        first.query("commit")
        eventually(lambda: _value(proxy, f"pgsteady_pool_oldest_transaction_seconds{pool}") == 0, "it has ended")


def durations_by_pool_and_operation(bench):
    pool = f'{{pool="{DATABASE}/app"'
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.query("select pg_sleep(0.06)")
        client.query("insert into t values (1)")
        eventually(lambda: _value(proxy, f'pgsteady_pool_request_seconds_count{pool},operation="insert"}}') == 1, "it is counted")
        assert _value(proxy, f'pgsteady_pool_request_seconds_sum{pool},operation="select"}}') >= 0.06
        assert _value(proxy, f'pgsteady_pool_request_seconds_bucket{pool},operation="select",le="0.05"}}') == 0
        assert _value(proxy, f'pgsteady_pool_first_byte_seconds_count{pool},operation="select"}}') >= 1
        assert _value(proxy, f"pgsteady_pool_connect_seconds_count{pool}}}") >= 1
        connect, auth = (_value(proxy, f"pgsteady_pool_{name}_seconds_sum{pool}}}") for name in ("connect", "auth"))
        assert 0 < auth <= connect, (auth, connect)


def histograms_are_bounded(bench):
    """admin.histogram_pools: the pools beyond it are counted without histograms of their own."""
    with bench.proxy(admin={"histogram_pools": 1}) as proxy:
        for database in (DATABASE, OTHER_DATABASE):
            proxy.connect(database).close()
        eventually(lambda: _value(proxy, "pgsteady_pools_without_histograms") == 1, "one pool has none")
        with_histograms = set(re.findall(r'pgsteady_pool_request_seconds_count\{pool="([^"]+)"', _page(proxy)[1]))
        assert with_histograms <= {f"{DATABASE}/app"}, with_histograms
        assert _value(proxy, f'pgsteady_pool_size{{pool="{OTHER_DATABASE}/app"') == 2


def holds_and_recoveries(bench):
    """What an outage makes wait and what is answered after it are counted where they belong."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        bench.cluster.restart()
        assert client.value("select 1") == "1"
        bench.cluster.stop()
        eventually(lambda: _value(proxy, 'pgsteady_mode{mode="holding"}') == 1, "statements are held", 20)
        client.send(b"Q\x00\x00\x00\x0dselect 1\x00")
        eventually(lambda: _value(proxy, f'pgsteady_pool_waiting_clients{{pool="{DATABASE}/app"}}') == 1, "one waits")
        bench.cluster.start()
        assert client.read_result().value() == "1"
        eventually(lambda: (_value(proxy, 'pgsteady_holds_total{outcome="served"}') or 0) >= 1, "the hold was served")
        assert _value(proxy, 'pgsteady_holds_total{outcome="timed_out"}') == 0


CASES = [promtool_accepts_it, openmetrics_for_who_asks, open_transactions_and_pins, durations_by_pool_and_operation,
         histograms_are_bounded, holds_and_recoveries]
