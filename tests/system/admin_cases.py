"""The admin port: its documents, its metrics, its refusals (product.md 4 to 6, D8, D36)."""

import json
import os
import re

from bench import DATABASE, ONE_SERVER, OTHER_DATABASE
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib import messages as msg
from lib.wire_client import Closed, ServerError

HEALTH_KEYS = {"state", "last_check", "consecutive_failures", "connections", "performance", "circuit_breaker"}
METRICS = ("db_connections_active", "db_connections_idle", "db_connections_wait_time_ms",
           "db_query_duration_seconds_bucket", "db_query_total", "db_circuit_breaker_state",
           "db_circuit_breaker_failures_total")
METRIC_LINE = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? [-+0-9.eEInfNa]+( \d+)?$')


def _json(proxy, path, expect=200):
    status, headers, body = proxy.http(path)
    assert status == expect, (status, body)
    assert "json" in headers.get("Content-Type", ""), headers
    return json.loads(body)


def probes(bench):
    with bench.proxy() as proxy:
        assert proxy.http("/healthz")[0] == 200
        assert proxy.http("/readyz")[0] == 200


def health_document(bench):
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        document = _json(proxy, "/api/database-recovery/health")
        assert HEALTH_KEYS <= document.keys(), document
        assert document["state"] == "connected", document
        assert {"total", "active", "idle", "wait_time_ms"} <= document["connections"].keys()
        assert {"open", "failures", "threshold"} <= document["circuit_breaker"].keys()


def status_document(bench):
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        document = _json(proxy, "/api/database-recovery/status")
        assert {"state", "mode", "pools", "backends", "version"} <= document.keys(), document
        assert document["mode"] == "normal"
        wanted = os.environ.get("PGSTEADY_IO_ENGINE", "epoll")
        assert document["io_engine"] in (("epoll", "io_uring") if wanted == "auto" else (wanted,)), document["io_engine"]
        assert f'pgsteady_io_engine{{engine="{document["io_engine"]}"}} 1' in proxy.http("/metrics")[2]


def connections_document(bench):
    """Active, idle, waiting and pinned are what they are at this moment."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("create temp table pinned_here (a int)")

        def pool():
            return next((p for p in _json(proxy, "/api/database-recovery/connections")["pools"]
                        if DATABASE in json.dumps(p)), {"pinned": None})  # a snapshot may be a moment old
        eventually(lambda: pool()["pinned"], "the pinned session is shown")
        assert "temp" in json.dumps(pool()["pinned"]), pool()


def metrics(bench):
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        for _ in range(10):
            client.query("select 1")
        client.query("selct")

        def page():
            status, _, body = proxy.http("/metrics")
            assert status == 200
            return body
        eventually(lambda: re.search(r'db_query_total\{[^}]*operation="select"[^}]*\} 1\d', page()),
                   "ten selects are counted")
        for line in page().splitlines():
            assert line.startswith("#") or not line or METRIC_LINE.match(line), f"bad line {line!r}"
        for name in METRICS:
            assert f"\n{name}" in page(), f"{name} is missing"


def refusals(bench):
    with bench.proxy() as proxy:
        status, headers, _ = proxy.http("/no/such/path")
        assert status == 404 and "problem+json" in headers.get("Content-Type", ""), headers
        for method in ("POST", "PUT", "DELETE"):
            status, _, _ = proxy.http("/api/database-recovery/status", method)
            assert status in (401, 403, 404, 405), (method, status)
        status, _, _ = proxy.http("/healthz", headers={"Host": "attacker.example"})
        assert 400 <= status < 500, status
        status, _, _ = proxy.http("/" + "x" * 20000)
        assert 400 <= status < 500, status
        assert proxy.http("/healthz")[0] == 200


def no_secrets(bench):
    token = "operate-token-0123456789abcdef"
    with bench.proxy(admin={"operate_token": token}) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        for path in ("/api/database-recovery/health", "/api/database-recovery/status",
                     "/api/database-recovery/connections", "/metrics"):
            body = proxy.http(path)[2]
            assert token not in body and PASSWORD not in body, path


def health_without_a_backend(bench):
    bench.cluster.stop()
    with bench.proxy(pool={"hold_timeout": "200ms"}) as proxy:
        proxy.refused(DATABASE)
        eventually(lambda: proxy.http("/api/database-recovery/health")[0] == 503, "503 when nothing can be served")
        document = json.loads(proxy.http("/api/database-recovery/health")[2])
        assert document["state"] in ("disconnected", "recovering"), document
        assert proxy.http("/healthz")[0] == 200


TOKEN = "operate-token-0123456789abcdef"
RETRY = "/api/database-recovery/retry-config"
TEST = "/api/database-recovery/test-connection"


def _order(proxy, method, path, document=None, expect=200, token=TOKEN):
    """An order with the operate token; its answer."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    status, _, body = proxy.http(path, method, json.dumps(document or {}), headers)
    assert status == expect, (status, body)
    return json.loads(body)


def _with_token(bench, **sections):
    return bench.proxy(admin={"operate_token": TOKEN}, **sections)


def retry_config(bench):
    """A change takes effect at once, for pools that are there and for those to come, and is logged."""
    with _with_token(bench, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        answer = _order(proxy, "PUT", RETRY, {"max_retries": 7, "timeout": 2})
        assert {"where": f"{DATABASE}/app", "what": "timeout", "before": "30s", "after": "2s"} in answer["changes"], answer
        assert _json(proxy, "/api/database-recovery/status")["retry_config"]["max_retries"] == 7
        client.query("begin")
        assert proxy.refused(DATABASE)["C"] == "53300"                # waits 2 s, not 30, for the one server
        client.query("rollback")
        with proxy.connect(OTHER_DATABASE) as other:
            other.query("select 1")
        pools = {pool["pool"]: pool for pool in _json(proxy, "/api/database-recovery/connections")["pools"]}
        assert pools[f"{OTHER_DATABASE}/app"]["retry_config"]["max_retries"] == 7
        _order(proxy, "PUT", RETRY, {"max_retries": 1, "pool": OTHER_DATABASE})
        pools = {pool["pool"]: pool for pool in _json(proxy, "/api/database-recovery/connections")["pools"]}
        assert [pools[f"{name}/app"]["retry_config"]["max_retries"] for name in (DATABASE, OTHER_DATABASE)] == [7, 1]
        _order(proxy, "PUT", RETRY, {"initial_delay": 9}, expect=422)  # longer than max_delay
        _order(proxy, "PUT", RETRY, {"max_retries": 1}, expect=401, token=None)
        log = proxy.log_text()
        assert "audit: 127.0.0.1 with the operate token" in log and "timeout: 30s -> 2s" in log
        assert TOKEN not in log


def switches(bench):
    with _with_token(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        _order(proxy, "PUT", "/api/v1/switches", {"guard.enabled": False})
        shown = _json(proxy, "/api/database-recovery/status")["switches"]
        assert shown["guard.enabled"] is False and shown["recovery.enabled"] is True, shown


def test_connection(bench):
    with _with_token(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        answer = _order(proxy, "POST", TEST, {"connection_type": "asyncpg", "test_query": "SELECT 1"})
        kinds = {each["kind"] for each in answer["results"]}
        assert answer["ok"] and kinds == {"pool", "backend"}, answer
        assert answer["results"][0]["server_version"].startswith("15"), answer
        bad = _order(proxy, "POST", TEST, {"connection_type": DATABASE, "test_query": "select * from nowhere"})
        assert not bad["ok"] and bad["results"][0]["error"]["sqlstate"] == "42P01", bad
        write = _order(proxy, "POST", TEST, {"connection_type": DATABASE, "test_query": "insert into t values (1)"})
        assert write["results"][0]["error"]["sqlstate"] == "25006", write
        two = _order(proxy, "POST", TEST, {"connection_type": DATABASE, "test_query": "commit; insert into t values (1)"})
        assert two["results"][0]["error"]["sqlstate"] == "42601", two
        assert bench.sql("select count(*) from t")[0][0] == "0"
        _order(proxy, "POST", TEST, {"test_query": "select pg_sleep(0)"}, expect=403, token=None)
        assert _order(proxy, "POST", TEST, {"test_query": "select version();"}, token=None)["ok"]
        _order(proxy, "POST", TEST, {"connection_type": "nobody"}, expect=404)


def sessions(bench):
    """A client that waits is shown with its reason; one can be ended, and reads why."""
    with _with_token(bench, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as first, proxy.connect(DATABASE) as second:
        first.query("begin")
        second.send(msg.query("select 1"))

        def shown():
            return {each["state"]: each for each in _json(proxy, "/api/v1/sessions")["sessions"]}
        eventually(lambda: "waiting" in shown(), "the second client waits")
        waiting, holding = shown()["waiting"], shown()["in_transaction"]
        assert waiting["waits_for"] == "all server connections are busy" and waiting["wait_seconds"] >= 0, waiting
        assert holding["server"].endswith(str(bench.cluster.port)), holding
        _order(proxy, "DELETE", f"/api/v1/sessions/{holding['session']}")
        assert second.read_result().value() == "1"
        _order(proxy, "DELETE", "/api/v1/sessions/999999", expect=404)
        try:
            first.query("select 1")
            raise AssertionError("the ended session lives")
        except (ServerError, Closed) as end:
            assert not isinstance(end, ServerError) or end.sqlstate == "57P01", end


def pool_orders(bench):
    """A paused pool holds statements and no servers; resume serves them; reconnect brings new servers."""
    with _with_token(bench) as proxy, proxy.connect(DATABASE) as client:
        before = client.value("select pg_backend_pid()")
        _order(proxy, "POST", f"/api/v1/pools/{DATABASE}%2Fapp/pause")
        eventually(lambda: not bench.server_pids(), "the servers of a paused pool are closed")
        client.send(msg.query("select 1"))
        eventually(lambda: "waiting" in {each["state"] for each in _json(proxy, "/api/v1/sessions")["sessions"]},
                   "the statement waits")
        _order(proxy, "POST", f"/api/v1/pools/{DATABASE}/resume")
        assert client.read_result().value() == "1"
        second = client.value("select pg_backend_pid()")
        assert second != before
        _order(proxy, "POST", f"/api/v1/pools/{DATABASE}/reconnect")
        eventually(lambda: client.value("select pg_backend_pid()") != second, "another server serves")
        _order(proxy, "POST", "/api/v1/pools/nobody/pause", expect=404)


def recover(bench):
    """A pool whose dials back off finds the server at once when an operator says so."""
    with _with_token(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        bench.cluster.stop()
        bench.cluster.start()
        answer = _order(proxy, "POST", "/api/database-recovery/recover")
        assert answer["did"] and "backends" in answer["found"], answer
        assert client.query("select 1").value() == "1"


CASES = [sessions, pool_orders, recover, retry_config, switches, test_connection, probes, health_document, status_document, connections_document, metrics, refusals, no_secrets,
         health_without_a_backend]
