"""psycopg 3: prepared statements and their eviction, pipelines, COPY, binary, nested transactions, async."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg

CLIENTS = 20


def _connect(endpoint, **more):
    return psycopg.connect(**endpoint.keywords(), **more)


def prepared(endpoint):
    """Every statement is prepared at once; few may live, so that DEALLOCATE is used as well."""
    with _connect(endpoint, prepare_threshold=0, autocommit=True) as connection:
        connection.prepared_max = 3
        for round_number in range(3):
            for number in range(8):
                row = connection.execute(f"select %s::int + {number}", (round_number,)).fetchone()
                assert row == (round_number + number,)


def prepared_same_names(endpoint):
    """Connections name their statements alike (_pg3_0); each must get its own."""
    connections = [_connect(endpoint, prepare_threshold=0, autocommit=True) for _ in range(5)]
    try:
        for _ in range(3):
            for number, connection in enumerate(connections):
                row = connection.execute(f"select 'connection {number}', %s::text", (str(number),)).fetchone()
                assert row == (f"connection {number}", str(number))
    finally:
        for connection in connections:
            connection.close()


def transactions(endpoint):
    with _connect(endpoint) as connection:
        with connection.transaction():
            connection.execute("update items set name = 'kept' where id = 1")
            try:
                with connection.transaction():
                    connection.execute("update items set name = 'undone' where id = 2")
                    connection.execute("select 1/0")
            except psycopg.errors.DivisionByZero:
                pass
        rows = connection.execute("select name from items where id < 3 order by id").fetchall()
        assert rows == [("kept",), ("two",)], rows


def errors(endpoint):
    with _connect(endpoint, autocommit=True) as connection:
        for sql, state in (("select 1/0", "22012"), ("insert into items values (1)", "23505"), ("selct", "42601"),
                           ("select %s::int", "22P02")):
            try:
                connection.execute(sql, ("x",) if "%s" in sql else None)
                raise AssertionError(f"{sql} did not fail")
            except psycopg.Error as problem:
                assert problem.sqlstate == state, problem.sqlstate


def pipelines(endpoint):
    with _connect(endpoint) as connection:
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("select %s::int", (i,)) for i in range(50)]
            pipeline.sync()
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(50))
        connection.rollback()
        try:
            with connection.pipeline():
                connection.execute("insert into items values (500, 'lost')")
                connection.execute("select 1/0")
                connection.execute("insert into items values (501, 'skipped')")
            raise AssertionError("the pipeline did not fail")
        except psycopg.errors.DivisionByZero:
            connection.rollback()
        assert connection.execute("select count(*) from items where id >= 500").fetchone() == (0,)


def executemany(endpoint):
    with _connect(endpoint) as connection:
        connection.cursor().executemany("insert into items values (%s, %s)", [(i, str(i)) for i in range(600, 900)])
        connection.commit()
        assert connection.execute("select count(*) from items where id >= 600").fetchone() == (300,)


def copy(endpoint):
    rows = [(i, f"name {i}", None) for i in range(1000, 4000)]
    with _connect(endpoint) as connection, connection.cursor() as cursor:
        with cursor.copy("copy items from stdin") as into:
            for row in rows:
                into.write_row(row)
        with cursor.copy("copy (select * from items where id >= 1000 order by id) to stdout") as out:
            assert sum(1 for _ in out.rows()) == len(rows)
        connection.commit()
        try:
            with cursor.copy("copy items from stdin") as into:
                into.write_row(rows[0])
                raise RuntimeError("the writer fails")          # sent as CopyFail
        except psycopg.errors.QueryCanceled:
            connection.rollback()
        try:
            with cursor.copy("copy items from stdin") as into:
                into.write("bad\n")
            raise AssertionError("a bad row was copied")
        except psycopg.errors.InvalidTextRepresentation:
            connection.rollback()


def binary(endpoint):
    with _connect(endpoint) as connection, connection.cursor(binary=True) as cursor:
        row = cursor.execute("select %b::int, %b::bytea, 1.5::numeric, now() > now()", (7, b"\0\xff")).fetchone()
        assert row[0] == 7 and row[1] == b"\0\xff" and row[3] is False


def cursors(endpoint):
    with _connect(endpoint) as connection:
        with connection.cursor("named") as cursor:
            cursor.itersize = 77
            cursor.execute("select i from generate_series(1, 1000) i")
            assert sum(row[0] for row in cursor) == 500500
        rows = list(connection.cursor().stream("select i from generate_series(1, 500) i"))
        assert len(rows) == 500


def notifications(endpoint):
    with _connect(endpoint, autocommit=True) as connection:
        connection.execute("listen drivers")
        endpoint.admin_sql("notify drivers, 'from outside'", endpoint.database)
        received = next(connection.notifies())
        assert (received.channel, received.payload) == ("drivers", "from outside")


def cancellation(endpoint):
    with _connect(endpoint, autocommit=True) as connection, ThreadPoolExecutor(1) as threads:
        running = threads.submit(connection.execute, "select pg_sleep(60) /* psycopg3 */")
        endpoint.wait_for_running("pg_sleep(60) /* psycopg3 */")
        connection.cancel()
        problem = running.exception(20)
        assert isinstance(problem, psycopg.errors.QueryCanceled), problem
        assert connection.execute("select 1").fetchone() == (1,)


async def _client(endpoint):
    connection = await psycopg.AsyncConnection.connect(**endpoint.keywords(), prepare_threshold=1)
    async with connection:
        for _ in range(10):
            async with connection.transaction():
                await connection.execute("update counter set n = n + %s", (1,))


def many_connections(endpoint):
    async def everybody():
        await asyncio.gather(*(_client(endpoint) for _ in range(CLIENTS)))
    asyncio.run(everybody())
    assert endpoint.admin_sql("select n from counter", endpoint.database) == [[str(CLIENTS * 10)]]


CASES = [prepared, prepared_same_names, transactions, errors, pipelines, executemany, copy, binary, cursors,
         notifications, cancellation, many_connections]
