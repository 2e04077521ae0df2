"""LISTEN over one connection that clients share (D18, P22): pool.shared_listen."""

import struct

from bench import DATABASE
from lib import messages as msg
from lib.deadline import eventually

LISTENING = "application_name = 'pgsteady_listener'"


def _proxy(bench, **pool):
    return bench.proxy(pool={"size": 1, "max_overflow": 0, "min_size": 0, "shared_listen": True, **pool},
                       workers=1)


def _heard(client):
    """The next notification: sender, channel, payload."""
    body = client.read_until("A")[-1].body
    channel, payload = body[4:].rstrip(b"\0").split(b"\0") if not body.endswith(b"\0\0") else (body[4:-2], b"")
    return struct.unpack("!i", body[:4])[0], channel.decode(), payload.decode()


def _listeners(bench):
    return int(bench.sql(f"select count(*) from pg_stat_activity where {LISTENING}")[0][0])


def two_clients_share_one_place(bench):
    """Both listen, both are told, neither keeps the pool's only server."""
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as one, proxy.connect(DATABASE) as other:
        for client in (one, other):
            assert client.query("listen a").tags == ["LISTEN"]
        assert _listeners(bench) == 1
        bench.sql("notify a, 'for all'")
        assert _heard(one)[1:] == _heard(other)[1:] == ("a", "for all")
        assert one.value("select 1") == other.value("select 1") == "1"
        assert "pgsteady_shared_listeners 1" in proxy.http("/metrics")[2]
        assert other.query("unlisten a").tags == ["UNLISTEN"]
        bench.sql("notify a, 'for one'")
        assert _heard(one)[2] == "for one"
        assert other.is_silent()


def the_sender_is_who_the_client_knows(bench):
    """Its own notifications carry its own number and come before ReadyForQuery, another client's the server's."""
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as one, proxy.connect(DATABASE) as other:
        one.query("listen a")
        one.send(msg.query("notify a, 'own'"))
        frames = one.read_until("Z")
        assert [frame.type for frame in frames] == ["C", "A", "Z"], frames
        assert struct.unpack("!i", frames[1].body[:4])[0] == one.pid
        server = int(other.value("select pg_backend_pid()"))
        other.query("notify a, 'of others'")
        assert _heard(one) == (server, "a", "of others")
        assert one.value("select pg_listening_channels()") == "a"


def notifications_wait_for_the_end_of_a_transaction(bench):
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("listen a")
        client.query("begin")
        bench.sql("notify a, 'meanwhile'")
        assert client.value("select 1") == "1" and client.is_silent()
        client.send(msg.query("commit"))
        assert [frame.type for frame in client.read_until("Z")] == ["C", "A", "Z"]


def who_hears_too_much_meanwhile_is_ended(bench):
    with _proxy(bench, notification_queue="1KiB") as proxy, proxy.connect(DATABASE) as busy, \
            proxy.connect(DATABASE) as calm:
        calm.query("listen a")
        busy.query("listen a")
        busy.query("begin")
        bench.sql("select pg_notify('a', repeat('x', 700) || i) from generate_series(1, 2) i")
        assert msg.error_fields(busy.read_until("E")[-1].body)["C"] == "53200"
        busy.read_to_end()
        assert _heard(calm)[2].endswith("1") and _heard(calm)[2].endswith("2")
        assert "pgsteady_notification_overflows_total 1" in proxy.http("/metrics")[2]


def its_connection_is_opened_again(bench):
    """With a NOTICE, since what was notified meanwhile is lost."""
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client:
        client.query("listen a")
        client.query("listen \"B c\"")
        bench.sql(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {LISTENING}")
        notice = msg.error_fields(client.read_until("N")[-1].body)
        assert (notice["S"], notice["C"]) == ("NOTICE", "01000"), notice
        bench.sql("notify \"B c\", 'again'")
        assert _heard(client)[1:] == ("B c", "again")


def nobody_listens_nothing_is_kept(bench):
    with _proxy(bench, overflow_idle_timeout="100ms") as proxy:
        with proxy.connect(DATABASE) as client:
            client.query("listen a")
            assert _listeners(bench) == 1
        eventually(lambda: _listeners(bench) == 0, "the listening connection is closed")


def the_extended_protocol_and_many_statements_in_one_write(bench):
    """A driver's way: a named statement, and what is sent behind it without waiting."""
    with _proxy(bench) as proxy, proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as other:
        client.send(msg.parse("s", "listen a") + msg.describe("S", "s") + msg.sync())
        client.read_until("Z")
        client.send(msg.bind("", "s") + msg.execute("") + msg.sync() + msg.query("select 1"))
        assert "".join(frame.type for frame in client.read_until("Z", 2)) == "2CZTDCZ"
        assert other.value("select 2") == "2", "the only server is free"
        bench.sql("notify a")
        assert _heard(client)[1:] == ("a", "")


CASES = [two_clients_share_one_place, the_sender_is_who_the_client_knows,
         notifications_wait_for_the_end_of_a_transaction, who_hears_too_much_meanwhile_is_ended,
         its_connection_is_opened_again, nobody_listens_nothing_is_kept,
         the_extended_protocol_and_many_statements_in_one_write]
