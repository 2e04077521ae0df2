"""Safety of the admin port of a running proxy (product.md 6, D36 to D39): who gets in, who is slow, what never comes out."""

import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from bench import DATABASE
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.wire_client import Closed, ServerError

OPERATE = "operate-token-0123456789abcdef"
READ = "read-token-0123456789abcdef"
JSON = {"Content-Type": "application/json"}


def _bearer(token):
    return {"Authorization": f"Bearer {token}"} if token else {}


def tokens_and_roles(bench):
    """Reading needs the read token once there is one, orders the operate token; a wrong one is none."""
    with bench.proxy(admin={"operate_token": OPERATE, "read_token": READ}) as proxy:
        for token, read, order in ((None, 401, 401), ("wrong-token-0123456789", 401, 401), (READ, 200, 403), (OPERATE, 200, 200)):
            assert proxy.http("/api/database-recovery/status", headers=_bearer(token))[0] == read, token
            status = proxy.http("/api/v1/switches", "PUT", "{}", {**JSON, **_bearer(token)})[0]
            assert status == order, (token, status)
        for path in ("/healthz", "/readyz"):
            assert proxy.http(path)[0] == 200                          # a kubelet has no token
        assert OPERATE not in proxy.log_text() and READ not in proxy.log_text()


def other_hosts_and_origins(bench):
    """A page of another site can neither read (Host) nor order (Origin), with the right token in its hands."""
    with bench.proxy(admin={"operate_token": OPERATE}) as proxy:
        assert proxy.http("/metrics", headers={"Host": "attacker.example"})[0] >= 400
        foreign = {**JSON, **_bearer(OPERATE), "Origin": "http://attacker.example"}
        assert proxy.http("/api/v1/hold", "POST", "{}", foreign)[0] == 403
        assert json.loads(proxy.http("/api/database-recovery/status")[2])["mode"] == "normal"


def large_and_slow_bodies(bench):
    """A body beyond 64 KiB is refused unread; one that drips holds nobody else up."""
    with bench.proxy(admin={"operate_token": OPERATE}) as proxy:
        status, _, _ = proxy.http("/api/v1/switches", "PUT", "x" * 70_000, {**JSON, **_bearer(OPERATE)})
        assert status == 413, status
        slow = [socket.create_connection(("127.0.0.1", proxy.admin_port)) for _ in range(50)]
        for each in slow:
            each.sendall(f"PUT /api/v1/switches HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {OPERATE}\r\n"
                         "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{".encode())
        began = time.monotonic()
        assert proxy.http("/healthz")[0] == 200
        assert time.monotonic() - began < 8
        for each in slow:
            each.close()


def a_thousand_idle_connections(bench):
    """They cost clients nothing and scrapers no answer: whoever is silent longest gives way."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        idle = []
        for _ in range(1000):
            idle.append(socket.create_connection(("127.0.0.1", proxy.admin_port)))
        assert proxy.http("/metrics")[0] == 200
        assert client.value("select 1") == "1"
        for each in idle:
            each.close()
        eventually(lambda: proxy.http("/healthz")[0] == 200, "the admin port answers")


def no_secret_in_any_answer(bench):
    """D36, D38, D39: every path that reads, and the log at its most talkative, after everything that could leak."""
    secrets = {OPERATE, PASSWORD, "statement-secret", "wrong-password-secret", "hook-secret"}
    sections = {"admin": {"operate_token": OPERATE}, "log": {"level": "debug", "statements": True, "slow_statement": "1ms"},
                "alerts": {"webhook_url": "http://127.0.0.1:1/hook-secret"}}
    with bench.proxy(**sections) as proxy, proxy.connect(DATABASE) as client:
        client.query("alter role app_md5 password 'statement-secret'")
        client.query(f"alter role app_md5 password '{PASSWORD}'")
        client.query("select pg_sleep(0.01), 'statement-secret' as password")
        proxy.refused(DATABASE, password="wrong-password-secret")
        try:
            client.query("alter role app_md5 password 'statement-secret' nonsense")
        except (ServerError, Closed):
            pass
        proxy.http("/api/v1/reload", "POST", "{}", {**JSON, **_bearer(OPERATE)})
        proxy.http("/api/v1/reload", "POST", "{}", {**JSON, **_bearer("wrong-password-secret")})
        paths = set(re.findall(r"GET +(/\S*)", proxy.http("/")[2])) | set(re.findall(r'"(/[^"{}]*)": ?\{', proxy.http("/openapi.json")[2]))
        paths |= {"/", "/metrics", "/api/database-recovery/health", "/api/database-recovery/status", "/api/v1/sessions",
                  "/api/database-recovery/connections", "/api/database-recovery/metrics", "/api/v1/monitoring/dashboard",
                  "/api/database-recovery/alerts", "/api/v1/config"}
        for path in sorted(paths - {"/api/v1/events"}):                # that one does not end
            body = proxy.http(path)[2]
            for secret in secrets:
                assert secret not in body, (path, secret)
        for secret in secrets:
            assert secret not in proxy.log_text(), secret


class _Receiver(BaseHTTPRequestHandler):
    """What a webhook posts to: the first message is refused, the others are taken."""

    def do_POST(self):
        self.server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if len(self.server.messages) == 1 else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def alerts_reach_the_webhook(bench):
    """A rejected configuration is told, again after a refusal, and so is its end."""
    with HTTPServer(("127.0.0.1", 0), _Receiver) as receiver:
        receiver.messages = []
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{receiver.server_port}/told?key=hook-secret"
        with bench.proxy(admin={"operate_token": OPERATE}, alerts={"webhook_url": address}) as proxy:
            good = proxy.file.read_text()
            proxy.file.write_text("pool: {siez: 3}")
            assert proxy.http("/api/v1/reload", "POST", "{}", {**JSON, **_bearer(OPERATE)})[0] == 422
            eventually(lambda: len(receiver.messages) >= 2, "the alert is told, and told again", 20)
            assert receiver.messages[0] == receiver.messages[1], receiver.messages
            told = receiver.messages[1]
            assert (told["source"], told["event"], told["alert"]["name"]) == ("pgsteady", "raised", "reload_failed"), told
            proxy.file.write_text(good)
            assert proxy.http("/api/v1/reload", "POST", "{}", {**JSON, **_bearer(OPERATE)})[0] == 200
            eventually(lambda: receiver.messages[-1]["event"] == "resolved", "so is its end", 20)
            counted = 'pgsteady_webhook_messages_total{outcome="delivered"} 2'
            eventually(lambda: counted in proxy.http("/metrics")[2], "both are counted", 20)
            assert "hook-secret" not in proxy.log_text()
        receiver.shutdown()


CASES = [alerts_reach_the_webhook, tokens_and_roles, other_hosts_and_origins, large_and_slow_bodies, a_thousand_idle_connections, no_secret_in_any_answer]
