"""Pools for Python: none of them throws a healthy connection away because of the SQLSTATE that it brought."""

import asyncio

import asyncpg
import psycopg
import psycopg_pool
import sqlalchemy

from pools import STATES, stage

RAISE = "select raise_state('{}')"


def _psycopg_pool():
    with psycopg_pool.ConnectionPool(min_size=1, max_size=1) as pool:
        def session():
            with pool.connection() as connection:
                return connection.info.backend_pid

        def fail(state):
            with pool.connection() as connection:
                connection.execute(RAISE.format(state))
        return _replaced(session, fail, psycopg.Error, lambda problem: problem.sqlstate)


def _sqlalchemy():
    engine = sqlalchemy.create_engine("postgresql+psycopg2://", pool_size=1, max_overflow=0)

    def session():
        with engine.connect() as connection:
            return connection.connection.get_backend_pid()

    def fail(state):
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(RAISE.format(state)))
    try:
        return _replaced(session, fail, sqlalchemy.exc.DBAPIError, lambda problem: problem.orig.pgcode)
    finally:
        engine.dispose()


def _replaced(session, fail, kind, state_of):
    """{SQLSTATE: whether the next connection is another one}"""
    found = {}
    for state in STATES:
        before = session()
        try:
            fail(state)
            raise AssertionError(f"no error {state}")
        except kind as problem:
            assert state_of(problem) == state, problem
        found[state] = session() != before
    return found


async def _asyncpg():
    async with asyncpg.create_pool(min_size=1, max_size=1) as pool:
        found = {}
        for state in STATES:
            async with pool.acquire() as connection:
                before = connection.get_server_pid()
                try:
                    await connection.execute(RAISE.format(state))
                    raise AssertionError(f"no error {state}")
                except asyncpg.PostgresError as problem:
                    assert problem.sqlstate == state, problem
            async with pool.acquire() as connection:
                found[state] = connection.get_server_pid() != before
        return found


def _keeps_all(measure):
    with stage() as scene, scene.as_environment():
        assert measure() == dict.fromkeys(STATES, False)


def psycopg_pool_evicts_nothing(_):
    _keeps_all(_psycopg_pool)


def sqlalchemy_evicts_nothing(_):
    _keeps_all(_sqlalchemy)


def asyncpg_evicts_nothing(_):
    _keeps_all(lambda: asyncio.run(_asyncpg()))


CASES = [psycopg_pool_evicts_nothing, sqlalchemy_evicts_nothing, asyncpg_evicts_nothing]
