"""The admin port under TLS: documents and the event stream, certificates that change, and what does not speak it."""

import http.client
import json
import socket
import ssl

from bench import DATABASE
from lib.certificates import Certificates
from lib.deadline import eventually
from lib.proxy import merge

TOKEN = "operate-token-0123456789abcdef"


def _files(made):
    return {"cert_file": str(made.certificate), "key_file": str(made.key)}


def _proxy(bench, made, **admin):
    return bench.proxy(admin=merge({"operate_token": TOKEN, "tls": _files(made)}, admin))


def _certificates(bench, name):
    folder = bench.workspace.path / name
    folder.mkdir(exist_ok=True)
    return Certificates(folder)


def _ask(proxy, made, path, method="GET", body=None, headers=None):
    """(status, body, the certificate that was shown), verified against this authority."""
    context = ssl.create_default_context(cafile=str(made.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.admin_port, timeout=10, context=context)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), connection.sock.getpeercert()["serialNumber"] if connection.sock else ""
    finally:
        connection.close()


def documents_and_orders(bench):
    """Everything that plain HTTP serves, over TLS 1.2 and 1.3; one connection for several requests."""
    made = _certificates(bench, "admin-tls")
    with _proxy(bench, made) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        assert _ask(proxy, made, "/healthz")[:2] == (200, "ok\n")
        assert json.loads(_ask(proxy, made, "/api/database-recovery/status")[1])["mode"] == "normal"
        order = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        assert _ask(proxy, made, "/api/v1/hold", "POST", "{}")[0] == 401
        assert _ask(proxy, made, "/api/v1/resume", "POST", "{}", order)[0] == 200
        same_origin = {**order, "Origin": f"https://127.0.0.1:{proxy.admin_port}"}
        assert _ask(proxy, made, "/api/v1/resume", "POST", "{}", same_origin)[0] == 200
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=str(made.ca))
            context.minimum_version = context.maximum_version = version
            connection = http.client.HTTPSConnection("127.0.0.1", proxy.admin_port, timeout=10, context=context)
            for path in ("/readyz", "/metrics", "/openapi.json"):
                connection.request("GET", path)
                answer = connection.getresponse()
                assert (answer.status, bool(answer.read())) == (200, True), path
            connection.close()
        page = _ask(proxy, made, "/metrics")[1]
        assert 'pgsteady_tls_handshakes_total{side="admin",result="success"}' in page
        assert 'pgsteady_tls_certificate_expiry_timestamp_seconds{key="admin.tls.cert_file"}' in page


def stream_of_events(bench):
    made = _certificates(bench, "admin-tls")
    with _proxy(bench, made) as proxy:
        context = ssl.create_default_context(cafile=str(made.ca))
        with socket.create_connection(("127.0.0.1", proxy.admin_port), 10) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as listener:
                listener.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                seen = b""
                while b"event: snapshot" not in seen:
                    part = listener.recv(65536)
                    assert part, seen[-500:]
                    seen += part
                assert b"text/event-stream" in seen and b"event: dashboard" in seen


def plain_http_is_told_to_use_https(bench):
    """Nothing that it asked for comes in clear, and who begins a handshake and stops loses the connection in time."""
    made = _certificates(bench, "admin-tls")
    with _proxy(bench, made, read_timeout="500ms") as proxy:
        with socket.create_connection(("127.0.0.1", proxy.admin_port), 10) as plain:
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            said = b""
            try:
                while part := plain.recv(65536):
                    said += part
            except ConnectionResetError:
                pass
            assert said.startswith(b"HTTP/1.1 400 ") and b"https://" in said and b"pgsteady_" not in said, said
        with socket.create_connection(("127.0.0.1", proxy.admin_port), 10) as silent:
            silent.sendall(b"\x16\x03\x01")
            try:
                assert silent.recv(100) == b""
            except ConnectionResetError:
                pass
        assert _ask(proxy, made, "/healthz")[0] == 200
        page = _ask(proxy, made, "/metrics")[1]
        failed = next(line for line in page.splitlines() if line.startswith('pgsteady_tls_handshakes_total{side="admin",result="failure"}'))
        assert float(failed.split()[-1]) >= 2, failed


def certificates_change_while_it_runs(bench):
    """A reload shows the new one to whoever comes then; one that cannot be used changes nothing."""
    first, second = _certificates(bench, "admin-tls"), _certificates(bench, "admin-tls-2")
    with _proxy(bench, first) as proxy:
        order = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        shown = _ask(proxy, first, "/healthz")[2]
        proxy.write_config(merge(proxy.config, {"admin": {"tls": {"cert_file": "/nowhere.crt"}}}))
        status, body, _ = _ask(proxy, first, "/api/v1/reload", "POST", "{}", order)
        assert status == 422 and "nowhere.crt" in body, (status, body)
        assert _ask(proxy, first, "/healthz")[2] == shown
        proxy.write_config(merge(proxy.config, {"admin": {"tls": _files(second)}}))
        status, body, _ = _ask(proxy, first, "/api/v1/reload", "POST", "{}", order)
        assert status == 200 and "admin.tls.cert_file" in body, (status, body)
        eventually(lambda: _ask(proxy, second, "/healthz")[0] == 200, "the new certificate is shown")


CASES = [documents_and_orders, stream_of_events, plain_http_is_told_to_use_https, certificates_change_while_it_runs]
