"""Retries of what is safe, steered by the client with SET pgsteady.*, and never more than the configuration allows."""

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
        bench.cluster.stop("immediate")
        try:
            assert client.read_result(60).sqlstate == "57P03"
            client.send(msg.query("select 1"))
        finally:
            bench.cluster.start()
        assert client.read_result(60).value() == "1"


CASES = [client_declines_retries, client_cannot_raise_the_limit, client_control_can_be_off,
         client_wants_no_long_retries]
