"""LISTEN on a server of the client's own outlives it (recovery.md 2.7, T18)."""

import re

from bench import DATABASE
from lib import messages as msg
from lib.deadline import eventually


PINNED = {"shared_listen": False}


def _waits(proxy):
    """How often a server was waited for."""
    return int(re.search(r"^pgsteady_waits_total (\d+)", proxy.http("/metrics")[2], re.MULTILINE)[1])


def an_idle_listener_is_served_on(bench):
    """Its server ends while it waits: it hears so, listens again, and gets what is notified from then on."""
    with bench.proxy(pool=PINNED) as proxy, proxy.connect(DATABASE) as client:
        client.query("set application_name to 'listener'")
        client.query("listen \"A channel\"; listen b")
        for _ in range(2):
            bench.sql("select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'listener'")
            notice = msg.error_fields(client.read_until("N")[-1].body)
            assert (notice["S"], notice["C"]) == ("NOTICE", "01000"), notice
            bench.sql("notify b, 'said'")
            assert b"b\0said\0" in client.read_until("A")[-1].body
        assert client.value("select string_agg(c, ',' order by c) from pg_listening_channels() c") == "A channel,b"
        client.query("unlisten *")
        before = client.value("select pg_backend_pid()")
        bench.sql(f"select pg_terminate_backend({before}, 5000)")
        assert client.value("select 1") == "1" and client.is_silent(), "it has nothing to miss any more"


def it_listens_again_when_the_cluster_is_back(bench):
    """Longer than hold_timeout: an idle listener keeps asking."""
    with bench.proxy(pool={"hold_timeout": "500ms", **PINNED}) as proxy, proxy.connect(DATABASE) as client:
        client.query("listen b")
        begin = _waits(proxy)
        bench.cluster.stop()
        eventually(lambda: _waits(proxy) >= begin + 2, "its wait was in vain, and it waits again", 20)
        assert client.is_silent()
        bench.cluster.start()
        notice = msg.error_fields(client.read_until("N", seconds=20)[-1].body)
        assert notice["C"] == "01000", notice
        bench.sql("notify b")
        client.read_until("A")


CASES = [an_idle_listener_is_served_on, it_listens_again_when_the_cluster_is_back]
