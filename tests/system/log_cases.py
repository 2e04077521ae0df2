"""One line per client end with its reason; JSON when asked; secrets never."""

import json
import re

from bench import DATABASE
from lib import messages as msg
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.wire_client import WireClient


def _ends(proxy):
    """Without the suite's own look whether the proxy listens, which never says who it is."""
    return [line for line in proxy.log_text().splitlines() if " ended: " in line and "user= " not in line]


def _await_end(proxy, reason, count=1):
    eventually(lambda: sum(reason in line for line in _ends(proxy)) >= count, f"a line that says {reason}")


def one_line_per_end(bench):
    with bench.proxy() as proxy:
        proxy.connect(DATABASE).close()
        _await_end(proxy, "client_terminated")
        client = proxy.connect(DATABASE)
        client.query("begin")
        client.reset()
        _await_end(proxy, "client_gone")
        client = proxy.connect(DATABASE)
        client.send(msg.message("!"))
        client.read_to_end()
        _await_end(proxy, "protocol_violation")
        assert len(_ends(proxy)) == 3, _ends(proxy)
        assert all("user=app" in line and f"database={DATABASE}" in line for line in _ends(proxy)), _ends(proxy)


def failed_logins_are_told(bench):
    with bench.proxy() as proxy:
        proxy.refused(DATABASE, password="a-wrong-password")
        eventually(lambda: "sign-in failed" in proxy.log_text(), "the failed sign-in is in the log")
        assert "a-wrong-password" not in proxy.log_text()


def json_lines(bench):
    with bench.proxy(log={"format": "json", "level": "debug"}) as proxy:
        proxy.connect(DATABASE, application_name='quote " and \\ and \x01').close()
        _await_json(proxy)
        for line in proxy.log_text().splitlines():
            json.loads(line)


def _await_json(proxy):
    eventually(lambda: "client_terminated" in proxy.log_text(), "the end is in the log")


def secrets_stay_out(bench):
    """D39: passwords in statements are redacted as well."""
    with bench.proxy(log={"level": "debug", "statements": True}) as proxy:
        with proxy.connect(DATABASE) as client:
            client.query("alter role app password 'statement-secret-1'")
            client.query(f"alter role app password '{PASSWORD}'")
            client.close()
        eventually(lambda: "client_terminated" in proxy.log_text(), "the end is in the log")
        assert PASSWORD not in proxy.log_text() and "statement-secret-1" not in proxy.log_text()


def garbage_does_not_flood(bench):
    """Lines are limited per second and kind."""
    with bench.proxy(log={"rate_limit": 10}) as proxy:
        for _ in range(200):
            with WireClient(proxy.address) as client:
                client.send(b"GET / HTTP/1.0\r\n\r\n")
                client.read_to_end()
        assert len(proxy.log_text().splitlines()) < 150, proxy.log_tail(10)


def slow_statements(bench):
    """log.slow_statement: how long, whose, and the text without its constants (D39), also of a prepared statement."""
    with bench.proxy(log={"slow_statement": "50ms"}) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 'quick-constant'")
        client.query("select pg_sleep(0.08), 'slow-constant'")
        eventually(lambda: "slow statement: " in proxy.log_text(), "the slow statement is in the log")
        line = next(line for line in proxy.log_text().splitlines() if "slow statement: " in line)
        assert f"(app@{DATABASE})" in line and "select pg_sleep($1), $2" in line, line
        client.send(msg.parse("slow", "select pg_sleep(0.09)") + msg.sync())
        client.read_result()
        client.send(msg.bind("", "slow") + msg.execute("") + msg.sync())
        client.read_result()
        eventually(lambda: proxy.log_text().count("slow statement: ") == 2, "so is the prepared one")
        assert "constant" not in proxy.log_text()


def incidents_can_be_found(bench):
    """The number in the error that a client gets is a member of its own in JSON lines."""
    with bench.proxy(log={"format": "json"}, pool={"size": 1, "hold_timeout": "1s"}) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        told = json.dumps(proxy.refused(DATABASE))
        lines = [json.loads(line) for line in proxy.log_text().splitlines()]
        known = {line["incident"] for line in lines if "incident" in line}
        assert any(each in told for each in known), (known, told)


def one_number_everywhere(bench):
    """The number in the client's error is the log's, /status's, and that of what the page shows."""
    with bench.proxy(pool={"size": 1, "hold_timeout": "1s"}) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        number = re.search(r"incident=([0-9a-f]{8})", str(proxy.refused(DATABASE))).group(1)
        assert f"incident {number}: " in proxy.log_text(), proxy.log_text()
        status = json.loads(proxy.http("/api/database-recovery/status")[2])["incidents"]
        assert number in [each["incident"] for each in status["latest"]], status
        assert status["total"] >= 1
        events = json.loads(proxy.http("/api/v1/monitoring/dashboard")[2])["events"]
        assert [number] in [each["incidents"] for each in events if each["kind"] == "incident"], events


CASES = [slow_statements, incidents_can_be_found, one_number_everywhere, one_line_per_end, failed_logins_are_told, json_lines, secrets_stay_out, garbage_does_not_flood]
