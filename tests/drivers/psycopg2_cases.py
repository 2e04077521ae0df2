"""psycopg2: simple protocol, server-side cursors, COPY, large objects, cancellation, many threads."""

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import psycopg2.errors
import psycopg2.extensions

CLIENTS = 20


def _connect(endpoint, **more):
    return closing(psycopg2.connect(**endpoint.keywords(**more)))


def transactions(endpoint):
    with _connect(endpoint) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("update items set name = %s where id = 1", ("committed",))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("update items set name = 'rolled back' where id = 1")
                raise RuntimeError
        except RuntimeError:
            pass
        with connection.cursor() as cursor:
            cursor.execute("select name from items where id = 1")
            assert cursor.fetchone() == ("committed",)
            assert connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
        connection.rollback()
        connection.set_session(isolation_level="SERIALIZABLE", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("show transaction_read_only")
            assert cursor.fetchone() == ("on",)
        connection.rollback()


def prepared(endpoint):
    with _connect(endpoint) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("prepare get (int) as select name from items where id = $1")
        for number, name in ((1, "one"), (2, "two")):
            cursor.execute("execute get (%s)", (number,))
            assert cursor.fetchone() == (name,)
        cursor.execute("deallocate get")


def errors(endpoint):
    with _connect(endpoint) as connection, connection.cursor() as cursor:
        for sql, state in (("select 1/0", "22012"), ("insert into items values (1)", "23505"), ("selct", "42601")):
            try:
                cursor.execute(sql)
                raise AssertionError(f"{sql} did not fail")
            except psycopg2.Error as problem:
                assert problem.pgcode == state, problem.pgcode
            try:
                cursor.execute("select 1")
                raise AssertionError("a failed transaction went on")
            except psycopg2.errors.InFailedSqlTransaction:
                connection.rollback()


def copy(endpoint):
    text = "".join(f"{i}\tname {i}\t\\N\n" for i in range(100, 5000))
    with _connect(endpoint) as connection, connection.cursor() as cursor:
        cursor.copy_expert("copy items from stdin", io.StringIO(text))
        out = io.StringIO()
        cursor.copy_expert("copy (select * from items where id >= 100 order by id) to stdout", out)
        assert out.getvalue() == text
        try:
            cursor.copy_expert("copy items from stdin", io.StringIO("bad\n"))
            raise AssertionError("a bad row was copied")
        except psycopg2.Error as problem:
            assert problem.pgcode == "22P02", problem.pgcode
        connection.rollback()


def cursors(endpoint):
    with _connect(endpoint) as connection:
        with connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("select i from generate_series(1, 1000) i")
            assert sum(row[0] for row in cursor) == 500500
        connection.rollback()


def large_objects(endpoint):
    with _connect(endpoint) as connection:
        made = connection.lobject()
        made.write(b"x" * 100_000)
        connection.commit()
        assert len(connection.lobject(made.oid, "rb").read()) == 100_000
        connection.lobject(made.oid).unlink()
        connection.commit()


def notices_and_settings(endpoint):
    with _connect(endpoint, application_name="psycopg2 test", options="-c work_mem=9MB") as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("do $$ begin raise notice 'noticed'; end $$")
            assert "noticed" in connection.notices[-1]
            cursor.execute("select current_setting('application_name'), current_setting('work_mem')")
            assert cursor.fetchone() == ("psycopg2 test", "9MB")
        connection.set_client_encoding("LATIN1")
        with connection.cursor() as cursor:
            cursor.execute("select 'é'")
            assert cursor.fetchone() == ("é",)


def cancellation(endpoint):
    with _connect(endpoint) as connection, ThreadPoolExecutor(1) as threads, connection.cursor() as cursor:
        running = threads.submit(cursor.execute, "select pg_sleep(60) /* psycopg2 */")
        endpoint.wait_for_running("pg_sleep(60) /* psycopg2 */")
        connection.cancel()
        problem = running.exception(20)
        assert isinstance(problem, psycopg2.errors.QueryCanceled), problem
        connection.rollback()
        cursor.execute("select 1")


def many_connections(endpoint):
    def work(_):
        with _connect(endpoint) as connection:
            for _ in range(10):
                with connection, connection.cursor() as cursor:
                    cursor.execute("update counter set n = n + 1 returning n")
                    cursor.fetchone()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(work, range(CLIENTS)))
    assert endpoint.admin_sql("select n from counter", endpoint.database) == [[str(CLIENTS * 10)]]


CASES = [transactions, prepared, errors, copy, cursors, large_objects, notices_and_settings, cancellation,
         many_connections]
