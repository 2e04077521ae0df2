"""--check, --print-config, --version, configuration by environment, and refusing to start with a reason."""

import signal
import subprocess

from bench import DATABASE
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.processes import free_port
from lib.proxy import base_config, binary, command


def _file(bench, text, name="case.yaml"):
    path = bench.workspace.path / name
    path.write_text(text)
    return path


def version(bench):
    code, out = command("--version")
    assert code == 0 and "pgsteady" in out.lower() and any(ch.isdigit() for ch in out), out
    assert "revision " in out and "OpenSSL 3" in out and "grammar of PostgreSQL 15" in out, out


def unknown_option(bench):
    code, out = command("--no-such-option")
    assert code != 0 and "no-such-option" in out, (code, out)


def check_accepts_a_good_file(bench):
    proxy = bench.proxy()
    code, out = command("--config", proxy.file, "--check")
    assert code == 0, out


def check_lists_every_problem(bench):
    path = _file(bench, "pool:\n  siez: 5\n  hold_timeout: 30\nlisten:\n  port: 99999\nlog:\n  format: xml\n"
                        "backends:\n  hosts: [127.0.0.1]\n")
    code, out = command("--config", path, "--check")
    assert code == 1, (code, out)
    for expected in ("case.yaml:2:", "pool.siez", "pool.size", "case.yaml:3:", "pool.hold_timeout", "30s",
                     "case.yaml:5:", "listen.port", "case.yaml:7:", "log.format"):
        assert expected in out, f"{expected} is missing in:\n{out}"
    code, out = command("--config", path)
    assert code != 0 and "pool.siez" in out, "it must not start with these"


def check_of_a_missing_file(bench):
    code, out = command("--config", "/nowhere/proxy.yaml", "--check")
    assert code == 1 and "/nowhere/proxy.yaml" in out, (code, out)


def print_config_hides_secrets(bench):
    proxy = bench.proxy()
    code, out = command("--config", proxy.file, "--print-config",
                        environment={"PGSTEADY_POOL__MAX_OVERFLOW": "7", "DB_POOL_TIMEOUT": "12",
                                     "PGSTEADY_ADMIN__OPERATE_TOKEN": "a-very-secret-token-0123456789"})
    assert code == 0, out
    assert PASSWORD not in out and "a-very-secret-token" not in out, out
    for expected in ("(set)", "PGSTEADY_POOL__MAX_OVERFLOW", "DB_POOL_TIMEOUT", "default", proxy.file.name):
        assert expected in out, f"{expected} is missing in:\n{out}"


def contradicting_variables(bench):
    """D2: both names of a setting, different values: start-up fails and names both."""
    code, out = command("--check", environment={"DB_HOST": "127.0.0.1", "DB_POOL_SIZE": "5",
                                                "DATABASE_POOL_SIZE": "6"})
    assert code == 1 and "DB_POOL_SIZE" in out and "DATABASE_POOL_SIZE" in out, (code, out)


def environment_alone(bench):
    """D7: no file at all; with DB_USER and DB_PASS clients sign in with that pair."""
    port = free_port()
    proxy = bench.proxy_with({"listen": {"port": port}, "admin": {"port": free_port()}}, environment={
        "DB_HOST": f"127.0.0.1:{bench.cluster.port}", "DB_USER": "app", "DB_PASS": PASSWORD, "DB_NAME": DATABASE,
        "PGSTEADY_POOL__MIN_SIZE": "0"})
    with proxy, proxy.connect(DATABASE) as client:
        assert client.value("select current_user") == "app"


def listen_open_with_trust_is_refused(bench):
    """D7: beyond loopback without authentication needs to be said twice."""
    code, out = command("--check", environment={"DB_HOST": "127.0.0.1", "PGSTEADY_LISTEN__HOST": "0.0.0.0",
                                                "PGSTEADY_AUTH__METHOD": "trust"})
    assert code == 1 and "trust" in out, (code, out)


def admin_open_without_token_is_refused(bench):
    code, out = command("--check", environment={"DB_HOST": "127.0.0.1", "PGSTEADY_ADMIN__HOST": "0.0.0.0"})
    assert code == 1 and "token" in out, (code, out)


def port_in_use(bench):
    with bench.proxy() as first:
        config = base_config(bench.cluster)
        config["listen"]["port"] = first.port
        path = bench.proxy_with(config).file
        code, out = command("--config", path)
        assert code != 0 and str(first.port) in out, (code, out)


def reload_keeps_clients(bench):
    """SIGHUP, with a good and then with a broken file: sessions go on."""
    proxy = bench.proxy()
    with proxy, proxy.connect(DATABASE) as client:
        client.query("set work_mem to '9MB'")
        proxy.signal(signal.SIGHUP)
        assert client.value("show work_mem") == "9MB"
        proxy.file.write_text("pool: [nonsense")
        proxy.signal(signal.SIGHUP)
        assert client.value("show work_mem") == "9MB"
        eventually(lambda: "proxy" in proxy.log_text(), "the failed reload is in the log")
        proxy.connect(DATABASE).close()


def check_compares_with_max_connections(bench):
    """D7: --check warns if the named pools may open more than the server admits, and says the numbers."""
    few = bench.proxy(databases={DATABASE: {}}, pool={"size": 5})
    code, out = command("--config", few.file, "--check")
    assert code == 0 and "warning" not in out and "admits 97 connections" in out, out
    many = bench.proxy(databases={DATABASE: {}}, pool={"size": 60})         # two users: 120
    code, out = command("--config", many.file, "--check")
    assert code == 0, out
    for expected in ("warning: 127.0.0.1", "admits 97 connections", "2 named pool(s) may open 120",
                     "limits.max_server_connections"):
        assert expected in out, f"{expected} is missing in:\n{out}"
    capped = bench.proxy(databases={DATABASE: {}}, pool={"size": 60}, limits={"max_server_connections": 90})
    code, out = command("--config", capped.file, "--check")
    assert code == 0 and "warning" not in out, out


def import_of_pgbouncer(bench):
    """What it makes of pgbouncer.ini is valid as it stands; what is lost is on the other stream, with its line."""
    users = _file(bench, f'"app" "{PASSWORD}"\n', "userlist.txt")
    theirs = _file(bench, f"[databases]\n{DATABASE} = host=127.0.0.1 port={bench.cluster.port}\n[pgbouncer]\n"
                          f"listen_port = {free_port()}\nauth_type = md5\nauth_file = {users}\npool_mode = transaction\n"
                          "auth_query = select 1\n", "pgbouncer.ini")
    done = subprocess.run([binary(), "--import-pgbouncer", theirs], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "pgbouncer.ini:8: auth_query: " in done.stderr, done
    assert PASSWORD in done.stdout and PASSWORD not in done.stderr, done
    code, out = command("--config", _file(bench, done.stdout, "imported.yaml"), "--check")
    assert code == 0 and "configuration is valid" in out, out
    assert command("--import-pgbouncer", "/nowhere/pgbouncer.ini")[0] == 1


CASES = [version, unknown_option, check_accepts_a_good_file, check_lists_every_problem, check_of_a_missing_file,
         print_config_hides_secrets, contradicting_variables, environment_alone, listen_open_with_trust_is_refused,
         admin_open_without_token_is_refused, port_in_use, reload_keeps_clients,
         check_compares_with_max_connections, import_of_pgbouncer]
