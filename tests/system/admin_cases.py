"""The admin port: its documents, its metrics, its refusals (product.md 4 to 6, D8, D36)."""

import json
import re

from bench import DATABASE, ONE_SERVER
from lib.cluster import PASSWORD
from lib.deadline import eventually

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


CASES = [probes, health_document, status_document, connections_document, metrics, refusals, no_secrets,
         health_without_a_backend]
