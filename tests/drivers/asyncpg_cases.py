"""asyncpg: its own protocol implementation, binary everywhere, statement cache, pool with reset, cancellation."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import asyncpg

CLIENTS = 20


def _tls(endpoint):
    return ssl.create_default_context(cafile=str(endpoint.ca_file))


def _options(endpoint, **more):
    return {"host": endpoint.host, "port": endpoint.port, "user": endpoint.user, "password": endpoint.password,
            "database": endpoint.database, "ssl": _tls(endpoint), **more}


@asynccontextmanager
async def _connection(endpoint, **more):
    connection = await asyncpg.connect(**_options(endpoint, **more))
    try:
        yield connection
    finally:
        await connection.close()


def _case(function):
    """An async case as an ordinary one."""
    def case(endpoint):
        asyncio.run(asyncio.wait_for(function(endpoint), 60))
    case.__name__ = function.__name__
    return case


@_case
async def prepared(endpoint):
    async with _connection(endpoint, statement_cache_size=4) as connection:
        for round_number in range(3):
            for number in range(10):
                assert await connection.fetchval(f"select $1::int + {number}", round_number) == round_number + number
        statement = await connection.prepare("select id, name, price from items where id = any($1::int[]) order by 1")
        assert [column.name for column in statement.get_attributes()] == ["id", "name", "price"]
        assert len(await statement.fetch([1, 2])) == 2


@_case
async def types(endpoint):
    """Unknown types are looked up by queries of the driver's own."""
    endpoint.admin_sql("drop type if exists colour; create type colour as enum ('red', 'blue');"
                       "drop type if exists pair; create type pair as (a int, b text)", endpoint.database)
    async with _connection(endpoint) as connection:
        assert await connection.fetchval("select $1::colour", "red") == "red"
        row = await connection.fetchval("select row(1, 'x')::pair")
        assert (row["a"], row["b"]) == (1, "x")
        assert await connection.fetchval("select array['red', 'blue']::colour[]") == ["red", "blue"]


@_case
async def transactions(endpoint):
    async with _connection(endpoint) as connection:
        async with connection.transaction(isolation="serializable"):
            await connection.execute("update items set name = 'kept' where id = 1")
            try:
                async with connection.transaction():
                    await connection.execute("update items set name = 'undone' where id = 2")
                    await connection.execute("select 1/0")
            except asyncpg.DivisionByZeroError:
                pass
        rows = await connection.fetch("select name from items where id < 3 order by id")
        assert [row["name"] for row in rows] == ["kept", "two"]


@_case
async def cursors(endpoint):
    """Portals with row limits."""
    async with _connection(endpoint) as connection, connection.transaction():
        total = 0
        async for row in connection.cursor("select i from generate_series(1, 1000) i", prefetch=33):
            total += row["i"]
        assert total == 500500


@_case
async def errors(endpoint):
    async with _connection(endpoint) as connection:
        for sql, state in (("select 1/0", "22012"), ("insert into items values (1)", "23505"), ("selct", "42601")):
            try:
                await connection.fetch(sql)
                raise AssertionError(f"{sql} did not fail")
            except asyncpg.PostgresError as problem:
                assert problem.sqlstate == state, problem.sqlstate
        assert await connection.fetchval("select 1") == 1


@_case
async def copy(endpoint):
    rows = [(i, f"name {i}", None) for i in range(1000, 4000)]
    async with _connection(endpoint) as connection:
        await connection.copy_records_to_table("items", records=rows)
        out = endpoint.folder / "asyncpg.out"
        await connection.copy_from_query("select * from items where id >= $1", 1000, output=str(out))
        assert len(out.read_text().splitlines()) == len(rows)
        try:
            await connection.copy_records_to_table("items", records=rows[:1])
            raise AssertionError("a duplicate was copied")
        except asyncpg.UniqueViolationError:
            pass
        assert await connection.fetchval("select 1") == 1


@_case
async def executemany(endpoint):
    async with _connection(endpoint) as connection:
        await connection.executemany("insert into items values ($1, $2)", [(i, str(i)) for i in range(5000, 5500)])
        assert await connection.fetchval("select count(*) from items where id >= 5000") == 500
        try:
            await connection.executemany("insert into items values ($1, $2)", [(6000, "x"), (1, "duplicate")])
            raise AssertionError("a duplicate was inserted")
        except asyncpg.UniqueViolationError:
            pass
        assert await connection.fetchval("select count(*) from items where id = 6000") == 0


@_case
async def schema_change(endpoint):
    """A changed result type under a cached statement: the driver re-prepares (P29)."""
    endpoint.admin_sql("drop table if exists changing; create table changing as select 1 as a;"
                       "grant select on changing to app", endpoint.database)
    async with _connection(endpoint) as connection:
        assert len(await connection.fetchrow("select * from changing")) == 1
        endpoint.admin_sql("alter table changing add column b int", endpoint.database)
        assert len(await connection.fetchrow("select * from changing")) == 2


@_case
async def cancellation(endpoint):
    async with _connection(endpoint) as connection:
        try:
            await connection.fetch("select pg_sleep(60) /* asyncpg */", timeout=0.2)
            raise AssertionError("it was not cancelled")
        except asyncio.TimeoutError:
            pass
        assert await connection.fetchval("select 1") == 1
    endpoint.wait_until_not_running("pg_sleep(60) /* asyncpg */")


@_case
async def notifications(endpoint):
    async with _connection(endpoint) as connection:
        received = asyncio.get_running_loop().create_future()
        await connection.add_listener("drivers", lambda _c, _pid, _channel, text: received.set_result(text))
        endpoint.admin_sql("notify drivers, 'from outside'", endpoint.database)
        assert await asyncio.wait_for(received, 10) == "from outside"


@_case
async def many_connections(endpoint):
    """A pool of many connections: each release sends the driver's reset (UNLISTEN, RESET ALL, …)."""
    async with asyncpg.create_pool(**_options(endpoint, min_size=CLIENTS, max_size=CLIENTS)) as pool:
        async def work():
            for _ in range(10):
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("set local work_mem to '17MB'")
                    await connection.execute("update counter set n = n + $1", 1)
        await asyncio.gather(*(work() for _ in range(CLIENTS)))
        assert await pool.fetchval("select n from counter") == CLIENTS * 10


CASES = [prepared, types, transactions, cursors, errors, copy, executemany, schema_change, cancellation,
         notifications, many_connections]
