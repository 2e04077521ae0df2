"""Who may enter, from where and how: auth.hba_file, maps for certificates, users of a file; and all of it by reload."""

import contextlib
import signal
import ssl

from bench import DATABASE, OTHER_DATABASE
from lib import messages as msg
from lib.certificates import Certificates
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.proxy import merge
from lib.wire_client import Closed, ServerError, WireClient


class _Files:
    """Files of rules, maps and users beside the configuration."""

    def __init__(self, bench, **texts):
        self._folder = bench.workspace.path / "entry"
        self._folder.mkdir(exist_ok=True)
        self.auth = {}
        for name, text in texts.items():
            self.write(name, text)

    def write(self, name, text):
        file = self._folder / name
        file.write_text(text)
        self.auth[f"{name}_file"] = str(file)


def _start(bench, files, **sections):
    return bench.proxy(**merge({"auth": files.auth}, sections))


def _who(client):
    return client.value("select current_user")


def _code(proxy, database=DATABASE, **options):
    """The user that it is signed in as, or the SQLSTATE."""
    try:
        with proxy.connect(database, **options) as client:
            return _who(client)
    except ServerError as refused:
        return refused.sqlstate


def rules_in_their_order(bench):
    """The first line that fits counts; who fits none is refused, in PostgreSQL's words."""
    rules = f"""
        host  all           app_md5  127.0.0.0/8   reject
        host  {DATABASE}    all      127.0.0.1/32  scram-sha-256
        local all           all                    trust
        host  all           all      10.0.0.0/8    trust
    """
    folder = bench.workspace.folder("entry-socket")
    with _start(bench, _Files(bench, hba=rules), listen={"unix_socket_dir": str(folder)}) as proxy:
        assert _code(proxy) == "app"
        assert _code(proxy, password="wrong") == "28P01"
        refused = proxy.refused(DATABASE, user="app_md5")
        assert (refused["C"], refused["S"]) == ("28000", "FATAL"), refused
        assert refused["M"] == f'pg_hba.conf rejects connection for host "127.0.0.1", user "app_md5", database "{DATABASE}", no encryption'
        refused = proxy.refused(OTHER_DATABASE)
        assert refused["C"] == "28000", refused
        assert refused["M"] == f'no pg_hba.conf entry for host "127.0.0.1", user "app", database "{OTHER_DATABASE}", no encryption'
        with WireClient(f"{folder}/.s.PGSQL.{proxy.port}") as client:
            client.login("app", OTHER_DATABASE, None)
            assert _who(client) == "app"


def rules_tell_nothing_of_users(bench):
    """P13: who exists and who does not get the same words, whatever the rule."""
    rules = "host all bad,worse all reject\nhost all all all scram-sha-256\n"
    with _start(bench, _Files(bench, hba=rules)) as proxy:
        for pair in (("bad", "worse"), ("app", "nobody_at_all")):
            seen = []
            for user in pair:
                with WireClient(proxy.address) as client:
                    try:
                        client.login(user, DATABASE, "wrong")
                    except ServerError as refusal:
                        seen.append(([frame.type for frame in client.login_frames],
                                     {key: value.replace(user, "USER") for key, value in refusal.fields.items()}))
            assert seen[0] == seen[1], seen


def methods_by_rule(bench):
    """md5, scram-sha-256, password and trust beside each other, each as if it were the only one."""
    rules = """
        host all app_md5   all md5
        host all app_trust 127.0.0.1/32 trust
        host all app       all scram-sha-256
        hostssl all all    all reject
        host all all       all password
    """
    with _start(bench, _Files(bench, hba=rules), listen={"tls": bench.tls()}, users={}) as proxy:
        for user, password in (("app", PASSWORD), ("app_md5", PASSWORD), ("app_trust", None)):
            assert _code(proxy, user=user, password=password) == user
        for user in ("app", "app_md5"):
            assert _code(proxy, user=user, password="wrong") == "28P01"
        assert _code(proxy, user="watcher") == "watcher", "its password is tried on the server"
        assert _code(proxy, user="watcher", password="wrong") == "28P01"
        assert _code(proxy, user="watcher", tls=True) == "28000"


def _login_with(proxy, bench, certificate, user, password=PASSWORD):
    """Over TLS with this certificate (or none): the user, the SQLSTATE, or closed."""
    context = ssl.create_default_context(cafile=str(bench.cluster.certificates.ca))
    if certificate:
        context.load_cert_chain(*map(str, certificate))
    with WireClient(proxy.address) as client:
        client.send(msg.ssl_request())
        assert client.read_byte() == b"S"
        client._socket.settimeout(client.seconds)
        try:
            client._socket = context.wrap_socket(client._socket, server_hostname="localhost")
            client._socket.setblocking(False)
            return _who(client.login(user, DATABASE, password))
        except ServerError as refusal:
            return refusal.sqlstate
        except (Closed, ssl.SSLError, ConnectionError):
            return "closed"


def certificates_instead_of_passwords(bench):
    """cert: by its name, or by a map; who has none is asked by another rule."""
    authority = Certificates(bench.workspace.folder("entry-ca"))
    stranger = Certificates(bench.workspace.folder("entry-stranger"))
    rules = """
        hostssl all app       all cert
        hostssl all app_md5   all cert map=people
        hostssl all app_trust all scram-sha-256 clientcert=verify-ca
        host    all watcher   all scram-sha-256
    """
    maps = "people alice app_md5\npeople /^robot-(.*)$ \\1\n"
    files = _Files(bench, hba=rules, ident=maps)
    tls = {**bench.tls(), "ca_file": str(authority.ca)}
    users = {"watcher": {"password": PASSWORD}, "app_trust": {"password": PASSWORD}}
    with _start(bench, files, listen={"tls": tls}, users=users) as proxy:
        def login(certificate, user, password=None):
            return _login_with(proxy, bench, certificate, user, password)
        assert login(authority.issue("app"), "app") == "app"
        assert login(authority.issue("app"), "app_md5") == "28000"
        assert login(authority.issue("alice"), "app_md5") == "app_md5"
        assert login(authority.issue("robot-app_md5"), "app_md5") == "app_md5"
        assert login(authority.issue("robot-app"), "app_md5") == "28000"
        assert login(authority.issue("alice"), "app") == "28000"
        assert login(None, "app") == "28000"
        assert login(stranger.issue("app"), "app") == "closed"
        assert login(authority.issue("whoever"), "app_trust", PASSWORD) == "app_trust"
        assert login(authority.issue("whoever"), "app_trust", "wrong") == "28P01"
        assert login(None, "app_trust", PASSWORD) == "28000"
        assert login(None, "watcher", PASSWORD) == "watcher"
        assert _code(proxy, user="app", password=None) == "28000", "not without TLS"


def users_of_a_file(bench):
    """PgBouncer's userlist.txt: passwords and what pg_authid stores."""
    stored = bench.sql("select rolpassword from pg_authid where rolname = 'app'")[0][0]
    files = _Files(bench, users=f'; list\n"app" "{stored}"\n"app_md5" "{PASSWORD}"\n')
    config = merge(bench.proxy().config, {"auth": files.auth})
    del config["users"]
    with bench.proxy_with(config) as proxy:
        assert _code(proxy) == "app"
        assert _code(proxy, user="app_md5") == "app_md5"
        assert _code(proxy, password="wrong") == "28P01"
        assert PASSWORD not in proxy.log_text() and stored not in proxy.log_text()


def reload_of_users_and_rules(bench):
    """SIGHUP: new sign-ins go by the new files, and nobody is dropped."""
    files = _Files(bench, users=f'"app" "{PASSWORD}"\n', hba="host all app all scram-sha-256\n")
    config = merge(bench.proxy().config, {"auth": files.auth})
    del config["users"]
    with bench.proxy_with(config) as proxy, proxy.connect(DATABASE) as client:
        assert _code(proxy, user="app_md5") == "28000"
        client.query("begin")
        files.write("users", f'"app" "hunter2"\n"app_md5" "{PASSWORD}"\n')
        files.write("hba", "host all all all scram-sha-256\n# one more line\nlocal all all trust\n")
        proxy.signal(signal.SIGHUP)
        eventually(lambda: "auth.hba_file: 1 lines -> 2 lines" in proxy.log_text(), "the rules are told of")
        assert "users.app_md5: not there -> added" in proxy.log_text()
        assert _code(proxy, user="app_md5") == "app_md5"
        assert _code(proxy) == "28P01" and "hunter2" not in proxy.log_text()
        assert _who(client) == "app", "who is signed in stays"
        client.query("commit")


def reload_of_a_wrong_file_changes_nothing(bench):
    """A line of the rules, of the maps or of the users that cannot be read: all stays as it was, rule by rule."""
    good = {"users": f'"app" "{PASSWORD}"\n', "hba": "host all app all scram-sha-256\n", "ident": "people a app\n"}
    wrong = {"users": '"app" "hunter2\n', "hba": "host all all all trust\nhost all +admins all md5\n", "ident": "people /( app\n"}
    files = _Files(bench, **good)
    config = merge(bench.proxy().config, {"auth": files.auth})
    del config["users"]
    with bench.proxy_with(config) as proxy, proxy.connect(DATABASE) as client:
        for at, (name, text) in enumerate(wrong.items(), 1):
            files.write(name, text)
            proxy.signal(signal.SIGHUP)
            eventually(lambda at=at: proxy.log_text().count("the configuration has errors; the one in use stays") == at, "it is refused")
            assert _code(proxy) == "app", name
            assert _code(proxy, user="app_md5", password=None) == "28000", name
            assert _who(client) == "app"
            files.write(name, good[name])
        assert "hunter2" not in proxy.log_text()


def reload_of_who_asks(bench):
    """auth.query by reload: another account, and none at all; answers of the former are forgotten."""
    from lookup_cases import QUERY, _start as start_lookup                # noqa: it makes the account
    with start_lookup(bench, query={"max_age": "1h"}) as proxy, proxy.connect(DATABASE) as client:
        proxy.write_config(merge(proxy.config, {"auth": {"query": {**QUERY, "password": "wrong"}}}))
        proxy.signal(signal.SIGHUP)
        eventually(lambda: "auth.query.password: (hidden) -> (hidden)" in proxy.log_text(), "it is told of")
        assert proxy.refused(DATABASE)["C"] == "57P03"
        proxy.write_config(proxy.config)
        proxy.signal(signal.SIGHUP)
        eventually(lambda: proxy.log_text().count("auth.query.password: (hidden) -> (hidden)") == 2, "and again")
        with contextlib.closing(proxy.connect(DATABASE)) as other:
            assert _who(other) == "app"
        assert _who(client) == "app"


CASES = [rules_in_their_order, rules_tell_nothing_of_users, methods_by_rule, certificates_instead_of_passwords, users_of_a_file,
         reload_of_users_and_rules, reload_of_a_wrong_file_changes_nothing, reload_of_who_asks]
