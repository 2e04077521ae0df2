"""Loading the configuration again while clients work: by signal and over the admin port, all of it or nothing."""

import json
import signal
import socket
import ssl
import struct

from bench import DATABASE, OTHER_DATABASE
from lib.certificates import Certificates
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.proxy import merge

TOKEN = "operate-token-0123456789abcdef"
RELOAD = "/api/v1/reload"


def _reload(proxy, expect=200, token=TOKEN, **sections):
    """Writes the configuration with `sections` over it, orders the reload, returns its answer."""
    proxy.config = merge(proxy.config, sections)
    proxy.write_config(proxy.config)
    status, _, body = proxy.http(RELOAD, "POST", "{}", {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})
    assert status == expect, (status, body)
    return json.loads(body)


def _start(bench, **sections):
    return bench.proxy(**merge({"admin": {"operate_token": TOKEN}}, sections))


def _pool(proxy, database=DATABASE):
    pools = json.loads(proxy.http("/api/database-recovery/connections")[2])["pools"]
    return next(pool for pool in pools if pool["pool"] == f"{database}/app")


def _metric(proxy, name):
    return next(float(line.rsplit(" ", 1)[1]) for line in proxy.http("/metrics")[2].splitlines() if line.startswith(name))


def reload_changes_what_can_change(bench):
    """Sizes, timeouts and switches count for pools that are there; sessions go on; what needs a restart is named."""
    with _start(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("set work_mem to '9MB'")
        answer = _reload(proxy, pool={"size": 7, "max_overflow": 3}, guard={"enabled": False}, listen={"backlog": 77},
                         timeouts={"idle_in_transaction": "300ms"})
        changed = {each["what"]: (each["before"], each["after"]) for each in answer["changes"]}
        assert changed == {"pool.size": ("2", "7"), "pool.max_overflow": ("0", "3"), "guard.enabled": ("true", "false"),
                           "timeouts.idle_in_transaction": ("0", "300ms")}, changed
        assert answer["needs_restart"] == ["listen.backlog"], answer
        assert (_pool(proxy)["size"], _pool(proxy)["max_overflow"]) == (7, 3), _pool(proxy)
        assert client.value("show work_mem") == "9MB"
        clients = [proxy.connect(DATABASE) for _ in range(10)]
        for each in clients:
            each.query("begin")                                      # ten servers at once: size and overflow are in force
        resting = "select count(*) from pg_stat_activity where usename = 'app' and state = 'idle in transaction'"
        eventually(lambda: bench.sql(resting)[0][0] == "0", "transactions that rest are ended by the new timeout")
        assert "25P03" in str(clients[0].read_to_end()) or "idle_timeout" in proxy.log_text()
        for each in clients:
            each.abandon()
        assert _reload(proxy)["changes"] == []
        assert _metric(proxy, 'pgsteady_config_reloads_total{outcome="applied"}') == 1
        assert _metric(proxy, 'pgsteady_config_reloads_total{outcome="unchanged"}') == 1
        assert "audit: 127.0.0.1 with the operate token, reload: pool.size: 2 -> 7" in proxy.log_text()


def reload_of_a_broken_file_changes_nothing(bench):
    """The problem is told with its line and key; the configuration in use stays; metric and alert say so until it is mended."""
    with _start(bench) as proxy, proxy.connect(DATABASE) as client:
        good = proxy.config
        answer = _reload(proxy, expect=422, pool={"size": 9, "siez": 3}, retry={"max_retries": -1})
        told = json.dumps(answer)
        assert f"{proxy.file}:" in told and "pool.siez" in told and "retry.max_retries" in told, told
        client.query("select 1")
        assert _pool(proxy)["size"] == 2
        assert _metric(proxy, 'pgsteady_config_reloads_total{outcome="rejected"}') == 1
        assert _metric(proxy, "pgsteady_config_last_reload_successful") == 0

        def alerts():
            return [each["name"] for each in json.loads(proxy.http("/api/database-recovery/alerts")[2])["active"]]
        eventually(lambda: "reload_failed" in alerts(), "the failed reload raises an alert", 15)
        proxy.config = good
        _reload(proxy)
        assert _metric(proxy, "pgsteady_config_last_reload_successful") == 1
        eventually(lambda: "reload_failed" not in alerts(), "the alert ends", 15)


def reload_needs_the_operate_token(bench):
    """A new token counts at once, the old one no more (D36)."""
    with _start(bench) as proxy:
        _reload(proxy, expect=401, token="wrong-token-0123456789abcdef")
        other = "another-token-0123456789abcdef"
        answer = _reload(proxy, admin={"operate_token": other})
        assert answer["changes"] == [{"where": "configuration", "what": "admin.operate_token", "before": "(hidden)",
                                      "after": "(hidden)"}], answer
        eventually(lambda: proxy.http(RELOAD, "POST", "", {"Authorization": f"Bearer {TOKEN}"})[0] == 401, "the old token is void")
        _reload(proxy, token=other)
        assert other not in proxy.log_text() and TOKEN not in proxy.log_text()


def reload_users(bench):
    """A changed password, a new user and a new database serve the next sign-in; who is signed in stays."""
    with _start(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        _reload(proxy, users={"app": {"password": PASSWORD}, "app_md5": {"password": "other-password"}},
                databases={"renamed": {"dbname": OTHER_DATABASE}})
        assert proxy.refused(DATABASE, user="app_md5")["C"] == "28P01"
        with proxy.connect("renamed") as other:
            assert other.value("select current_database()") == OTHER_DATABASE
        assert client.value("select 1") == "1"


def reload_ends_what_operators_changed(bench):
    """retry-config lasts until the configuration is loaded again, as its answer says."""
    with _start(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        body = json.dumps({"max_retries": 9})
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        assert proxy.http("/api/database-recovery/retry-config", "PUT", body, headers)[0] == 200
        eventually(lambda: _pool(proxy)["retry_config"]["max_retries"] == 9, "the change is in force")
        _reload(proxy)
        eventually(lambda: _pool(proxy)["retry_config"]["max_retries"] == 3, "the configuration is in force again")


def _certificate_shown(proxy):
    """The certificate that a new client is shown."""
    with socket.create_connection(proxy.address) as raw:
        raw.sendall(struct.pack("!ii", 8, 80877103))
        assert raw.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(raw) as encrypted:
            return encrypted.getpeercert(binary_form=True)


def reload_certificates(bench):
    """P15: new connections are shown the new certificate, old ones keep theirs; an unreadable one changes nothing."""
    folder = bench.workspace.path / "replaced"
    folder.mkdir(exist_ok=True)
    first, second = bench.tls(), Certificates(folder)
    with _start(bench, listen={"tls": first}) as proxy, proxy.connect(DATABASE, tls=True) as client:
        before = _certificate_shown(proxy)
        answer = _reload(proxy, listen={"tls": {"cert_file": str(second.certificate), "key_file": str(second.key)}})
        assert any(each["where"] == "certificate" for each in answer["changes"]), answer
        assert _certificate_shown(proxy) != before
        assert client.value("select 1") == "1"
        after = _certificate_shown(proxy)
        broken = folder / "broken.pem"
        broken.write_text("no certificate")
        _reload(proxy, expect=422, listen={"tls": {"cert_file": str(broken)}}, pool={"size": 9})
        assert _certificate_shown(proxy) == after and _pool(proxy)["size"] == 2
        assert _metric(proxy, "pgsteady_tls_certificate_expiry_timestamp_seconds") > 1e9


def reload_by_signal(bench):
    with _start(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        proxy.write_config(merge(proxy.config, {"pool": {"size": 5}}))
        proxy.signal(signal.SIGHUP)
        eventually(lambda: "audit: SIGHUP, reload: pool.size: 2 -> 5" in proxy.log_text(), "SIGHUP is audited")
        eventually(lambda: _pool(proxy)["size"] == 5, "the size is in force")
        assert client.value("select 1") == "1"


CASES = [reload_changes_what_can_change, reload_of_a_broken_file_changes_nothing, reload_needs_the_operate_token, reload_users,
         reload_ends_what_operators_changed, reload_certificates, reload_by_signal]
