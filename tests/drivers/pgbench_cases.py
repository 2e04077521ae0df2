"""pgbench: every protocol, -C, pipelines; nothing may fail and the books must balance."""

import re

from lib.processes import run

BALANCE = """
select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)
   and (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history)
   and (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history),
   (select count(*) from pgbench_history)
"""
PIPELINE = """
\\set aid random(1, 100000)
\\startpipeline
select abalance from pgbench_accounts where aid = :aid;
select :aid + 1;
begin;
select abalance from pgbench_accounts where aid = :aid;
commit;
\\endpipeline
"""


def pgbench(endpoint, *options, clients=8, transactions=50):
    """One thread per client: pgbench prepares with blocking calls, and a thread that waits for a server in them would
    keep its other clients from ending the transactions that hold the servers."""
    out = run(["pgbench", "-n", "-c", clients, "-j", clients, "-t", transactions, *options], env=endpoint.environment(),
              timeout=80)
    done = re.search(r"actually processed: (\d+)/(\d+)", out)
    assert done and done[1] == done[2] == str(clients * transactions), out
    assert re.search(r"number of failed transactions: 0 ", out), out


def initialise(endpoint):
    run(["pgbench", "-i", "-q"], env=endpoint.environment(), timeout=80)


def _write(endpoint, mode):
    endpoint.admin_sql("truncate pgbench_history; update pgbench_accounts set abalance = 0 where abalance <> 0;"
                       "update pgbench_tellers set tbalance = 0; update pgbench_branches set bbalance = 0",
                       endpoint.database)
    pgbench(endpoint, "-M", mode)
    balanced, count = endpoint.admin_sql(BALANCE, endpoint.database)[0]
    assert balanced == "t" and count == "400", (balanced, count)


def simple(endpoint):
    pgbench(endpoint, "-S", "-M", "simple")
    _write(endpoint, "simple")


def extended(endpoint):
    pgbench(endpoint, "-S", "-M", "extended")
    _write(endpoint, "extended")


def prepared(endpoint):
    pgbench(endpoint, "-S", "-M", "prepared")
    _write(endpoint, "prepared")


def connection_per_transaction(endpoint):
    for mode in ("simple", "prepared"):
        pgbench(endpoint, "-S", "-C", "-M", mode, clients=4, transactions=10)


def pipelines(endpoint):
    script = endpoint.folder / "pipeline.sql"
    script.write_text(PIPELINE)
    for mode in ("extended", "prepared"):
        pgbench(endpoint, "-f", script, "-M", mode)


CASES = [initialise, simple, extended, prepared, connection_per_transaction, pipelines]
