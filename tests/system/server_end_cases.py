"""A server that ends a session by itself: its client is told once, stays, and is served by the next server.

What tests/differential cannot compare: PostgreSQL's own client would be disconnected.
"""

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.deadline import eventually
from lib.fake_server import READY, FakeServer, error


def terminate_self(bench):
    """pg_terminate_backend() of the client's own server: FATAL 57P01 there, an error of the statement here."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        before = client.value("select pg_backend_pid()")
        result = client.query("select pg_terminate_backend(pg_backend_pid())")
        assert (result.sqlstate, result.error["S"], result.status) == ("40003", "ERROR", "I"), result.error
        assert "57P01" in result.error["D"], "the server's own words are part of the DETAIL"
        assert client.value("select pg_backend_pid()") != before
        with proxy.connect(DATABASE) as other:
            assert other.value("select 'the next client is fine'") == "the next client is fine"


def idle_in_transaction_session_timeout(bench):
    """The server's own timeout: the transaction is gone, which the client hears at its next statement; its settings
    are not."""
    with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}) as proxy, proxy.connect(DATABASE) as client:
        client.query("set idle_in_transaction_session_timeout to 50")
        client.query("begin; insert into t values (1)")
        eventually(lambda: not bench.server_pids(), "the server has ended the session")
        result = client.query("select 1")
        assert (result.sqlstate, result.error["S"], result.status) == ("40001", "ERROR", "E"), result.error
        assert client.query("select 1").sqlstate == "25P02"
        assert client.query("commit").tags == ["ROLLBACK"]
        assert client.value("select count(*) from t") == "0"
        assert client.value("show idle_in_transaction_session_timeout") == "50ms"
        with proxy.connect(DATABASE) as other:
            assert other.value("show idle_in_transaction_session_timeout") == "0"


def farewell_behind_an_answer(bench):
    """A FATAL in the same packet as ReadyForQuery is no error of anybody's: the answer stands, and nobody gets that server."""
    served = []                                                       # which connection each INSERT came by

    def script(peer):
        peer.login_ok()
        while True:
            letter, body = peer.read_message()
            if letter == "X":
                return
            if letter == "Q" and body.startswith(b"insert"):
                served.append(peer)
                farewell = error("57P01", "shut down") if len(served) == 1 else b""
                peer.send(msg.message("C", b"INSERT 0 1\0") + READY + farewell)
            else:
                peer.send(msg.message("I") + READY)
    with FakeServer(script) as server:
        with bench.proxy(pool=ONE_SERVER, monitor={"interval": "0"},
                         databases={"fake": {"hosts": [f"127.0.0.1:{server.port}"]}}) as proxy, proxy.connect("fake") as client:
            first = client.query("insert into t values (1)")
            assert (first.tags, first.error) == (["INSERT 0 1"], None), first.error
            second = client.query("insert into t values (2)")
            assert (second.tags, second.error) == (["INSERT 0 1"], None), second.error
            assert len(served) == 2 and served[0] is not served[1], served


CASES = [terminate_self, idle_in_transaction_session_timeout, farewell_behind_an_answer]
