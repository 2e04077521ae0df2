"""The psql console: who gets in, every table, every order, and Debian's exporter in front of it (D37)."""

import os
import shutil
import subprocess
import threading
import urllib.request

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.processes import free_port
from lib.proxy import clean_environment, merge
from lib.suite import Skip
from lib.wire_client import Closed, ServerError

USERS = {"root": {"password": PASSWORD}, "viewer": {"password": PASSWORD}}
ADMIN = {"admin_users": ["root"], "stats_users": ["viewer"]}
TABLES = ("POOLS CLIENTS SERVERS DATABASES STATS STATS_TOTALS STATS_AVERAGES TOTALS CONFIG VERSION USERS LISTS MEM SOCKETS "
          "ACTIVE_SOCKETS DNS_HOSTS DNS_ZONES STATE BACKENDS").split()


def _proxy(bench, **sections):
    return bench.proxy(users=USERS, admin={**ADMIN, **sections.pop("admin", {})}, **sections)


def _psql(proxy, text, user="root", database="pgsteady"):
    """Exit code, output and complaints of psql."""
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
    done = subprocess.run(["psql", "-X", "-h", "127.0.0.1", "-p", str(proxy.port), "-U", user, "-d", database, "-v",
                           "VERBOSITY=verbose", "-A", "-F", "|", "-P", "footer=off", "-c", text],
                          env=environment, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


def _show(proxy, table, **options):
    """The rows of a table as dictionaries, by way of psql."""
    code, out, err = _psql(proxy, f"SHOW {table};", **options)
    assert code == 0, err
    lines = out.splitlines()
    columns = lines[0].split("|")
    return [dict(zip(columns, line.split("|"))) for line in lines[1:]]


def _row(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert found, (wanted, rows)
    return found[0]


def every_table_in_psql(bench):
    """Both names lead there, psql warns of nothing, and no secret is in any table."""
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        for database in ("pgsteady", "pgbouncer"):
            for table in TABLES:
                code, out, err = _psql(proxy, f"show {table.lower()};", database=database)
                assert code == 0 and not err, (table, err)
                assert out, table
                assert PASSWORD not in out, table
        code, _, err = _psql(proxy, "SHOW HELP")
        assert code == 0 and "SHOW HELP|CONFIG" in err, err


def tables_tell_the_truth(bench):
    """What clients do shows in POOLS, CLIENTS, SERVERS, STATS."""
    with _proxy(bench, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE, application_name="till") as client:
        for _ in range(5):
            client.query("select 1")
        client.query("begin")
        pool = _row(_show(proxy, "POOLS"), database=DATABASE, user="app")
        assert (pool["cl_active"], pool["cl_waiting"], pool["sv_active"], pool["sv_idle"]) == ("1", "0", "1", "0"), pool
        assert pool["pool_mode"] == "transaction", pool
        mine = _row(_show(proxy, "CLIENTS"), database=DATABASE)
        assert (mine["state"], mine["activity"], mine["application_name"]) == ("active", "in_transaction", "till"), mine
        server = _row(_show(proxy, "SERVERS"), database=DATABASE)
        assert server["state"] == "active" and server["link"] == mine["ptr"] and server["ptr"] == mine["link"], server
        assert server["remote_pid"] in bench.server_pids(), server
        assert server["role"] == "primary", server
        client.query("commit")
        stats = _row(_show(proxy, "STATS"), database=DATABASE)
        assert stats["total_query_count"] == stats["total_requests"] == "7", stats
        assert stats["total_xact_count"] == "6", stats  # BEGIN ends no transaction
        assert int(stats["total_received"]) > 0 and int(stats["total_sent"]) > 0 and int(stats["total_query_time"]) > 0, stats
        assert int(stats["total_xact_time"]) >= int(stats["total_query_time"]) // 2, stats


def says_why_a_client_is_pinned(bench):
    with _proxy(bench, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("create temp table pinned_here (a int)")
        assert "temp" in _row(_show(proxy, "CLIENTS"), database=DATABASE)["pinned"]
        assert _row(_show(proxy, "POOLS"), database=DATABASE)["pinned"] == "1"


def pause_waits_for_work_and_resume_lets_it_go_on(bench):
    """PAUSE is answered when the last server is gone; who comes meanwhile waits and is served after RESUME."""
    with _proxy(bench, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as busy, proxy.connect(DATABASE) as waiting:
        busy.query("begin")
        paused = []
        pausing = threading.Thread(target=lambda: paused.append(_psql(proxy, f"PAUSE {DATABASE}")))
        pausing.start()
        eventually(lambda: _row(_show(proxy, "POOLS"), database=DATABASE)["paused"] == "1", "the pool is paused")
        assert not paused, paused
        busy.query("select 1")                                       # an open transaction goes on
        busy.query("commit")
        pausing.join(20)
        assert paused and paused[0][0] == 0 and paused[0][1].strip() == "PAUSE", paused
        assert not bench.server_pids(), "a server is left"

        answers = []
        asking = threading.Thread(target=lambda: answers.append(waiting.query("select 42").rows))
        asking.start()
        eventually(lambda: _row(_show(proxy, "CLIENTS"), state="waiting"), "the client waits")
        assert _row(_show(proxy, "CLIENTS"), state="waiting")["waits_for"] == "the pool is paused"
        assert _row(_show(proxy, "POOLS"), database=DATABASE)["cl_waiting"] == "1"
        assert _row(_show(proxy, "DATABASES"), name=DATABASE)["paused"] == "1"
        assert not answers
        code, out, _ = _psql(proxy, f"RESUME {DATABASE}")
        assert code == 0 and out.strip() == "RESUME", out
        asking.join(20)
        assert answers == [[["42"]]], answers


def pause_of_everything_holds_pools_to_come(bench):
    with _proxy(bench) as proxy:
        assert _psql(proxy, "PAUSE")[0] == 0
        assert _row(_show(proxy, "STATE"), key="paused")["value"] == "yes"
        answers = []

        def ask():
            with proxy.connect(DATABASE) as client:
                answers.append(client.query("select 1").rows)
        asking = threading.Thread(target=ask)
        asking.start()
        eventually(lambda: [row for row in _show(proxy, "POOLS") if row["cl_waiting"] == "1"], "its first client waits")
        assert not answers
        assert _psql(proxy, "RESUME")[0] == 0
        asking.join(20)
        assert answers == [[["1"]]], answers


def reconnect_and_wait_close(bench):
    with _proxy(bench, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        before = bench.server_pids()
        assert _psql(proxy, f"RECONNECT {DATABASE}")[0] == 0
        assert _row(_show(proxy, "SERVERS"), database=DATABASE)["close_needed"] == "1"
        closed = []
        closing = threading.Thread(target=lambda: closed.append(_psql(proxy, f"WAIT_CLOSE {DATABASE}")))
        closing.start()
        closing.join(0.3)
        assert not closed, closed
        client.query("commit")
        closing.join(20)
        assert closed and closed[0][1].strip() == "WAIT_CLOSE", closed
        client.query("select 1")
        assert not before & bench.server_pids(), "the server is still the same"


def kill_ends_clients_until_resume(bench):
    with _proxy(bench, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        assert _psql(proxy, f"KILL {DATABASE}")[0] == 0
        try:
            client.query("select 1")
            raise AssertionError("the client lives")
        except ServerError as end:
            assert end.fields["C"] == "57P01", end.fields
        except Closed:
            pass
        eventually(lambda: not bench.server_pids(), "its server is closed")
        assert _row(_show(proxy, "DATABASES"), name=DATABASE)["paused"] == "1"
        assert _psql(proxy, f"RESUME {DATABASE}")[0] == 0
        with proxy.connect(DATABASE) as again:
            assert again.query("select 1").rows == [["1"]]


def kill_client_ends_one(bench):
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client, proxy.connect(DATABASE, application_name="victim") as victim:
        client.query("select 1")
        victim.query("select 1")
        number = _row(_show(proxy, "CLIENTS"), application_name="victim")["id"]
        assert _psql(proxy, f"KILL_CLIENT {number}")[0] == 0
        assert client.query("select 1").rows == [["1"]]
        eventually(lambda: not [row for row in _show(proxy, "CLIENTS") if row["application_name"] == "victim"], "it is gone")
        code, _, err = _psql(proxy, f"KILL_CLIENT {number}")
        assert code != 0 and "42704" in err, err


def disable_refuses_new_clients(bench):
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        assert _psql(proxy, f"DISABLE {DATABASE}")[0] == 0
        assert proxy.refused(DATABASE)["C"] == "55000"
        assert client.query("select 1").rows == [["1"]]
        assert _row(_show(proxy, "DATABASES"), name=DATABASE)["disabled"] == "1"
        assert _psql(proxy, f"ENABLE {DATABASE}")[0] == 0
        proxy.connect(DATABASE).close()


def shutdown_drains(bench):
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        code, out, err = _psql(proxy, "SHUTDOWN")
        assert code == 0 and out.strip() == "SHUTDOWN", (out, err)
        client.query("select 1")                                      # an open transaction may finish
        try:
            client.query("commit")
        except (Closed, ServerError):
            pass
        assert proxy.wait() == 0
        proxy.process = None


def who_gets_in(bench):
    """D37: users of neither list are refused with 28000, whoever they are to a server; wrong passwords like anywhere."""
    with _proxy(bench) as proxy:
        assert proxy.refused("pgsteady", user="app")["C"] == "28000"
        assert "admin_users" in proxy.refused("pgsteady", user="app")["H"]
        assert proxy.refused("pgsteady", user="root", password="wrong")["C"] == "28P01"
        assert proxy.refused("pgbouncer", user="nobody")["C"] == "28P01"
        proxy.connect("pgsteady", user="viewer").close()
    with bench.proxy() as proxy:                                      # both lists are empty: nobody
        assert proxy.refused("pgsteady", user="app")["C"] == "28000"
    with bench.proxy(users=USERS, admin=ADMIN, auth={"method": "trust"}) as proxy:
        assert proxy.refused("pgsteady", user="root", password="wrong")["C"] == "28P01"
        proxy.connect("pgsteady", user="root").close()
    with bench.proxy(users=USERS, admin=ADMIN, auth={"method": "passthrough"}) as proxy:
        assert proxy.refused("pgsteady", user="app", password="wrong")["C"] == "28P01"
        proxy.connect("pgsteady", user="root").close()


def stats_users_look_and_change_nothing(bench):
    with _proxy(bench) as proxy:
        assert _show(proxy, "VERSION", user="viewer")[0]["version"].startswith("pgsteady ")
        for text in ("PAUSE", f"KILL {DATABASE}", "SHUTDOWN", "RELOAD", "SET log.level = debug"):
            code, _, err = _psql(proxy, text, user="viewer")
            assert code != 0 and "42501" in err, (text, err)
        assert _row(_show(proxy, "STATE"), key="paused")["value"] == "no"
        assert "console: refused viewer" in proxy.log_text()


def orders_leave_an_audit_line(bench):
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        for text in (f"PAUSE {DATABASE}", f"RESUME {DATABASE}", "SET log.level = warning"):
            assert _psql(proxy, text)[0] == 0
        log = proxy.log_text()
        assert f"console, PAUSE {DATABASE}: {DATABASE}/app paused: false -> true" in log, log
        assert "audit: root from 127.0.0.1:" in log, log
        assert "console, SET log.level = warning" in log, log
        _psql(proxy, "SHOW POOLS")
        assert "is in the console" not in proxy.log_text()[len(log):], "the level was not changed"


def reload_tells_what_changed(bench):
    """The same as SIGHUP: all or nothing, and the answer says which."""
    with _proxy(bench) as proxy:
        proxy.write_config(merge(proxy.config, {"pool": {"size": 3}}))
        code, out, err = _psql(proxy, "RELOAD")
        assert code == 0 and out.strip() == "RELOAD", (out, err)
        assert "pool.size: 2 -> 3" in err, err
        assert _row(_show(proxy, "CONFIG"), key="pool.size")["value"] == "3"
        proxy.write_config(merge(proxy.config, {"pool": {"size": "many"}}))
        code, _, err = _psql(proxy, "RELOAD")
        assert code != 0 and "F0000" in err and "pool.size" in err, err
        assert _row(_show(proxy, "CONFIG"), key="pool.size")["value"] == "3"


def refusals_have_code_and_hint(bench):
    with _proxy(bench) as proxy:
        for text, code, hint in (("PAUZE", "42601", "PAUSE"), ("SHOW POOL", "42601", "SHOW POOLS"), ("SHOW FDS", "0A000", ""),
                                 ("PAUSE no_such", "3D000", "SHOW DATABASES"), ("BEGIN", "42601", "autocommit"),
                                 ("SUSPEND", "0A000", "PAUSE"), ("SET pool.size = 3", "0A000", "retry-config")):
            result, _, err = _psql(proxy, text)
            assert result != 0 and code in err and hint in err, (text, err)
        # One connection: an error spoils nothing, several commands of a text are answered in turn.
        with proxy.connect("pgsteady", user="root") as client:
            assert client.query("nonsense").error
            assert client.query("SHOW VERSION; SHOW STATE").rows


def a_configured_database_of_the_name_wins(bench):
    """The names are reserved only as long as the configuration has no use of its own for them."""
    with _proxy(bench, databases={"pgbouncer": {"dbname": DATABASE}}) as proxy:
        with proxy.connect("pgbouncer") as client:
            assert client.query("select current_database()").rows == [[DATABASE]]
        proxy.connect("pgsteady", user="root").close()


def over_tls(bench):
    with _proxy(bench, listen={"tls": bench.tls()}) as proxy:
        with proxy.connect("pgsteady", user="root", tls=True) as client:
            assert client.query("SHOW VERSION").rows[0][0].startswith("pgsteady ")


def counted_under_the_caps(bench):
    """A client of the console is a client: its place is taken, and given back when it leaves."""
    with _proxy(bench, limits={"max_clients": 2}) as proxy, proxy.connect(DATABASE):
        eventually(lambda: proxy.http("/healthz")[0] == 200, "the probes of the start have left")
        console = proxy.connect("pgsteady", user="viewer")
        assert proxy.refused(DATABASE)["C"] == "53300"
        console.close()

        def again():
            try:
                proxy.connect(DATABASE).close()
                return True
            except ServerError:
                return False
        eventually(again, "the place is free again")


def a_cap_of_its_own(bench):
    """admin.max_console_clients: one more is told so, and the place of one that leaves is free."""
    with _proxy(bench, admin={"max_console_clients": 1}) as proxy:
        console = proxy.connect("pgsteady", user="viewer")
        refusal = proxy.refused("pgsteady", user="root")
        assert refusal["C"] == "53300" and "admin.max_console_clients" in str(refusal), refusal
        eventually(lambda: {"pgsteady_console_clients 1", "pgsteady_console_refused_total 1"} <=
                   set(proxy.http("/metrics")[2].splitlines()), "both are counted")
        console.close()

        def again():
            try:
                proxy.connect("pgsteady", user="root").close()
                return True
            except ServerError:
                return False
        eventually(again, "the place is free again")


def many_commands_sent_ahead(bench):
    """More than is read at a time is answered in order, one command per turn."""
    with _proxy(bench) as proxy, proxy.connect("pgsteady", user="viewer") as client:
        count = 3000
        client.send(b"".join(msg.query(f"SHOW VERSION /* {'x' * 50} */" if i % 2 else "nonsense") for i in range(count)))
        for i in range(count):
            result = client.read_result()
            assert bool(result.rows) == bool(i % 2), (i, result.rows, result.error)
        client.send(msg.query("x" * 70000))
        try:
            error = client.read_result().error
        except ServerError as problem:
            error = problem.fields
        assert error["C"] == "08P01", error


def psycopg3_works(bench):
    import psycopg
    with _proxy(bench) as proxy:
        with psycopg.connect(host="127.0.0.1", port=proxy.port, user="viewer", password=PASSWORD, dbname="pgsteady",
                             autocommit=True) as console:
            assert console.execute("SHOW LISTS").fetchone() == ("databases", 0)
            try:
                console.execute("SHOW LISTS", prepare=True)
                raise AssertionError("the extended protocol was accepted")
            except psycopg.errors.FeatureNotSupported:
                pass
            assert console.execute("SHOW VERSION").fetchone()[0].startswith("pgsteady")


def psycopg2_reads_numbers(bench):
    """Types are PgBouncer's: int4 and numeric arrive as numbers. The extended protocol is refused politely."""
    import psycopg2
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("select 1")
        console = psycopg2.connect(host="127.0.0.1", port=proxy.port, user="viewer", password=PASSWORD, dbname="pgbouncer")
        console.set_session(autocommit=True)
        with console.cursor() as cursor:
            cursor.execute("SHOW POOLS;")
            names = [column.name for column in cursor.description]
            row = dict(zip(names, next(row for row in cursor.fetchall() if row[0] == DATABASE)))
            assert row["cl_active"] == 1 and isinstance(row["maxwait"], int), row
            cursor.execute("SHOW STATS;")
            assert any(column.name == "total_xact_count" and column.type_code == 1700 for column in cursor.description)
        console.close()
        with proxy.connect("pgsteady", user="viewer") as extended:
            extended.send(msg.parse("", "SHOW POOLS") + msg.bind("", "") + msg.execute("") + msg.sync())
            result = extended.read_result()
            assert result.sqlstate == "0A000", result.error
            assert extended.query("SHOW VERSION").rows


def debians_exporter_works(bench):
    """prometheus-pgbouncer-exporter as Debian packages it, unchanged."""
    exporter = shutil.which("prometheus-pgbouncer-exporter")
    if not exporter:
        raise Skip("Debian's package prometheus-pgbouncer-exporter is not installed")
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        for _ in range(3):
            client.query("select 1")
        port = free_port()
        environment = {**clean_environment(), "PGPASSWORD": PASSWORD}
        process = subprocess.Popen([exporter, "--host", "127.0.0.1", "--port", str(port), "--pgbouncer-port", str(proxy.port),
                                    "--pgbouncer-host", "127.0.0.1", "--pgbouncer-user", "viewer"],
                                   env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            def page():
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                        return answer.read().decode()
                except OSError:
                    assert process.poll() is None, process.stderr.read()
                    return ""
            eventually(page, "the exporter answers")
            text = page()
            for line in (f'pgbouncer_requests_total{{database="{DATABASE}"}} 3.0',
                         f'pgbouncer_active_clients{{database="{DATABASE}",user="app"}} 1.0',
                         f'pgbouncer_waiting_clients{{database="{DATABASE}",user="app"}} 0.0',
                         f'pgbouncer_pool_size{{database="{DATABASE}"}} 2.0', "pgbouncer_pools 1.0", "pgbouncer_used_clients 1.0"):
                assert line in text, (line, text)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


CASES = (every_table_in_psql, tables_tell_the_truth, says_why_a_client_is_pinned, pause_waits_for_work_and_resume_lets_it_go_on,
         pause_of_everything_holds_pools_to_come, reconnect_and_wait_close, kill_ends_clients_until_resume, kill_client_ends_one,
         disable_refuses_new_clients, shutdown_drains, who_gets_in, stats_users_look_and_change_nothing,
         orders_leave_an_audit_line, reload_tells_what_changed, refusals_have_code_and_hint, a_configured_database_of_the_name_wins, over_tls,
         counted_under_the_caps, a_cap_of_its_own, many_commands_sent_ahead, psycopg2_reads_numbers, psycopg3_works, debians_exporter_works)
