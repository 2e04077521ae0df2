"""node pg's Pool: its connections outlive a restart and a failover."""

from node_cases import INSTALLED, install
from pools import STATES, evicts, outlives

COMMAND = ["node", "pool.js"]


def ready(_):
    install(_)


def keeps_its_connections_through_a_fast_restart(_):
    """F4"""
    outlives(COMMAND, INSTALLED, "restart_fast", set())


def keeps_its_connections_through_a_failover(_):
    """F9: kill -9 of the primary and a promotion."""
    outlives(COMMAND, INSTALLED, "fail_over", set())


def evicts_nothing_that_is_released(_):
    """pool.connect() and release(): the SQLSTATE is not looked at."""
    assert evicts(COMMAND, INSTALLED, "connect") == dict.fromkeys(STATES, False)


def evicts_on_every_error_of_pool_query(_):
    """pool.query() gives the connection up after any error, PostgreSQL's own 23505 as well."""
    assert evicts(COMMAND, INSTALLED, "query") == dict.fromkeys(STATES, True)


CASES = [ready, keeps_its_connections_through_a_fast_restart, keeps_its_connections_through_a_failover,
         evicts_nothing_that_is_released, evicts_on_every_error_of_pool_query]
