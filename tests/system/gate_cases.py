"""What became of a write outside of any transaction whose answer was lost (recovery.md 2.4, D33), on both protocols.

A server is stopped (SIGSTOP) before the write is sent: what is in its socket is not read before it has to end. Or it waits for a
synchronous standby that does not exist: then it has committed, and nobody has been told.
"""

import os
import signal

from gate import Gate
from in_doubt_cases import _before, _found, _own_cluster, _path, _rows, _wait_for_nobody, _waits_for_standby
from lib import messages as msg
from lib.deadline import eventually


def _as_query(number):
    return msg.query(f"insert into t values ({number})")


def _as_messages(number):
    return msg.parse("", f"insert into t values ({number})") + msg.bind("", "") + msg.execute("") + msg.sync()


FORMS = (_as_query, _as_messages)
ALWAYS = {"replay": {"guard_autocommit": "always"}}


def _inserted(result):
    assert (result.error, result.tags, result.status) == (None, ["INSERT 0 1"], "I"), (result.error, result.tags)


def _pid(client):
    return int(client.value("select pg_backend_pid()"))


def _wait_for_all(cluster):
    """Commits wait for nobody any more."""
    cluster.configure(synchronous_standby_names=None)
    eventually(lambda: cluster.sql("show synchronous_standby_names") == [[""]], "the setting is in effect", 30)


def a_server_that_is_told_to_end_before_it_reads_it(bench):
    """In its own words, without the number: it has done nothing of it, and it is done by the next one."""
    with _own_cluster(bench, "told") as cluster, _before(bench, cluster) as (proxy, client):
        for number, form in enumerate(FORMS * 2):
            pid = _pid(client)
            os.kill(pid, signal.SIGSTOP)
            client.send(form(number))
            cluster.sql(f"select pg_terminate_backend({pid})")
            os.kill(pid, signal.SIGCONT)
            _inserted(client.read_result(30))
            assert _rows(cluster) == list(range(number + 1))


def a_backend_that_is_killed_when_it_had_committed(bench):
    """What the server had computed is the answer."""
    with _own_cluster(bench, "had") as cluster, _before(bench, cluster) as (proxy, client):
        for number, form in enumerate(FORMS):
            pid = _pid(client)
            _wait_for_nobody(cluster)
            client.send(form(number))
            _waits_for_standby(cluster)
            os.kill(pid, signal.SIGKILL)
            _inserted(client.read_result(30))
            _wait_for_all(cluster)
            assert _rows(cluster) == list(range(number + 1))
        _path(proxy, "committed", "crash_after_marker")


def who_is_ended_in_its_wait_for_a_standby(bench):
    """E3a: it is committed here; its answer, and a WARNING. Under strict_sync that is no success."""
    with _own_cluster(bench, "cut-short") as cluster:
        with _before(bench, cluster) as (proxy, client):
            for number, form in enumerate(FORMS):
                pid = _pid(client)
                _wait_for_nobody(cluster)
                client.send(form(number))
                _waits_for_standby(cluster)
                cluster.sql(f"select pg_terminate_backend({pid})", "postgres")
                result = client.read_result(30)
                _inserted(result)
                assert "outcome=committed" in str(result.notices), result.notices
                _wait_for_all(cluster)
                assert _rows(cluster) == list(range(number + 1))
        _under_strict_sync(bench, cluster, len(FORMS))


def _under_strict_sync(bench, cluster, rows):
    """recovery.strict_sync: 08007 with the number, alone and in a transaction; whether the server is ended by itself, or with all
    of them as in a switchover. It is there, and sent once."""
    with _before(bench, cluster, recovery={"strict_sync": True}) as (proxy, client):
        for number, form in enumerate((*FORMS, _as_commit), rows):
            if form is _as_commit:
                client.query(f"begin; insert into t values ({number})")
            _wait_for_nobody(cluster)
            client.send(form(number))
            _waits_for_standby(cluster)
            if form is _as_query:
                cluster.restart()
            else:
                cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'", "postgres")
            result = client.read_result(30)
            assert (result.sqlstate, result.status) == ("08007", "I"), result.error
            assert not any(each["S"] == "WARNING" for each in result.notices), result.notices
            said = result.error["D"]
            assert said.startswith("outcome=unknown incident=") and " transaction " in said and "57P01 canceling the wait" in said, said
            assert f"incident {said.split('incident=')[1].split()[0]}: " in proxy.log_text(), said
            _wait_for_all(cluster)
            assert _rows(cluster) == list(range(number + 1))


def _as_commit(_):
    return msg.query("commit")


def what_waits_for_a_standby_is_waited_for(bench):
    """T7: the connection is cut; the server is asked until it knows, and nobody ends it."""
    with _own_cluster(bench, "asked") as cluster, Gate(("127.0.0.1", cluster.port)) as gate, \
            _before(bench, cluster, gate.port, replay={"indoubt_timeout": "60s"}) as (proxy, client):
        for number, form in enumerate(FORMS):
            _wait_for_nobody(cluster)
            client.send(form(number))
            _waits_for_standby(cluster)
            gate.rst()
            eventually(lambda: "\npgsteady_in_doubt_unresolved 1\n" in proxy.http("/metrics")[2], "it is being looked up", 30)
            cluster.configure(synchronous_standby_names=None)
            _inserted(client.read_result(45))
            assert _rows(cluster) == list(range(number + 1))
        _path(proxy, "committed", "same_incarnation")


def with_always_nothing_is_in_doubt(bench):
    """Cut before the number is said, when its Sync was not sent: it is sent again at once, behind the end of the first."""
    with _own_cluster(bench, "always") as cluster, Gate(("127.0.0.1", cluster.port)) as gate, \
            _before(bench, cluster, gate.port, **ALWAYS) as (proxy, client):
        for number, form in enumerate(FORMS):
            text = f"insert into t select {number} from pg_sleep(1) /* cut */"
            client.send(msg.query(text) if form is _as_query else
                        msg.parse("", text) + msg.bind("", "") + msg.execute("") + msg.sync())
            eventually(lambda: cluster.sql("select 1 from pg_stat_activity where query like '%/* cut */' and state = 'active' "
                                           "and pid <> pg_backend_pid()"), "it is under way", 30)
            gate.rst()
            _inserted(client.read_result(30))
            assert _rows(cluster) == list(range(number + 1))
        assert "unknown" not in _found(proxy), _found(proxy)


def switched_off_it_is_unknown(bench):
    with _own_cluster(bench, "off") as cluster, \
            _before(bench, cluster, replay={"guard_autocommit": "off"}) as (proxy, client):
        _wait_for_nobody(cluster)
        for number, form in enumerate(FORMS):
            client.send(form(number))
            _waits_for_standby(cluster)
            cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'", "postgres")
            assert client.read_result(30).status == "I"
        assert "captured" not in _found(proxy)


CASES = [a_server_that_is_told_to_end_before_it_reads_it, a_backend_that_is_killed_when_it_had_committed,
         who_is_ended_in_its_wait_for_a_standby, what_waits_for_a_standby_is_waited_for, with_always_nothing_is_in_doubt,
         switched_off_it_is_unknown]
