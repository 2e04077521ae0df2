"""Every way to sign in, on both sides, and that failures tell nothing (P13, D7, D9, D38)."""

from bench import DATABASE
from lib.certificates import Certificates
from lib.cluster import PASSWORD
from lib.proxy import base_config
from lib.wire_client import WireClient


def _who(client):
    return client.value("select current_user")


def scram(bench):
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        assert _who(client) == "app"
        assert proxy.refused(DATABASE, password="wrong")["C"] == "28P01"


def failures_look_alike(bench):
    """P13: a wrong password and a user that does not exist: the same messages in the same number."""
    with bench.proxy() as proxy:
        seen = []
        for user in ("app", "nobody_at_all"):
            with WireClient(proxy.address) as client:
                try:
                    client.login(user, DATABASE, "wrong")
                except Exception as refusal:                      # noqa: compared below
                    fields = {key: value.replace(user, "USER") for key, value in refusal.fields.items()}
                seen.append(([frame.type for frame in client.login_frames], fields))
        assert seen[0] == seen[1], seen
        assert seen[0][1]["C"] == "28P01"


def md5(bench):
    with bench.proxy(auth={"method": "md5"}) as proxy, proxy.connect(DATABASE, user="app_md5") as client:
        assert _who(client) == "app_md5"
        assert proxy.refused(DATABASE, user="app_md5", password="wrong")["C"] == "28P01"


def trust_only_when_configured(bench):
    with bench.proxy(auth={"method": "trust"}) as proxy, proxy.connect(DATABASE, password=None) as client:
        assert _who(client) == "app"


def passthrough(bench):
    """D38: no users are known; the password is tried on the server."""
    config = {"listen": {"tls": bench.tls()}, "auth": {"method": "passthrough"}, "users": None}
    with _without_users(bench, config) as proxy:
        for tls in (False, True):
            with proxy.connect(DATABASE, tls=tls) as client:
                assert _who(client) == "app"
            assert proxy.refused(DATABASE, password="wrong", tls=tls)["C"] == "28P01"
            assert proxy.refused(DATABASE, user="nobody_at_all", password="wrong", tls=tls)["C"] == "28P01"
            with proxy.connect(DATABASE, user="app_md5", tls=tls) as client:
                assert _who(client) == "app_md5"


def _without_users(bench, sections):
    config = base_config(bench.cluster, **{k: v for k, v in sections.items() if v is not None})
    del config["users"]
    return bench.proxy_with(config)


def verifier_pass_through(bench):
    """The configuration holds the verifier only; the client's proof opens the server as well."""
    verifier = bench.sql("select rolpassword from pg_authid where rolname = 'app'")[0][0]
    config = {"users": {"app": {"verifier": verifier}, "app_md5": {"password": PASSWORD}}}
    whole = base_config(bench.cluster)
    whole.update(config)
    with bench.proxy_with(whole) as proxy, proxy.connect(DATABASE) as client:
        assert _who(client) == "app"
        assert proxy.refused(DATABASE, password="wrong")["C"] == "28P01"


def tls_required(bench):
    with bench.proxy(listen={"tls": {**bench.tls(), "mode": "require"}}) as proxy:
        assert proxy.refused(DATABASE)["C"] == "28000"
        with proxy.connect(DATABASE, tls=True) as client:
            assert _who(client) == "app"


def tls_verified_by_the_client(bench):
    with bench.proxy(listen={"tls": bench.tls()}) as proxy, WireClient(proxy.address) as client:
        client.start_tls(str(bench.cluster.certificates.ca), "localhost")
        client.login("app", DATABASE, PASSWORD)
        assert _who(client) == "app"


def tls_to_servers(bench):
    """D9: verify-full with our CA works; with another CA nobody is let through."""
    ca = str(bench.cluster.certificates.ca)
    with bench.proxy(backends={"tls": {"sslmode": "verify-full", "ca_file": ca}}) as proxy, \
            proxy.connect(DATABASE) as client:
        assert client.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == "t"
    other = Certificates(bench.workspace.folder("other-ca"))
    with bench.proxy(backends={"tls": {"sslmode": "verify-full", "ca_file": str(other.ca)}},
                     pool={"hold_timeout": "500ms"}) as proxy:
        assert proxy.refused(DATABASE)["S"] == "FATAL"


def server_user_of_the_database(bench):
    """An entry of databases may use a server user of its own for every client."""
    with bench.proxy(databases={DATABASE: {"user": "app_md5", "password": PASSWORD}}) as proxy, \
            proxy.connect(DATABASE) as client:
        assert _who(client) == "app_md5"


def unix_socket(bench):
    folder = bench.workspace.folder("socket")
    with bench.proxy(listen={"unix_socket_dir": str(folder)}) as proxy, \
            WireClient(f"{folder}/.s.PGSQL.{proxy.port}") as client:
        client.login("app", DATABASE, PASSWORD)
        assert _who(client) == "app"


def replication_is_refused(bench):
    with bench.proxy() as proxy:
        assert proxy.refused(DATABASE, replication="database")["C"] == "0A000"


def unlisted_database_without_automatic_pools(bench):
    with bench.proxy(auto_pools={"enabled": False}, databases={DATABASE: {}}) as proxy:
        proxy.connect(DATABASE).close()
        assert proxy.refused("system2")["S"] == "FATAL"


CASES = [scram, failures_look_alike, md5, trust_only_when_configured, passthrough, verifier_pass_through,
         tls_required, tls_verified_by_the_client, tls_to_servers, server_user_of_the_database, unix_socket,
         replication_is_refused, unlisted_database_without_automatic_pools]
