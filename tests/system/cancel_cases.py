"""CancelRequest: while running, while queued, never another client's query (P40, P43-P46, D19)."""

import os
import struct
from itertools import count

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.processes import free_port
from lib.wire_client import WireClient, send_cancel

ROUNDS = 30


def running(bench):
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        assert client.pid > 0, "P40: pgjdbc ignores negative pids"
        client.send(msg.query("select pg_sleep(60) /* running */"))
        bench.wait_running("/* running */")
        send_cancel(proxy.address, client.pid, client.key)
        result = client.read_result()
        assert (result.sqlstate, result.status) == ("57014", "I"), result.error
        assert client.value("select 1") == "1"


def by_the_number_of_no_process(bench):
    """Who asks PostgreSQL itself, as Knex does, reaches nobody: Linux numbers processes up to PID_MAX_LIMIT."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as other:
        assert client.pid != other.pid
        for pid in (client.pid, other.pid):
            assert 4194304 < pid < 2 ** 31, pid
            result = client.query(f"select pg_cancel_backend({pid})")
            assert result.rows == [["f"]] and not result.error, result


def long_keys(bench):
    """P39: protocol 3.2 has keys of up to 256 bytes; a part of one cancels nothing."""
    with bench.proxy(pool=ONE_SERVER) as proxy, WireClient(proxy.address) as client:
        client.login("app", DATABASE, PASSWORD, version=msg.PROTOCOL_3 + 2)
        assert len(client.key) == 32, client.key
        client.send(msg.query("select pg_sleep(60) /* a long key */"))
        bench.wait_running("/* a long key */")
        for wrong in (client.key[:4], client.key[:31], client.key[:31] + b"?", client.key + b"?"):
            send_cancel(proxy.address, client.pid, wrong)
        assert client.is_silent()
        send_cancel(proxy.address, client.pid, client.key)
        assert client.read_result().sqlstate == "57014"


def of_another_instance(bench):
    """Behind a load balancer a request to cancel may arrive anywhere: instances pass on what they cannot place, once."""
    ports = [free_port(), free_port()]
    peers = [f"127.0.0.1:{port}" for port in ports] + ["127.0.0.1:1"]
    with bench.proxy(listen={"port": ports[0], "peers": peers}) as first, \
            bench.proxy(listen={"port": ports[1], "peers": peers}) as second:
        for home, other in ((first, second), (second, first)):
            for version in (msg.PROTOCOL_3, msg.PROTOCOL_3 + 2):
                with WireClient(home.address) as client:
                    client.login("app", DATABASE, PASSWORD, version=version)
                    client.send(msg.query("select pg_sleep(60) /* elsewhere */"))
                    bench.wait_running("/* elsewhere */")
                    send_cancel(other.address, client.pid, bytes(len(client.key)))
                    assert client.is_silent()
                    send_cancel(other.address, client.pid, client.key)
                    assert client.read_result().sqlstate == "57014"
                    client.close()


def running_in_transaction(bench):
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin")
        client.send(msg.parse("", "select pg_sleep(60) /* in transaction */") + msg.bind("", "") + msg.execute("")
                    + msg.sync())
        bench.wait_running("/* in transaction */")
        send_cancel(proxy.address, client.pid, client.key)
        result = client.read_result()
        assert (result.sqlstate, result.status) == ("57014", "E"), result.error
        assert client.query("rollback").status == "I"


def queued(bench):
    """P45, D19: a cancel reaches a client that waits for a server, and leaves the one who has it alone."""
    with bench.proxy(pool=ONE_SERVER) as proxy, \
            proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as waiter:
        owner.query("begin; insert into t values (1)")
        waiter.send(msg.query("insert into t values (2)"))

        def cancelled():
            send_cancel(proxy.address, waiter.pid, waiter.key)
            return not waiter.is_silent()
        eventually(cancelled, "the waiting client is cancelled")
        result = waiter.read_result()
        assert (result.sqlstate, result.status) == ("57014", "I"), result.error
        assert owner.query("commit").tags == ["COMMIT"]
        assert waiter.query("select id from t").rows == [["1"]]


def queued_segment(bench):
    """The same for an extended segment: its later messages are skipped until Sync."""
    with bench.proxy(pool=ONE_SERVER) as proxy, \
            proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as waiter:
        owner.query("begin")
        waiter.send(msg.parse("s1", "select 1") + msg.bind("", "s1") + msg.execute("") + msg.sync())

        def cancelled():
            send_cancel(proxy.address, waiter.pid, waiter.key)
            return not waiter.is_silent()
        eventually(cancelled, "the waiting client is cancelled")
        frames = waiter.read_until("Z")
        assert [frame.type for frame in frames] == ["E", "Z"], frames
        owner.query("commit")
        waiter.send(msg.bind("", "s1") + msg.sync())
        frames = waiter.read_until("Z")
        assert msg.error_fields(frames[0].body)["C"] == "26000", frames


def never_the_next_client(bench):
    """P43: a cancel that comes as the query ends must not hit whoever gets the server next."""
    with bench.proxy(pool=ONE_SERVER) as proxy, \
            proxy.connect(DATABASE) as first, proxy.connect(DATABASE) as second:
        for number in range(ROUNDS):
            with WireClient(proxy.address) as canceller:
                first.send(msg.query("select 1"))
                canceller.send(msg.cancel_request(first.pid, first.key))
                second.send(msg.query("select pg_sleep(0.02)"))
                assert first.read_result().sqlstate in (None, "57014")
                result = second.read_result()
                assert result.error is None, f"round {number}: the other client's query was cancelled"
                canceller.read_to_end()


def after_the_end(bench):
    """A cancel for an idle client, in and out of a transaction, changes nothing."""
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        for statement, status in (("select 1", "I"), ("begin", "T")):
            assert client.query(statement).status == status
            send_cancel(proxy.address, client.pid, client.key)
            result = client.query("select 1")
            assert (result.sqlstate, result.status) == (None, status)


def wrong_key(bench):
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.send(msg.query("select pg_sleep(0.3) /* wrong key */"))
        bench.wait_running("/* wrong key */")
        wrong = bytes([client.key[0] ^ 1]) + client.key[1:]
        send_cancel(proxy.address, client.pid, wrong)
        send_cancel(proxy.address, client.pid + 1, client.key)
        send_cancel(proxy.address, -1, os.urandom(4))
        assert client.read_result().error is None


def odd_requests(bench):
    """P44: Terminate on the cancel's socket; keys too short and too long; a cancel for nobody."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        request = msg.cancel_request(client.pid, client.key)
        odd = [request + msg.terminate(), request + request, request[:-1],
               msg.untyped(msg.CANCEL_REQUEST), msg.untyped(msg.CANCEL_REQUEST, struct.pack("!i", client.pid)),
               msg.cancel_request(client.pid, b"x" * 300), msg.cancel_request(0, b"\0\0\0\0")]
        for data in odd:
            with WireClient(proxy.address) as canceller:
                canceller.send(data)
                canceller.shutdown_write()
                canceller.read_to_end()
        assert client.value("select 1") == "1"


def over_tls(bench):
    """P46: in clear for a TLS client, over TLS for a clear one."""
    with bench.proxy(listen={"tls": bench.tls()}, pool=ONE_SERVER) as proxy:
        for tls in (True, False):
            with proxy.connect(DATABASE, tls=tls) as client:
                for cancel_tls in (True, False):
                    client.send(msg.query("select pg_sleep(60) /* tls */"))
                    bench.wait_running("/* tls */")
                    send_cancel(proxy.address, client.pid, client.key, tls=cancel_tls)
                    assert client.read_result().sqlstate == "57014"
                client.close()


def during_copy_in(bench):
    with bench.proxy(pool=ONE_SERVER) as proxy, proxy.connect(DATABASE) as client:
        client.send(msg.query("copy t from stdin /* cancelled */"))
        client.read_until("G")

        send_cancel(proxy.address, client.pid, client.key)
        numbers = count(1)

        def stopped():
            """PostgreSQL looks up only between rows, so that rows must go on coming."""
            client.send(msg.copy_data(f"{next(numbers)}\n"))
            return not client.is_silent()
        eventually(stopped, "the copy is cancelled")
        result = client.read_result()
        assert result.sqlstate == "57014", result.error
        client.send(msg.copy_data("1\n") + msg.copy_done())
        assert client.value("select count(*) from t") == "0"


def of_a_vanished_client(bench):
    """A client that dies with a query running: others are served, and its key means nothing any more."""
    with bench.proxy(pool=ONE_SERVER) as proxy:
        client = proxy.connect(DATABASE)
        client.send(msg.query("select pg_sleep(60) /* vanished */"))
        bench.wait_running("/* vanished */")
        client.reset()
        with proxy.connect(DATABASE) as other:
            send_cancel(proxy.address, client.pid, client.key)
            assert other.value("select 'not affected'") == "not affected"


CASES = [running, by_the_number_of_no_process, long_keys, of_another_instance, running_in_transaction, queued, queued_segment, never_the_next_client, after_the_end,
         wrong_key, odd_requests, over_tls, during_copy_in, of_a_vanished_client]
