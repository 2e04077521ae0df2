"""Garbage from clients before login and from servers at any time: refused, bounded, never contagious (P1, P2, P8, P9)."""

import os
import struct
import threading
import time

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.fake_server import READY, WELCOME, FakeServer, authentication, error, parameter
from lib.wire_client import Closed, ServerError, WireClient

STARTUP = msg.startup({"user": "app", "database": DATABASE})


def _length(number, code=msg.PROTOCOL_3, rest=b""):
    return struct.pack("!ii", number, code) + rest


GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS without asking": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
    "zeros": b"\0" * 64,
    "length below eight": _length(7),
    "length zero": _length(0),
    "length negative": _length(-1),
    "length minimal": _length(-2 ** 31),
    "length huge": _length(2 ** 31 - 1),
    "length over the limit": _length(10_001, rest=b"user\0app\0\0"),
    "no parameters": _length(8),
    "no terminator": msg.untyped(msg.PROTOCOL_3, b"user\0app"),
    "name without value": msg.untyped(msg.PROTOCOL_3, b"user\0app\0database\0"),
    "no user": msg.startup({"database": DATABASE}),
    "protocol 2": msg.untyped(2 << 16, b"user\0app\0\0"),
    "protocol 4": msg.startup({"user": "app"}, 4 << 16),
    "protocol 65535": msg.startup({"user": "app"}, 65535 << 16),
    "negative protocol": msg.startup({"user": "app"}, -1),
    "TLS twice": msg.ssl_request() + msg.ssl_request() + msg.ssl_request(),
    "GSS twice": msg.gssenc_request() + msg.gssenc_request() + STARTUP,
    "query instead of startup": msg.query("select 1"),
    "replication": msg.startup({"user": "app", "replication": "true"}),
    "query instead of password": STARTUP + msg.query("select 1"),
    "password too long": STARTUP + _length(0)[:0] + b"p" + struct.pack("!i", 2 ** 30),
    "password of negative length": STARTUP + b"p\xff\xff\xff\xff",
    "SASL with a negative length": STARTUP + msg.message("p", b"SCRAM-SHA-256\0" + b"\xff\xff\xff\xfe" + b"n,,n=,r=x"),
    "SASL with a long length": STARTUP + msg.message("p", b"SCRAM-SHA-256\0" + b"\x7f\xff\xff\xff" + b"n,,n=,r=x"),
    "SASL with a wrong mechanism": STARTUP + msg.sasl_initial("SCRAM-SHA-1", b"n,,n=,r=x"),
    "SASL without a nonce": STARTUP + msg.sasl_initial("SCRAM-SHA-256", b"n,,n="),
    "SASL with a huge nonce": STARTUP + msg.sasl_initial("SCRAM-SHA-256", b"n,,n=,r=" + b"x" * 50_000),
    "SASL garbage": STARTUP + msg.sasl_initial("SCRAM-SHA-256", os.urandom(200)),
    "many parameters": msg.startup({"user": "app", **{f"p{i}": "v" * 20 for i in range(300)}}),
    "options garbage": msg.startup({"user": "app", "options": "-c -c -c =x --=y \\ "}),
    "names not UTF-8": msg.untyped(msg.PROTOCOL_3, b"user\0\xff\xfe\0database\0\x80\0\0"),
}


def garbage_before_login(bench):
    """P7, P8: every kind ends in a close within the login timeout, and the next client is served."""
    with bench.proxy(timeouts={"login": "500ms"}, pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as bystander:
        for what, data in GARBAGE.items():
            with WireClient(proxy.address) as client:
                try:
                    client.send(data)
                    client._wait(lambda: client._ended, 5)
                except (Closed, OSError):
                    pass
                except AssertionError as problem:
                    raise AssertionError(f"{what}: {problem}") from None
            assert bystander.value("select 1") == "1", what


def random_bytes_before_login(bench):
    with bench.proxy(timeouts={"login": "300ms"}) as proxy:
        clients = []
        for _ in range(60):
            client = WireClient(proxy.address)
            client.send(os.urandom(1 + os.urandom(1)[0]))
            clients.append(client)
        for client in clients:
            client._wait(lambda: client._ended, 10)
            client.abandon()
        proxy.connect(DATABASE).close()


def bytes_after_ssl_request(bench):
    """P1: nothing that came in clear behind the request is ever taken for part of the session."""
    with bench.proxy(listen={"tls": bench.tls()}) as proxy:
        with WireClient(proxy.address) as client:
            client.send(msg.ssl_request() + STARTUP)
            try:
                client._wait(lambda: client._ended, 10)
            except Closed:
                pass
            assert b"R\0\0\0" not in bytes(client._buffer), "a startup packet in clear was taken after SSLRequest"
        proxy.connect(DATABASE, tls=True).close()


def gss_then_tls(bench):
    """GSSENCRequest is answered N, then SSLRequest works; and the other way around."""
    with bench.proxy(listen={"tls": bench.tls()}) as proxy, WireClient(proxy.address) as client:
        client.send(msg.gssenc_request())
        assert client.read_byte() == b"N"
        client.start_tls(str(bench.cluster.certificates.ca))
        client.login("app", DATABASE, "correct horse: battery, staple")
        assert client.value("select 1") == "1"
        assert client.tls_version() in ("TLSv1.2", "TLSv1.3")


SERVERS = {
    "silence and close": lambda peer: None,
    "garbage at once": lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10),
    "E before startup": lambda peer: peer.send(error("28000", "do not trust this text")),
    "garbage after startup": lambda peer: (peer.read_startup(), peer.send(b"\xff" * 100)),
    "unknown authentication": lambda peer: (peer.read_startup(), peer.send(authentication(99))),
    "E without fields": lambda peer: (peer.read_startup(), peer.send(msg.message("E", b"\0"))),
    "E without SQLSTATE": lambda peer: (peer.read_startup(), peer.send(msg.message("E", b"SFATAL\0Mno code\0\0"))),
    "E unterminated": lambda peer: (peer.read_startup(), peer.send(msg.message("E", b"SFATAL"))),
    "endless parameters": lambda peer: (peer.read_startup(), peer.send(authentication(0)),
                                        [peer.send(parameter(f"p{i}", "x" * 1000)) for i in range(100_000)]),
    "negative length": lambda peer: (peer.read_startup(), peer.send(b"R\xff\xff\xff\xff")),
    "huge length": lambda peer: (peer.read_startup(), peer.send(b"R\x7f\xff\xff\xff")),
    "no SCRAM among the mechanisms": lambda peer: (peer.read_startup(), peer.send(authentication(10, b"OTHER\0\0"))),
    "long SCRAM nonce": lambda peer: (peer.read_startup(), peer.send(authentication(10, b"SCRAM-SHA-256\0\0")),
                                      peer.read_message(),
                                      peer.send(authentication(11, b"r=" + b"x" * 60_000 + b",s=AAAA,i=4096"))),
    "SCRAM with a billion rounds": lambda peer: (peer.read_startup(), peer.send(authentication(10, b"SCRAM-SHA-256\0\0")),
                                                 _scram_rounds(peer, 1_000_000_000)),
    "SCRAM skipped": lambda peer: (peer.read_startup(), peer.send(authentication(10, b"SCRAM-SHA-256\0\0")),
                                   peer.read_message(), peer.send(WELCOME)),
}
QUERY_ANSWERS = {
    "unknown type": msg.message("?", b"xx"),
    "negative length": b"D\xff\xff\xff\xff",
    "authentication again": authentication(0),
    "a reply that nobody asked for": msg.message("C", b"SELECT 1\0") + READY + msg.message("D", b"\0\0") + READY,
    "ReadyForQuery with an odd status": msg.message("Z", b"?"),
    "ReadyForQuery without a status": msg.message("Z"),
    "half a message": msg.message("D", b"\0\1\0\0\0\4abcd")[:7],
    "E without SQLSTATE": msg.message("E", b"SERROR\0Mno code\0\0") + READY,
    "CopyData out of nowhere": msg.message("d", b"x") + READY,
}


def _scram_rounds(peer, rounds):
    _, body = peer.read_message()
    nonce = body[body.index(b"r=") + 2:].split(b",")[0]
    peer.send(authentication(11, b"r=" + nonce + b"server,s=AAAAAAAAAAAAAAAA,i=%d" % rounds))
    peer.read_message()


def hostile_servers_at_login(bench):
    """P3, P9, P17: the client hears a FATAL within the wait, and the proxy serves other clusters on."""
    for what, script in SERVERS.items():
        with FakeServer(script) as server:
            proxy = _with_fake_database(bench, server)
            with proxy, proxy.connect(DATABASE) as bystander:
                try:
                    refusal = proxy.refused("fake")
                    assert refusal.get("C"), f"{what}: {refusal}"
                    assert "do not trust" not in refusal["M"], "P3: untrusted text was relayed"
                except Closed:
                    raise AssertionError(f"{what}: closed without a word") from None
                assert bystander.value("select 1") == "1", what


def hostile_servers_later(bench):
    """P9: illegal answers end in an error for this client; the server is not used again."""
    for what, answer in QUERY_ANSWERS.items():
        def script(peer, answer=answer):
            peer.login_ok()
            while True:
                letter, body = peer.read_message()
                if letter == "X":
                    return
                peer.send(answer if b"trigger" in body else
                          (READY if letter in "QS" and not body.strip(b"\0") else msg.message("I") + READY))
        with FakeServer(script) as server:
            proxy = _with_fake_database(bench, server)
            with proxy, proxy.connect(DATABASE) as bystander:
                with proxy.connect("fake") as client:
                    client.seconds = 5
                    _ask(client, what)
                assert bystander.value("select 1") == "1", what


def _ask(client, what):
    """Any outcome is fine but a hang after a close was due, or frames that are not the protocol's."""
    try:
        client.query("trigger")
    except (Closed, ServerError):
        pass
    except AssertionError as problem:
        if what != "half a message":                              # that one waits by right
            raise AssertionError(f"{what}: {problem}") from None


def _with_fake_database(bench, server):
    """Without a monitor: what such servers would answer it is another matter (monitor_cases)."""
    return bench.proxy(pool={"hold_timeout": "500ms"}, timeouts={"login": "8s"}, monitor={"interval": "0"}, databases={
        "fake": {"hosts": [f"127.0.0.1:{server.port}"]}})


def endless_rows_are_streamed(bench):
    """P59: a result that the client does not read stops at the server, not in our memory."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("select repeat('x', 1000000)")
        before = proxy.memory_kib()
        client.send(msg.query("select repeat('x', 100000) from generate_series(1, 3000) /* endless */"))
        bench.wait_running("/* endless */")
        client.read_until("D", 200)
        grown = proxy.memory_kib() - before
        assert grown < 48 * 1024, f"{grown} KiB more for a client that does not read"
        client.reset()
        with proxy.connect(DATABASE) as other:
            assert other.value("select 1") == "1"


def client_that_never_reads(bench):
    """A client that pipelines without reading is slowed down, not stored."""
    with bench.proxy(pool={"size": 2}) as proxy, proxy.connect(DATABASE) as bystander:
        client = proxy.connect(DATABASE)
        before = proxy.memory_kib()
        try:
            client._socket.setblocking(False)
            for _ in range(200_000):
                client._socket.send(msg.query("select repeat('x', 10000)"))
        except BlockingIOError:
            pass
        assert bystander.value("select 1") == "1"
        grown = proxy.memory_kib() - before
        assert grown < 64 * 1024, f"{grown} KiB more for a client that does not read"
        client.reset()
        assert bystander.value("select 2") == "2"


def half_a_frame_while_the_client_sends_on(bench):
    """Bytes of a server that are not a whole frame yet survive that the client's next ones are read."""
    notice = msg.message("N", b"SNOTICE\0VNOTICE\0C00000\0M" + b"n" * 3000 + b"\0\0")

    def script(peer):
        peer.login_ok()
        while True:
            letter, body = peer.read_message()
            if letter == "X":
                return
            if letter == "Q" and body.startswith(b"set datestyle"):
                ahead.wait(10)
                time.sleep(0.3)                                       # the proxy has stopped reading the client
                peer.send(msg.message("C", b"SET\0") + READY + notice[:1500])
                time.sleep(0.3)
                peer.send(notice[1500:])
            else:
                peer.send(READY if letter in "QS" and not body.strip(b"\0") else msg.message("I") + READY)
    ahead = threading.Event()
    with FakeServer(script) as server:
        proxy = _with_fake_database(bench, server)
        with proxy, proxy.connect("fake") as client:
            client.send(msg.query("set datestyle to 'ISO'"))
            for _ in range(20):                                       # more than is read ahead, less than sockets hold
                client.send(msg.query("-- " + "x" * 20_000))
            ahead.set()
            frames = client.read_until("Z", 21)
            assert [frame.type for frame in frames].count("N") == 1, [frame.type for frame in frames]


def a_server_that_took_nothing_of_a_copy_is_lost(bench):
    """What the client still sends is read and thrown away; it hears why, and has another server for its next statement."""
    full = threading.Event()

    def script(peer):
        peer.login_ok()
        while True:
            letter, body = peer.read_message()
            if b"copy" in body:
                peer.send(msg.message("G", b"\0\0\0"))
                full.wait(30)
                return                                                # with megabytes unread: a reset
            if letter == "Q":
                peer.send(msg.message("I") + READY)

    with FakeServer(script) as server, _with_fake_database(bench, server) as proxy, proxy.connect("fake") as client:
        client.send(msg.query("copy t from stdin"))
        client.read_until("G")
        sent = 0

        def notice_that_nobody_takes_more():
            seen = -1
            while seen != sent:
                seen = sent
                time.sleep(0.2)
            full.set()

        threading.Thread(target=notice_that_nobody_takes_more, daemon=True).start()
        for sent in range(1, 1001):
            client.send(msg.message("d", b"x" * 32_000), 30)
        assert full.is_set(), "it was never full"
        client.send(msg.message("c"))
        frames = client.read_until("Z", 1)
        assert [frame.type for frame in frames] == ["E", "Z"], frames
        client.send(msg.query("select 1"))
        assert [frame.type for frame in client.read_until("Z", 1)] == ["I", "Z"]


CASES = [a_server_that_took_nothing_of_a_copy_is_lost, garbage_before_login, random_bytes_before_login, bytes_after_ssl_request, gss_then_tls,
         hostile_servers_at_login, hostile_servers_later, endless_rows_are_streamed, client_that_never_reads,
         half_a_frame_while_the_client_sends_on]
