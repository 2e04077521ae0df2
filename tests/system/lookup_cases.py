"""auth.query: users that only the server knows (D38, P4 to P6, P13), in front of a real one."""

import contextlib

from bench import DATABASE, OTHER_DATABASE
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.proxy import base_config, merge
from lib.wire_client import ServerError, WireClient

ASKER = "asker"
QUERY = {"user": ASKER, "password": PASSWORD, "database": "postgres"}


def _start(bench, method="scram-sha-256", query=None, **sections):
    """A proxy that knows no user but by asking the server as `asker`, who may read pg_authid and nothing else."""
    if not bench.sql(f"select 1 from pg_roles where rolname = '{ASKER}'"):
        bench.sql(f"create role {ASKER} login password '{PASSWORD}'")
    bench.cluster.sql(f"grant select on pg_catalog.pg_authid to {ASKER}", "postgres")     # rights are of a database
    config = merge(base_config(bench.cluster), sections)
    del config["users"]
    config["auth"] = {"method": method, "query": {**QUERY, **(query or {})}}
    return bench.proxy_with(config)


@contextlib.contextmanager
def _role(bench, name, how):
    bench.sql(f"create role {name} {how}")
    try:
        yield
    finally:
        bench.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{name}'")
        bench.sql(f"drop role {name}")


def _who(client):
    return client.value("select current_user")


def _lookups(proxy):
    """{outcome: number} and {kind: number} of what the metrics say."""
    counts, names = {}, {}
    for line in proxy.http("/metrics")[2].splitlines():
        into = counts if line.startswith("pgsteady_user_lookups_total{") else \
            names if line.startswith("pgsteady_users_remembered{") else None
        if into is not None:
            into[line.split('"')[1]] = int(float(line.rsplit(" ", 1)[1]))
    return counts, names


def a_database_asks_in_its_own_way(bench):
    """auth_user, auth_dbname and auth_query of an entry, beside auth.query; what one has found lets nobody into the other."""
    bench.sql("""create schema if not exists own_users;
        create or replace function own_users.secret_of(name text) returns table (who text, secret text)
        language sql as $$ select name, 'another' where name = 'app' $$;
        grant usage on schema own_users to public""")
    own = {"dbname": DATABASE, "user": "app", "password": PASSWORD, "auth_user": "app_md5", "auth_password": PASSWORD,
           "auth_dbname": DATABASE, "auth_query": "select * from own_users.secret_of($1)"}
    with _start(bench, databases={"own": own}) as proxy:
        for _ in range(2):
            with proxy.connect(DATABASE) as client:
                assert _who(client) == "app"
            with proxy.connect("own", password="another") as client:
                assert _who(client) == "app"
            assert proxy.refused("own")["C"] == "28P01"
            assert proxy.refused(DATABASE, password="another")["C"] == "28P01"


def scram_users(bench):
    """The client's own proof opens the servers, too: no password is anywhere in the configuration."""
    with _start(bench) as proxy:
        with proxy.connect(DATABASE) as client:
            assert _who(client) == "app"
        assert proxy.refused(DATABASE, password="wrong")["C"] == "28P01"
        refused = proxy.refused(DATABASE, user="app_md5")
        assert refused["C"] == "28P01", "what is stored as md5 is not enough for scram-sha-256"


def md5_and_scram_users(bench):
    """auth.method md5 is both, as in PostgreSQL: each role by what it has."""
    with _start(bench, method="md5") as proxy:
        for user in ("app", "app_md5"):
            with proxy.connect(DATABASE, user=user) as client:
                assert _who(client) == user
            assert proxy.refused(DATABASE, user=user, password="wrong")["C"] == "28P01"


def passwords_in_a_table(bench):
    """A query of one's own, on a table of one's own that has passwords in clear; the function is called by its full name."""
    bench.cluster.sql(f"""create schema if not exists proxy_users;
        create or replace function proxy_users.secret_of(name text) returns table (who text, secret text)
        language sql as $$ select name, '{PASSWORD}' where name = 'app' $$;
        grant usage on schema proxy_users to public""", "postgres")
    with _start(bench, query={"sql": "select * from proxy_users.secret_of($1)"}) as proxy:
        with proxy.connect(DATABASE) as client:
            assert _who(client) == "app"
        assert proxy.refused(DATABASE, password="wrong")["C"] == "28P01"
        assert proxy.refused(DATABASE, user="app_md5")["C"] == "28P01"


def an_unknown_user_looks_like_a_wrong_password(bench):
    """P13: the same messages in the same number, and as many questions to the server."""
    with _start(bench) as proxy:
        seen = []
        for user in ("app", "nobody_at_all", "app_trust", "x" * 100):
            before = _lookups(proxy)[0]
            for _ in range(2):
                with WireClient(proxy.address) as client:
                    try:
                        client.login(user, DATABASE, "wrong")
                        raise AssertionError("it was let in")
                    except ServerError as refusal:
                        fields = {key: value.replace(user, "USER") for key, value in refusal.fields.items()}
                    seen.append(([frame.type for frame in client.login_frames], fields))
            asked = sum(_lookups(proxy)[0][each] - before[each] for each in ("found", "unknown"))
            assert asked == (0 if len(user) > 63 else asked) and asked <= 2, (user, asked)
        assert all(each == seen[0] for each in seen), seen
        assert seen[0][1]["C"] == "28P01"


def who_may_not_sign_in_does_not(bench):
    """P5: an expired password, a role without LOGIN, one without a password."""
    with _role(bench, "app_expired", f"login password '{PASSWORD}' valid until '2001-01-01'"), \
            _role(bench, "app_nologin", f"nologin password '{PASSWORD}'"), \
            _role(bench, "app_valid", f"login password '{PASSWORD}' valid until '2999-01-01'"), _start(bench) as proxy:
        for user in ("app_expired", "app_nologin", "app_trust"):
            assert proxy.refused(DATABASE, user=user)["C"] == "28P01", user
        with proxy.connect(DATABASE, user="app_valid") as client:
            assert _who(client) == "app_valid"


def nothing_of_the_client_reaches_the_question(bench):
    """P4: neither its database nor its search_path, nor that of the asking role; one connection asks for all."""
    bench.cluster.sql("create schema if not exists evil; drop table if exists evil.pg_authid; "
                      "create table evil.pg_authid as select 'app'::name rolname, 'stolen'::text rolpassword; "
                      "grant usage on schema evil to public; grant select on evil.pg_authid to public; ", "postgres")
    try:
        with _start(bench, query={"sql": "select rolname, rolpassword from pg_authid where rolname = $1"}) as proxy:
            bench.sql(f"alter role {ASKER} set search_path = evil, pg_catalog")
            evil = {"search_path": "evil, pg_catalog", "options": "-c search_path=evil,pg_catalog"}
            assert proxy.refused(OTHER_DATABASE, password="stolen", **evil)["C"] == "28P01"
            for database in (DATABASE, OTHER_DATABASE):
                with proxy.connect(database) as client:
                    assert _who(client) == "app"
            asking = "select usename, datname from pg_stat_activity where application_name = 'pgsteady auth_query'"
            eventually(lambda: bench.sql(asking) == [[ASKER, "postgres"]], "one connection asks, and no earlier proxy's is left")
    finally:
        bench.sql(f"alter role {ASKER} reset search_path")


def a_name_is_a_value(bench):
    """Whatever a client calls itself, it is data."""
    with _start(bench) as proxy:
        for user in ("app' or true --", "app\"; drop role app; --", "$1", "%s", "APP", "app "):
            assert proxy.refused(DATABASE, user=user)["C"] == "28P01", user
        with proxy.connect(DATABASE) as client:
            assert _who(client) == "app"


def a_changed_password_is_honoured(bench):
    """An answer is used again for max_age; a failed sign-in ends that, whose cause may be a changed password."""
    with _role(bench, "app_changing", "login password 'first one'"), _start(bench, query={"max_age": "1h"}) as proxy:
        for _ in range(5):
            with proxy.connect(DATABASE, user="app_changing", password="first one") as client:
                assert _who(client) == "app_changing"
        counts = _lookups(proxy)[0]
        assert (counts["found"], counts["remembered"]) == (1, 4), counts
        bench.sql("alter role app_changing password 'second one'")
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_changing'")
        with contextlib.suppress(ServerError):                       # by the former verifier
            proxy.connect(DATABASE, user="app_changing", password="second one").close()
        with proxy.connect(DATABASE, user="app_changing", password="second one") as client:
            assert _who(client) == "app_changing", "servers are opened with the new password"
        assert proxy.refused(DATABASE, user="app_changing", password="first one")["C"] == "28P01"
        bench.sql("alter role app_changing nologin")
        for _ in range(2):
            refused = proxy.refused(DATABASE, user="app_changing", password="wrong")
        assert refused["C"] == "28P01"
        assert proxy.refused(DATABASE, user="app_changing", password="second one")["C"] == "28P01"


def names_that_do_not_exist_are_bounded(bench):
    with _start(bench, query={"max_names": 5, "max_age": "1h"}) as proxy:
        proxy.connect(DATABASE).close()
        for at in range(20):
            assert proxy.refused(DATABASE, user=f"ghost{at}")["C"] == "28P01"
        counts, names = _lookups(proxy)
        assert names == {"role": 1, "unknown": 5} and counts["unknown"] == 20, (counts, names)


def automatic_pools_are_bounded(bench):
    """Who has the right password is told of the limit, and nobody else."""
    with _start(bench, auto_pools={"max": 1}) as proxy, proxy.connect(DATABASE) as client:
        assert _who(client) == "app"
        with _role(bench, "app_second", f"login password '{PASSWORD}'"):
            assert proxy.refused(DATABASE, user="app_second", password="wrong")["C"] == "28P01"
            refused = proxy.refused(DATABASE, user="app_second")
            assert refused["C"] == "53300", refused


def an_outage_keeps_out_nobody_who_is_known(bench):
    """While nobody can be asked, what was known last signs in; who is not known waits, and is told that it was in vain."""
    with _start(bench, pool={"hold_timeout": "20s"}, query={"max_age": "0"}, workers=1) as proxy:
        proxy.connect(DATABASE).close()
        with _start(bench, pool={"hold_timeout": "1s"}) as hasty:
            bench.cluster.stop()
            try:
                refused = hasty.refused(DATABASE)
                assert (refused["S"], refused["C"]) == ("FATAL", "57P03"), refused
                with WireClient(proxy.address) as client:
                    client.login("app", DATABASE, PASSWORD)
                    assert _lookups(proxy)[0]["kept"] == 1
                    assert proxy.refused(DATABASE, password="wrong")["C"] == "28P01"
            finally:
                bench.cluster.start()
        with proxy.connect(DATABASE) as client:
            assert _who(client) == "app"


def an_asker_that_is_refused_is_told_of(bench):
    """A wrong account of ours keeps nobody waiting, and who is listed is not concerned."""
    with _start(bench, query={"password": "wrong"}, pool={"hold_timeout": "20s"}) as proxy:
        refused = proxy.refused(DATABASE)
        assert (refused["S"], refused["C"]) == ("FATAL", "57P03"), refused
        assert "asker" not in str(refused), refused
        eventually(lambda: "does not answer as asker: 28P01" in proxy.log_text(), "it is in the log")
        assert _lookups(proxy)[0]["failed"] == 1
    config = merge(base_config(bench.cluster), {"auth": {"query": {**QUERY, "password": "wrong"}}})
    with bench.proxy_with(config) as proxy, proxy.connect(DATABASE) as client:
        assert _who(client) == "app"


def no_secret_is_in_the_log(bench):
    with _start(bench, log={"level": "debug", "statements": True}) as proxy, proxy.connect(DATABASE) as client:
        assert _who(client) == "app"
        stored = bench.sql("select rolpassword from pg_authid where rolname = 'app'")[0][0]
        for part in (PASSWORD, stored, *stored.split("$")[1:]):
            assert part not in proxy.log_text()


CASES = [a_database_asks_in_its_own_way, scram_users, md5_and_scram_users, passwords_in_a_table, an_unknown_user_looks_like_a_wrong_password,
         who_may_not_sign_in_does_not, nothing_of_the_client_reaches_the_question, a_name_is_a_value, a_changed_password_is_honoured,
         names_that_do_not_exist_are_bounded, automatic_pools_are_bounded, an_outage_keeps_out_nobody_who_is_known,
         an_asker_that_is_refused_is_told_of, no_secret_is_in_the_log]
