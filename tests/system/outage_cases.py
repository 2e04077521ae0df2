"""Backends that are down, come up, or lose sessions: nobody hangs and nothing spreads (P33, P47, P52, P55)."""

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.cluster import PASSWORD, Cluster
from lib.deadline import eventually
from lib.wire_client import Closed, ServerError, WireClient

# What a statement gets that was on a server when it was lost: its outcome is not known, or its transaction is gone.
LOST_IN_FLIGHT = {"40003", "40001", "08007"}


def starts_while_the_backend_is_down(bench):
    """P52, D3: it starts, the client waits, and is served when the backend is up."""
    bench.cluster.stop()
    with bench.proxy(pool={"hold_timeout": "30s"}) as proxy, ThreadPoolExecutor(1) as threads:
        assert proxy.http("/healthz")[0] == 200

        def first_value():
            with proxy.connect(DATABASE) as client:
                return client.value("select 'served'")
        answer = threads.submit(first_value)
        bench.cluster.start()
        assert answer.result(30) == "served"


def refuses_after_the_wait(bench):
    """R16: no backend within hold_timeout; the proxy stays up."""
    bench.cluster.stop()
    with bench.proxy(pool={"hold_timeout": "300ms"}) as proxy:
        refusal = proxy.refused(DATABASE)
        assert (refusal["C"], refusal["S"]) == ("57P03", "FATAL"), refusal
        bench.cluster.start()
        eventually(lambda: _connects(proxy), "clients are served again")


def a_stopped_postmaster_accepts_and_says_nothing(bench):
    """T36: the kernel accepts for it. Attempts end by connect.timeout, who waits is refused by hold_timeout."""
    os.kill(bench.cluster.pid, signal.SIGSTOP)
    try:
        with bench.proxy(connect={"timeout": "200ms"}, pool={"hold_timeout": "1s"}) as proxy:
            assert proxy.refused(DATABASE)["C"] == "57P03"
            os.kill(bench.cluster.pid, signal.SIGCONT)
            eventually(lambda: _connects(proxy), "clients are served again")
    finally:
        os.kill(bench.cluster.pid, signal.SIGCONT)


def _connects(proxy):
    try:
        with proxy.connect(DATABASE) as client:
            return client.value("select 1") == "1"
    except (ServerError, Closed):
        return False


def idle_servers_that_died_are_not_handed_out(bench):
    """P33: terminated while idle in the pool; the next query of the same client gets a fresh server."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        client.query("set work_mem to '10MB'")
        for _ in range(3):
            assert client.value("select 1") == "1"
            bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
            eventually(lambda: not bench.server_pids(), "the servers are gone")
            assert client.value("show work_mem") == "10MB"


def idle_clients_survive_a_restart(bench):
    with bench.proxy(pool={"hold_timeout": "30s"}) as proxy:
        clients = [proxy.connect(DATABASE) for _ in range(5)]
        for client in clients:
            client.send(msg.parse("s1", "select 'prepared'") + msg.sync())
            client.read_until("Z")
        bench.cluster.restart()
        for client in clients:
            client.send(msg.bind("", "s1") + msg.execute("") + msg.sync())
            assert "D" in [frame.type for frame in client.read_until("Z")]


def server_lost_in_a_query(bench):
    """An error with a SQLSTATE that tells, at once; other clients and later ones are served."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client, proxy.connect(DATABASE) as other:
        client.send(msg.query("update t set id = id where pg_sleep(60) is null /* lost */; select pg_sleep(60) /* lost */"))
        bench.wait_running("/* lost */")
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%/* lost */%' "
                  "and pid <> pg_backend_pid()")
        try:
            result = client.read_result()
            assert result.sqlstate[:2] in ("08", "57", "40"), result.error
            assert client.value("select 1") == "1"
        except ServerError as problem:                           # a FATAL and the close
            assert problem.sqlstate[:2] in ("08", "57", "40"), problem.fields
        assert other.value("select 1") == "1"
        proxy.connect(DATABASE).close()


def server_lost_in_a_transaction(bench):
    with bench.proxy(pool=ONE_SERVER, replay={"enabled": False}) as proxy, proxy.connect(DATABASE) as client:
        client.query("begin; insert into t values (1)")
        bench.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        eventually(lambda: not bench.server_pids(), "the server is gone")
        try:
            result = client.query("insert into t values (2)")
            assert result.sqlstate[:2] in ("08", "57", "40"), result.error
            client.query("rollback")
            assert client.value("select count(*) from t") == "0"
        except (ServerError, Closed):
            pass
        with proxy.connect(DATABASE) as next_client:
            assert next_client.value("select count(*) from t") == "0"


def crash_and_recovery(bench):
    """The postmaster is killed outright; clients are served again once it is back."""
    with bench.proxy(pool={"hold_timeout": "30s"}) as proxy:
        idle = proxy.connect(DATABASE)
        bench.cluster.restart(signal.SIGQUIT)
        assert idle.value("select 1") == "1"


def pool_exhaustion_is_not_an_outage(bench):
    """P47: waits that end in vain do not make the backend count as down."""
    with bench.proxy(pool={**ONE_SERVER, "hold_timeout": "150ms"}) as proxy, proxy.connect(DATABASE) as owner, \
            proxy.connect(DATABASE) as waiter:
        owner.query("begin")
        for _ in range(10):
            assert waiter.query("select 1").sqlstate == "53300"
        owner.query("commit")
        assert waiter.value("select 1") == "1"
        assert proxy.http("/readyz")[0] == 200


def unknown_database(bench):
    """The server's own words reach a client that has proven who it is; the proxy and other pools are unharmed."""
    with bench.proxy(pool={"hold_timeout": "2s"}) as proxy, proxy.connect(DATABASE) as client:
        assert proxy.refused("no_such_database")["C"] in ("3D000", "57P03")
        assert client.value("select 1") == "1"


class Loopers:
    """Clients that read, alone and in transactions, until stopped. A lost connection or an unexpected error is kept."""

    def __init__(self, proxy, count=4):
        self.answers, self.lost, self.problems = 0, 0, []
        self._stop = threading.Event()
        self._proxy = proxy
        self._threads = [threading.Thread(target=self._loop) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.answers > 20, "the clients are served")
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _loop(self):
        try:
            with self._proxy.connect(DATABASE) as client:
                while not self._stop.is_set():
                    for text in ("select 1", "begin", "select 2", "commit"):
                        result = client.query(text, 40)
                        if result.sqlstate in LOST_IN_FLIGHT:
                            self.lost += 1
                            client.query("rollback", 40)
                            break
                        if result.error:
                            raise ServerError(result.error)
                        self.answers += 1
        except BaseException as problem:                         # noqa: reported by the case
            self.problems.append(repr(problem))

    def go_on(self):
        """Every one of them is served again."""
        seen = self.answers
        eventually(lambda: self.problems or self.answers > seen + 40, "the clients are served again", 40)
        assert not self.problems, self.problems


def _survives(bench, proxy, outage):
    """Clients stay connected, see no error but the truth about what was under way, and go on."""
    with Loopers(proxy) as clients:
        for _ in range(2):
            outage()
            clients.go_on()
    assert not clients.problems, clients.problems
    # At most what each client had on a server at each of the two outages.
    assert clients.lost <= 8, clients.lost
    told = sum(int(line.rsplit(" ", 1)[1]) for line in proxy.http("/metrics")[2].splitlines()
               if line.startswith(("pgsteady_recoveries_total{", "pgsteady_in_doubt_total{", "pgsteady_replays_total{")))
    assert told > 0, "nothing of what was interrupted is counted"


def fast_restart(bench):
    """F4: a pause for clients that read."""
    with bench.proxy(pool={"size": 4}) as proxy:
        _survives(bench, proxy, bench.cluster.restart)


def immediate_restart(bench):
    """F5, T30: the same when the server gives no time to end anything."""
    with bench.proxy(pool={"size": 4}) as proxy:
        _survives(bench, proxy, lambda: bench.cluster.restart(signal.SIGQUIT))


def _kill_postmaster(cluster):
    os.kill(cluster.pid, signal.SIGKILL)
    cluster.stop()
    cluster.start()


def postmaster_killed(bench):
    """F3"""
    with bench.proxy(pool={"size": 4}) as proxy:
        _survives(bench, proxy, lambda: _kill_postmaster(bench.cluster))


def promotion(bench):
    """F9: the primary stops for good and its standby is promoted; nothing is configured or restarted."""
    standby = Cluster(bench.workspace, f"standby{time.monotonic_ns()}", copy_of=bench.cluster)
    try:
        hosts = [f"127.0.0.1:{each.port}" for each in (bench.cluster, standby)]
        with bench.proxy(pool={"size": 4}, backends={"hosts": hosts}) as proxy, Loopers(proxy) as clients:
            bench.cluster.stop()
            standby.promote()
            clients.go_on()
            assert clients.lost <= 4, clients.lost
            with proxy.connect(DATABASE) as client:
                assert client.value("show port") == str(standby.port)
                assert client.query("insert into t values (1)").tags == ["INSERT 0 1"]
    finally:
        standby.stop(signal.SIGQUIT)


def a_standby_is_not_taken_for_the_primary(bench):
    """Listed first or not: roles are discovered."""
    standby = Cluster(bench.workspace, f"standby{time.monotonic_ns()}", copy_of=bench.cluster)
    try:
        hosts = [f"127.0.0.1:{each.port}" for each in (standby, bench.cluster)]
        with bench.proxy(backends={"hosts": hosts}) as proxy, proxy.connect(DATABASE) as client:
            assert client.value("select pg_is_in_recovery()") == "f"
    finally:
        standby.stop(signal.SIGQUIT)


def _has_met_it(proxy):
    """A dial has failed, or the monitor has said so before anybody dialled."""
    return any(word in proxy.log_text() for word in ("cannot open", "mode_changed", "host_lost"))


def statements_wait_while_the_backend_is_down(bench):
    """Phase B: what has not been sent waits, begins with it, and no connection ends."""
    with bench.proxy(pool={"size": 4, "hold_timeout": "30s"}) as proxy, ThreadPoolExecutor(12) as threads:
        clients = [proxy.connect(DATABASE) for _ in range(12)]
        assert [client.value("select 1") for client in clients] == ["1"] * 12
        bench.cluster.stop()
        texts = ["begin", "select 1", "insert into t select 1 where false"]
        answers = [threads.submit(client.query, texts[i % 3], 40) for i, client in enumerate(clients)]
        eventually(lambda: _has_met_it(proxy), "the proxy has met the outage")
        assert not any(answer.done() for answer in answers)
        bench.cluster.start()
        # Three of the four servers are then kept by transactions: they are ended, so that all get their turn.
        for i, answer in enumerate(answers):
            if i % 3 == 0:
                assert answer.result(40).error is None
                clients[i].query("commit")
        assert [answer.result(40).sqlstate for answer in answers] == [None] * 12


def sign_ins_wait_while_the_backend_is_down(bench):
    """R16: a new connection during a restart is a pause, also where the server has to be asked for the password."""
    bench.cluster.stop()
    with bench.proxy(auth={"method": "passthrough"}, users={}, pool={"hold_timeout": "30s"}) as proxy, \
            ThreadPoolExecutor(6) as threads:
        def value():
            with proxy.connect(DATABASE) as client:
                return client.value("select 1")

        def refusal():
            return proxy.refused(DATABASE, password="wrong")["C"]
        served = [threads.submit(value) for _ in range(5)]
        refused = threads.submit(refusal)
        eventually(lambda: _has_met_it(proxy), "the proxy has met the outage")
        assert not any(each.done() for each in served)
        bench.cluster.start()
        assert [each.result(30) for each in served] == ["1"] * 5
        assert refused.result(30) == "28P01"


def sign_ins_by_password_are_refused_after_the_wait(bench):
    """R16: nobody waits longer than hold_timeout for a server to ask."""
    bench.cluster.stop()
    with bench.proxy(auth={"method": "passthrough"}, users={}, pool={"hold_timeout": "400ms"}) as proxy:
        began = time.monotonic()
        refusal = proxy.refused(DATABASE)
        assert (refusal["C"], refusal["S"]) == ("57P03", "FATAL"), refusal
        assert time.monotonic() - began >= 0.4


def the_queue_has_a_limit(bench):
    """R03: the newest is refused, at once; whoever leaves makes room (T28)."""
    with bench.proxy(workers=1, pool=ONE_SERVER, hold={"max_clients": 1}) as proxy, proxy.connect(DATABASE) as owner, \
            proxy.connect(DATABASE) as other:
        owner.query("begin")
        for text in ("select 'waited'", "select '" + "x" * 400_000 + "'"):  # the latter is more than is read ahead
            waiter = proxy.connect(DATABASE)
            waiter.send(msg.query(text))
            eventually(lambda: _waiting(proxy) == 1, "it waits")
            result = other.query("select 1", 5)
            assert result.sqlstate == "53300", result.error
            assert "queue is full" in result.error["M"] and result.status == "I", result.error
            assert "outcome=not_executed" in result.error["D"]
            waiter.reset()                                       # a FIN would stand behind what is not read
            eventually(lambda: _waiting(proxy) == 0, "it has left the queue")
        other.send(msg.query("select 'in its place'"))
        eventually(lambda: _waiting(proxy) == 1, "there is room in the queue")
        owner.query("commit")
        assert other.read_result().value() == "in its place"


def _waiting(proxy):
    return json.loads(proxy.http("/api/database-recovery/connections")[2])["total"]["waiting"]


def what_waits_ahead_has_a_limit(bench):
    """hold.max_bytes: who sends on and on while it waits is refused, and its connection stays in step."""
    with bench.proxy(workers=1, pool=ONE_SERVER, hold={"max_bytes": "16KiB"}) as proxy, \
            proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as waiter:
        owner.query("begin")
        waiter.send(msg.query("select 1") + msg.query("select '" + "x" * 60000 + "'") + msg.query("select 3"))
        assert waiter.read_result().sqlstate == "53300"          # for what is behind it
        assert waiter.read_result().sqlstate == "53300"          # for itself
        assert waiter.is_silent()
        owner.query("commit")
        assert waiter.read_result().value() == "3"


def who_leaves_while_waiting_is_forgotten(bench):
    """T28: in an outage, too; what he asked for is not done for nobody."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as stays:
        leaves = [proxy.connect(DATABASE) for _ in range(2)]
        bench.cluster.stop()
        stays.send(msg.query("insert into t values (1)"))
        for number, client in enumerate(leaves):
            client.send(msg.query(f"insert into t values ({number + 2})"))
        eventually(lambda: _waiting(proxy) == 3, "all wait")
        leaves[0].abandon()
        leaves[1].reset()
        eventually(lambda: _waiting(proxy) == 1, "who has left waits no more")
        bench.cluster.start()
        assert stays.read_result(30).tags == ["INSERT 0 1"]
        assert bench.sql("select id from t") == [["1"]]


def who_waits_long_is_told_once(bench):
    with bench.proxy(workers=1, pool=ONE_SERVER, hold={"notice_after": "200ms"}) as proxy, \
            proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as waiter:
        owner.query("begin")
        waiter.send(msg.query("select 1"))
        notice = msg.error_fields(waiter.read_until("N")[-1].body)
        assert (notice["S"], notice["C"]) == ("NOTICE", "00000") and "waiting for" in notice["M"], notice
        time.sleep(0.5)
        owner.query("commit")
        result = waiter.read_result()
        assert result.value() == "1" and not result.notices


def a_full_server_is_not_a_dead_one(bench):
    """T23, R11: 53300 at the dial makes the pool smaller for a while, waiters wait, and are told in time."""
    # Servers of the case before may take a moment to end, and would count against the limit.
    eventually(lambda: not bench.server_pids(), "nobody is connected", 30)
    bench.sql("alter role app connection limit 2")
    try:
        with bench.proxy(pool={"size": 6, "hold_timeout": "4s"}) as proxy:
            clients = [proxy.connect(DATABASE) for _ in range(3)]
            for client in clients[:2]:
                assert client.query("begin").status == "T"
            result = clients[2].query("select 1", 20)
            assert result.sqlstate == "53300" and "server reports too many" in result.error["M"], result.error
            clients[0].query("commit")
            assert clients[2].value("select 1") == "1"
            clients[1].query("commit")
            assert proxy.http("/readyz")[0] == 200
    finally:
        bench.sql("alter role app connection limit -1")


def a_server_that_was_full_for_a_moment(bench):
    """T23: the pool held nothing when it was refused, and soon has more than one connection all the same."""
    others = []
    bench.sql("alter role app connection limit 2")
    try:
        eventually(lambda: not bench.server_pids(), "nobody is connected", 30)
        for _ in range(2):
            others.append(WireClient(bench.cluster.address, 5))
            others[-1].login("app", DATABASE, PASSWORD)
        with bench.proxy(pool={"size": 6, "hold_timeout": "8s"}) as proxy, ThreadPoolExecutor(1) as threads:
            first = threads.submit(proxy.connect, DATABASE)
            eventually(lambda: "server connections at most for now" in proxy.log_text(), "it is refused")
            for other in others:
                other.abandon()
            clients = [first.result(30), proxy.connect(DATABASE)]
            for client in clients:
                assert client.query("begin").status == "T"
            for client in clients:
                client.close()
    finally:
        bench.sql("alter role app connection limit -1")
        for other in others:
            other.abandon()


CASES = [starts_while_the_backend_is_down, refuses_after_the_wait, idle_servers_that_died_are_not_handed_out,
         idle_clients_survive_a_restart, server_lost_in_a_query, server_lost_in_a_transaction, crash_and_recovery,
         pool_exhaustion_is_not_an_outage, unknown_database, fast_restart, immediate_restart, postmaster_killed,
         promotion, a_standby_is_not_taken_for_the_primary, statements_wait_while_the_backend_is_down,
         sign_ins_wait_while_the_backend_is_down, sign_ins_by_password_are_refused_after_the_wait, the_queue_has_a_limit,
         what_waits_ahead_has_a_limit, who_leaves_while_waiting_is_forgotten, who_waits_long_is_told_once, a_full_server_is_not_a_dead_one,
         a_server_that_was_full_for_a_moment,
         a_stopped_postmaster_accepts_and_says_nothing]
