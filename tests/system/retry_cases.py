"""Retries of what is safe, steered by the client with SET pgsteady.*, and never more than the configuration allows."""

import signal
import threading

from bench import DATABASE
from lib import messages as msg

READ = "select count(*) from pg_sleep(1), t /* a read */"


def _read_whose_server_dies(bench, client, times=1):
    """Its answer; the server of each of the first `times` attempts is terminated while it runs."""
    def terminate():
        for _ in range(times):
            bench.wait_running("/* a read */")
            bench.sql("select pg_terminate_backend(pid, 5000) from pg_stat_activity where query like '%/* a read */%' "
                      "and pid <> pg_backend_pid()")
    killer = threading.Thread(target=terminate)
    killer.start()
    client.send(msg.query(READ))
    result = client.read_result(20)
    killer.join()
    return result


def client_declines_retries(bench):
    """A read in flight is repeated; not for a session that asked for none, and again after its RESET."""
    with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
        assert _read_whose_server_dies(bench, client).value() == "0"
        client.query("set pgsteady.max_retries = 0")
        assert _read_whose_server_dies(bench, client).sqlstate == "40003"
        assert client.value("show pgsteady.max_retries") == "0"
        client.query("reset pgsteady.max_retries")
        assert _read_whose_server_dies(bench, client).value() == "0"


def client_cannot_raise_the_limit(bench):
    """D40: SET pgsteady.* may only lower what the configuration says."""
    with bench.proxy(retry={"max_retries": 1}) as proxy, proxy.connect(DATABASE) as client:
        client.query("set pgsteady.max_retries = 10")
        assert _read_whose_server_dies(bench, client, times=1).value() == "0"
        assert _read_whose_server_dies(bench, client, times=2).sqlstate == "40003"


def client_control_can_be_off(bench):
    with bench.proxy(retry={"client_control": False}) as proxy, proxy.connect(DATABASE) as client:
        client.query("set pgsteady.max_retries = 0")
        assert _read_whose_server_dies(bench, client).value() == "0"


def client_wants_no_long_retries(bench):
    """D40: what was in flight is not waited for longer than its client wants; what was not sent yet waits as for others."""
    with bench.proxy(pool={"hold_timeout": "120s"}) as proxy, proxy.connect(DATABASE) as client:
        client.query("set pgsteady.retry_timeout = '1s'")
        client.send(msg.query(READ))
        bench.wait_running("/* a read */")
        bench.cluster.stop(signal.SIGQUIT)
        try:
            assert client.read_result(60).sqlstate == "57P03"
            client.send(msg.query("select 1"))
        finally:
            bench.cluster.start()
        assert client.read_result(60).value() == "1"


FLAKY = """
create sequence tries;
grant all on sequence tries to app;
create function flaky(state text) returns int language plpgsql as $$
begin
  if nextval('tries') % 2 = 1 then raise exception 'made up' using errcode = state; end if;
  return 1;
end $$
"""


def conflicts_are_repeated_where_that_is_wanted(bench):
    """What PostgreSQL itself rolled back with 40001 or 40P01, outside of a transaction, and nothing else (retry.conflicts)."""
    bench.sql(FLAKY)
    try:
        with bench.proxy(retry={"conflicts": True}) as proxy, proxy.connect(DATABASE) as client:
            for state in ("40001", "40P01"):
                assert client.query(f"insert into t select flaky('{state}')").tags == ["INSERT 0 1"]
                client.send(msg.parse("", f"select flaky('{state}')") + msg.bind("", "") + msg.execute("") + msg.sync())
                result = client.read_result()
                assert result.error is None and result.rows == [["1"]], result.error
                assert client.query("truncate t").error is None
                client.query("begin")
                assert client.query(f"select flaky('{state}')").sqlstate == state
                assert client.query("rollback").status == "I"
                bench.sql("alter sequence tries restart")
                assert client.query(f"select 1; commit; select flaky('{state}')").sqlstate == state
                bench.sql("alter sequence tries restart")
                client.query("set pgsteady.max_retries = 0")
                assert client.query(f"select flaky('{state}')").sqlstate == state
                client.query("reset pgsteady.max_retries")
                bench.sql("alter sequence tries restart")
            assert client.query("select flaky('23505')").sqlstate == "23505"
        bench.sql("alter sequence tries restart")
        with bench.proxy() as proxy, proxy.connect(DATABASE) as client:
            assert client.query("select flaky('40001')").sqlstate == "40001"
    finally:
        bench.sql("drop function flaky; drop sequence tries")


CASES = [client_declines_retries, client_cannot_raise_the_limit, client_control_can_be_off,
         client_wants_no_long_retries, conflicts_are_repeated_where_that_is_wanted]
