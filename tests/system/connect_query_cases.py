"""pool.connect_query: what every new server connection is told before anybody gets it."""

from bench import DATABASE
from lib.deadline import eventually


def it_runs_before_the_first_client(bench):
    """Also several statements, and again behind the reset of a client that was pinned."""
    with bench.proxy(pool={"size": 1, "connect_query": "set work_mem = '7MB'; select set_config('a.b', 'c', false)"},
                     workers=1) as proxy:
        with proxy.connect(DATABASE) as client:
            assert client.value("show work_mem") == "7MB"
            assert client.value("select current_setting('a.b')") == "c"
            before = client.value("select pg_backend_pid()")
            client.query("create temp table t ()")
        with proxy.connect(DATABASE) as client:
            assert client.value("select pg_backend_pid()") == before, "its server was reset and is used again"
            assert client.value("show work_mem") == "7MB"


def a_failure_is_told_to_who_waits(bench):
    """Of a database of its own; another one is not harmed, and it is tried again."""
    with bench.proxy(databases={"picky": {"dbname": DATABASE,
                                          "pool": {"connect_query": "select * from not_there_yet"}}}) as proxy:
        refused = proxy.refused("picky")
        assert refused["C"] == "42P01" and "pool.connect_query failed: " in refused["M"], refused
        with proxy.connect(DATABASE) as client:
            assert client.value("select 1") == "1"
        bench.sql("create table not_there_yet (); grant select on not_there_yet to app")
        try:
            eventually(lambda: _enters(proxy), "it is let in")
        finally:
            bench.sql("drop table not_there_yet")


def _enters(proxy):
    try:
        proxy.refused("picky")
    except AssertionError:
        return True
    return False


CASES = [it_runs_before_the_first_client, a_failure_is_told_to_who_waits]
