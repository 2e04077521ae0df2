"""Every way to sign in, on both sides, and that failures tell nothing (P13, D7, D9, D38)."""

import contextlib
import socket
import ssl

import psycopg2

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.certificates import Certificates
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.fake_server import FakeServer, authentication
from lib.proxy import base_config
from lib.wire_client import Closed, ServerError, WireClient, send_cancel


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


def _direct_tls(proxy, protocols, pieces=None):
    """A client that begins with its handshake, in pieces of so many bytes: the stream, or the error that it got."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    raw = socket.create_connection(("127.0.0.1", proxy.port), 10)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send():
        data = outgoing.read()
        for at in range(0, len(data), pieces or len(data) or 1):
            raw.sendall(data[at:at + (pieces or len(data))])

    def until(act):
        while True:
            try:
                result = act()
                send()
                return result
            except ssl.SSLWantReadError:
                send()
                got = raw.recv(65536)
                if not got:
                    raise Closed() from None
                incoming.write(got)

    try:
        until(tls.do_handshake)
        until(lambda: tls.write(msg.startup({"user": "app", "database": DATABASE}, msg.PROTOCOL_3)))
        return tls.selected_alpn_protocol(), until(lambda: tls.read(1))
    except ssl.SSLError as error:
        return None, error
    except (Closed, ConnectionError):
        return None, None
    finally:
        raw.close()


def tls_without_asking(bench):
    """sslnegotiation=direct of libpq 17: the handshake comes first, and names postgresql by ALPN."""
    with bench.proxy(listen={"tls": {**bench.tls(), "mode": "require"}}) as proxy:
        for pieces in (None, 1, 100):
            assert _direct_tls(proxy, ["postgresql"], pieces) == ("postgresql", b"R"), pieces
        assert _direct_tls(proxy, ["h2", "postgresql"]) == ("postgresql", b"R")
        assert "NO_APPLICATION_PROTOCOL" in str(_direct_tls(proxy, ["h2", "http/1.1"])[1]).upper().replace(" ", "_")
        assert _direct_tls(proxy, [])[1] in (b"", None), "without ALPN it is closed, without a word"
    with bench.proxy() as proxy:
        assert isinstance(_direct_tls(proxy, ["postgresql"])[1], ssl.SSLError), "there is no certificate"


def _from_balancer(proxy, header, tls=False):
    """A client behind a balancer that sends this header in front of it."""
    client = WireClient(proxy.address)
    client.send(header)
    if tls:
        client.start_tls()
    return client


def proxy_protocol(bench):
    """A balancer in front says who connects: in the log, for limits by source, and for who counts as local."""
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    remote = signature + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 127, 0, 0, 1]) + (4711).to_bytes(2, "big") + (6432).to_bytes(2, "big")
    itself = signature + b"\x20\0\0\0"
    with bench.proxy(listen={"proxy_protocol": True, "tls": bench.tls()}) as proxy:
        for header, tls in ((remote, False), (remote, True), (itself, False)):
            with _from_balancer(proxy, header, tls) as client:
                client.login("app", DATABASE, PASSWORD)
                assert _who(client) == "app"
        eventually(lambda: "from 192.0.2.7:4711 ended" in proxy.log_text(), "the client's own address is in the log")
        for bad in (msg.startup({"user": "app"}, msg.PROTOCOL_3), signature + b"\x31\x11\0\x0c" + b"x" * 12):
            with _from_balancer(proxy, bad) as client:
                try:
                    client.read_byte()
                    raise AssertionError("it was served without a header")
                except Closed:
                    pass
    with bench.proxy(listen={"proxy_protocol": True}, auth={"method": "passthrough"}) as proxy:
        with _from_balancer(proxy, remote) as client:                    # it came over a network, in clear
            try:
                client.login("app", DATABASE, PASSWORD)
                raise AssertionError("a password in clear from afar")
            except ServerError as refused:
                assert refused.sqlstate == "28000" and "TLS" in str(refused), refused


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


def channel_binding_on_both_sides(bench):
    """P14 to P16: libpq insists on SCRAM-SHA-256-PLUS towards us, and we insist on it towards the server."""
    required = {"sslmode": "require", "channel_binding": "require"}
    with bench.proxy(listen={"tls": bench.tls()}, backends={"tls": required}) as proxy:
        how = {"host": "127.0.0.1", "port": proxy.port, "user": "app", "password": PASSWORD, "dbname": DATABASE}
        with contextlib.closing(psycopg2.connect(**how, **required)) as connection, connection.cursor() as cursor:
            cursor.execute("select current_user, (select ssl from pg_stat_ssl where pid = pg_backend_pid())")
            assert cursor.fetchone() == ("app", True)
        try:
            psycopg2.connect(**how, sslmode="disable", channel_binding="require")
            raise AssertionError("it was not bound to anything")
        except psycopg2.OperationalError as refused:
            assert "channel binding" in str(refused), refused
    with bench.proxy(backends={"tls": required}, databases={DATABASE: {"user": "app_md5", "password": PASSWORD}},
                     pool={"hold_timeout": "500ms"}) as proxy:
        assert "channel binding is required" in str(proxy.refused(DATABASE)), proxy.refused(DATABASE)


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


def unlisted_database_without_automatic_pools(bench):
    with bench.proxy(auto_pools={"enabled": False}, databases={DATABASE: {}}) as proxy:
        proxy.connect(DATABASE).close()
        assert proxy.refused("system2")["S"] == "FATAL"


def client_certificate_names_the_user(bench):
    """verify-full: signed by our CA, and its common name is the user; the password is asked for all the same."""
    authority = Certificates(bench.workspace.folder("client-ca"))
    stranger = Certificates(bench.workspace.folder("stranger-ca"))
    tls = {**bench.tls(), "mode": "verify-full", "ca_file": str(authority.ca)}
    with bench.proxy(listen={"tls": tls}) as proxy:
        def login(certificate, password=PASSWORD):
            with WireClient(proxy.address) as client:
                client.send(msg.ssl_request())
                assert client.read_byte() == b"S"
                context = ssl.create_default_context(cafile=str(bench.cluster.certificates.ca))
                if certificate:
                    context.load_cert_chain(*map(str, certificate))
                client._socket.settimeout(client.seconds)
                client._socket = context.wrap_socket(client._socket, server_hostname="localhost")
                client._socket.setblocking(False)
                try:
                    return _who(client.login("app", DATABASE, password))
                except ServerError as refusal:
                    return refusal.sqlstate
                except Closed:
                    return "closed"
        assert login(authority.issue("app")) == "app"
        assert login(authority.issue("app"), "wrong") == "28P01"
        assert login(authority.issue("app_md5")) == "28000"
        assert login(authority.issue("app ")) == "28000"
        assert login(stranger.issue("app")) == "closed"
        assert login(None) == "closed"
        assert proxy.refused(DATABASE)["C"] == "28000"                 # and not without TLS
        assert login(authority.issue("app")) == "app"


@contextlib.contextmanager
def _host_rules(bench, rules):
    """The cluster admits over TCP by these rules only."""
    file = bench.cluster.host_rules
    before = file.read_text()
    try:
        file.write_text("local all postgres trust\n" + rules)
        bench.sql("select pg_reload_conf()")
        yield
    finally:
        file.write_text(before)
        bench.sql("select pg_reload_conf()")


def _eventually_connects(proxy):
    """The postmaster reads its rules a moment after it was told to."""
    def connected():
        try:
            with proxy.connect(DATABASE) as client:
                return client.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()").rows or None
        except ServerError:
            return None
    return eventually(connected, "a server admits us")


def sslmode_prefer_goes_on_in_clear(bench):
    """As libpq: a server that admits nobody over TLS is asked again without."""
    with _host_rules(bench, "hostnossl all all 127.0.0.1/32 scram-sha-256\n"):
        with bench.proxy(backends={"tls": {"sslmode": "prefer"}}, pool={"hold_timeout": "2s"}) as proxy:
            assert _eventually_connects(proxy) == [["f"]]
        with bench.proxy(backends={"tls": {"sslmode": "require"}}, pool={"hold_timeout": "500ms"}) as proxy:
            assert proxy.refused(DATABASE)["S"] == "FATAL"


def sslmode_allow_goes_on_with_tls(bench):
    """As libpq: a server that admits nobody in clear is asked again over TLS."""
    with _host_rules(bench, "hostssl all all 127.0.0.1/32 scram-sha-256\n"):
        with bench.proxy(backends={"tls": {"sslmode": "allow"}}, pool={"hold_timeout": "2s"}) as proxy:
            assert _eventually_connects(proxy) == [["t"]]
        with bench.proxy(backends={"tls": {"sslmode": "disable"}}, pool={"hold_timeout": "500ms"}) as proxy:
            assert proxy.refused(DATABASE)["S"] == "FATAL"


def tries_per_source_are_counted(bench):
    """D38: beyond the cap no password is tried on the server; one that was accepted a moment ago needs no try."""
    auth = {"method": "passthrough", "passthrough": {"max_tries_per_minute": 3}}
    with _without_users(bench, {"auth": auth}) as proxy:
        with proxy.connect(DATABASE) as client:
            assert _who(client) == "app"
        for _ in range(2):
            assert proxy.refused(DATABASE, password="wrong")["C"] == "28P01"
        refusal = proxy.refused(DATABASE, password="wrong")
        assert (refusal["C"], refusal["S"]) == ("53400", "FATAL"), refusal
        assert "max_tries_per_minute" in refusal["M"], refusal
        with proxy.connect(DATABASE) as client:
            assert _who(client) == "app"


def tries_at_once_are_counted(bench):
    """D38: one source cannot keep many servers busy with passwords; when a try ends, there is room again."""
    tried = []

    def asks_for_the_password(peer):
        peer.read_startup()
        peer.send(authentication(3))
        tried.append(peer.read_message())
        peer.read_message()                                           # says nothing until the other side leaves
    auth = {"method": "passthrough", "passthrough": {"max_concurrent": 1}}
    with FakeServer(asks_for_the_password) as server:
        sections = {"auth": auth, "databases": {"fake": {"hosts": [f"127.0.0.1:{server.port}"]}, DATABASE: {}},
                    "monitor": {"interval": "0"}}                     # its connections are none of those that are counted
        with _without_users(bench, sections) as proxy:
            hanging = WireClient(proxy.address)
            hanging.send(msg.startup({"user": "app", "database": "fake"}))
            hanging.read_frame()
            hanging.send(msg.password("any"))
            eventually(lambda: tried, "the password is being tried")
            refusal = proxy.refused(DATABASE)
            assert (refusal["C"], "max_concurrent" in refusal["M"]) == ("53400", True), refusal
            hanging.reset()

            def connects():
                try:
                    with proxy.connect(DATABASE) as client:
                        return _who(client)
                except ServerError:
                    return None
            assert eventually(connects, "there is room again") == "app"


def tls_without_asking_to_a_server(bench):
    """backends.tls.negotiation: direct and protocol 3.2 with its long cancel keys, to a server that has both: another pgsteady."""
    tls = {"sslmode": "verify-full", "ca_file": str(bench.cluster.certificates.ca), "negotiation": "direct"}
    with bench.proxy(listen={"tls": {**bench.tls(), "mode": "require"}}) as inner, \
            bench.proxy(backends={"hosts": [f"localhost:{inner.port}"], "tls": tls, "max_protocol_version": "3.2"},
                        pool=ONE_SERVER) as outer, \
            outer.connect(DATABASE) as client:
        assert _who(client) == "app"
        client.send(msg.query("select pg_sleep(60) /* through both */"))
        bench.wait_running("/* through both */")
        send_cancel(outer.address, client.pid, client.key)
        assert client.read_result().sqlstate == "57014"
        assert _who(client) == "app"


def tls_without_asking_to_an_old_server(bench):
    """PostgreSQL 15 takes a handshake for a packet without sense; protocol 3.2 it answers with 3.0."""
    ca = str(bench.cluster.certificates.ca)
    tls = {"sslmode": "verify-full", "ca_file": ca, "negotiation": "direct"}
    hosts = [f"localhost:{bench.cluster.port}"]
    with bench.proxy(backends={"hosts": hosts, "tls": tls}, pool={"hold_timeout": "300ms"}) as proxy:
        refusal = proxy.refused(DATABASE)
        assert refusal["C"] == "08001" or refusal["C"].startswith("57P"), refusal
    with bench.proxy(backends={"hosts": hosts, "tls": {"sslmode": "verify-full", "ca_file": ca},
                               "max_protocol_version": "3.2"}) as proxy, proxy.connect(DATABASE) as client:
        assert _who(client) == "app"


CASES = [scram, failures_look_alike, md5, trust_only_when_configured, passthrough, verifier_pass_through,
         tls_required, tls_verified_by_the_client, tls_without_asking, tls_without_asking_to_a_server, tls_without_asking_to_an_old_server, proxy_protocol, tls_to_servers, channel_binding_on_both_sides, server_user_of_the_database, unix_socket,
         unlisted_database_without_automatic_pools,
         client_certificate_names_the_user, sslmode_prefer_goes_on_in_clear, sslmode_allow_goes_on_with_tls,
         tries_per_source_are_counted, tries_at_once_are_counted]
