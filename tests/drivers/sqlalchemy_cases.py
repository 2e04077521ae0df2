"""SQLAlchemy with its default settings over psycopg2 and over asyncpg: every body runs over both."""

import asyncio
import datetime
import decimal
import ssl
import uuid
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, declarative_base

CLIENTS = 20
Base = declarative_base()


class Item(Base):
    __tablename__ = "items"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)
    price = sa.Column(sa.Numeric)


def _engine(endpoint, **more):
    return sa.create_engine("postgresql+psycopg2://", connect_args=endpoint.keywords(), **more)


def _async_engine(endpoint, **more):
    url = sa.engine.URL.create("postgresql+asyncpg", endpoint.user, endpoint.password, endpoint.host, endpoint.port,
                               endpoint.database)
    tls = ssl.create_default_context(cafile=str(endpoint.ca_file))
    return create_async_engine(url, connect_args={"ssl": tls}, **more)


def _case(body):
    """`body(connection)` over psycopg2, and from a fresh schema over asyncpg."""
    async def over_asyncpg(endpoint):
        engine = _async_engine(endpoint)
        async with engine.connect() as connection:
            await connection.run_sync(body)
        await engine.dispose()

    def case(endpoint):
        engine = _engine(endpoint)
        with engine.connect() as connection:
            body(connection)
        engine.dispose()
        endpoint.reset_schema()
        asyncio.run(asyncio.wait_for(over_asyncpg(endpoint), 30))
    case.__name__ = body.__name__
    return case


def _fails(work, state):
    try:
        work()
    except sa.exc.DBAPIError as problem:
        found = getattr(problem.orig, "pgcode", None) or problem.orig.sqlstate
        assert found == state, f"{found}: {problem}"
        assert not problem.connection_invalidated, problem
        return
    raise AssertionError(f"no {state}")


@_case
def sessions(connection):
    """The unit of work: flushes in batches, savepoints, a rollback."""
    with Session(connection) as session:
        session.add_all(Item(id=number, name=f"item {number}", price=number / 4) for number in range(100, 400))
        session.flush()
        with session.begin_nested():
            session.get(Item, 1).name = "changed"
        try:
            with session.begin_nested():
                session.get(Item, 2).name = "undone"
                session.flush()
                raise RuntimeError
        except RuntimeError:
            pass
        session.commit()
        assert session.query(sa.func.count(Item.id)).scalar() == 303
        assert [row.name for row in session.query(Item).filter(Item.id < 3).order_by(Item.id)] == ["changed", "two"]
        session.query(Item).filter(Item.id >= 100).delete()
        session.rollback()
        assert session.query(sa.func.sum(Item.price)).filter(Item.id >= 100).scalar() == decimal.Decimal("18712.5")


@_case
def types(connection):
    sent = {"a": uuid.UUID(int=7), "b": {"x": [1, None, "é"]}, "c": [1, 2, 3], "d": datetime.timedelta(days=1, seconds=2),
            "e": b"\x00\xff" * 40, "f": decimal.Decimal("12345678901234567890.5"), "h": True,
            "g": datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, datetime.timezone.utc)}
    kinds = {"a": postgresql.UUID(as_uuid=True), "b": postgresql.JSONB, "c": postgresql.ARRAY(sa.Integer), "d": sa.Interval,
             "e": sa.LargeBinary, "f": sa.Numeric, "g": sa.DateTime(timezone=True), "h": sa.Boolean}
    with connection.begin():
        row = connection.execute(sa.select([sa.cast(sa.literal(value, kinds[key]), kinds[key]).label(key)
                                            for key, value in sent.items()])).one()
    assert dict(row._mapping) == sent, row


@_case
def errors(connection):
    for text, state in (("select 1/0", "22012"), ("insert into items values (1)", "23505"), ("selct", "42601")):
        with connection.begin() as transaction:
            _fails(lambda text=text: connection.execute(sa.text(text)), state)
            _fails(lambda: connection.execute(sa.text("select 1")), "25P02")
            transaction.rollback()
    with connection.begin():
        assert connection.execute(sa.text("select :n + 1"), {"n": 41}).scalar() == 42


@_case
def isolation_levels(connection):
    """A setting of the session with psycopg2, of each BEGIN with asyncpg; gone when the connection is given back."""
    for level in ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"):
        chosen = connection.execution_options(isolation_level=level)
        with chosen.begin():
            assert chosen.execute(sa.text("show transaction_isolation")).scalar() == level.lower()
    with connection.execution_options(isolation_level="AUTOCOMMIT") as chosen:
        chosen.execute(sa.text("update items set name = 'kept' where id = 1"))


@_case
def reflection(connection):
    with connection.begin():
        inspector = sa.inspect(connection)
        assert {"items", "counter"} <= set(inspector.get_table_names())
        assert [column["name"] for column in inspector.get_columns("items")] == ["id", "name", "price"]
        assert inspector.get_pk_constraint("items")["constrained_columns"] == ["id"]
        metadata = sa.MetaData()
        metadata.reflect(connection, only=["items"])
        assert len(connection.execute(metadata.tables["items"].select()).all()) == 3


@_case
def streamed_results(connection):
    """Server-side cursors."""
    with connection.begin():
        rows = connection.execution_options(stream_results=True, max_row_buffer=70).execute(
            sa.text("select i from generate_series(1, 1000) i"))
        assert sum(row.i for row in rows) == 500500


def two_phases(endpoint):
    """psycopg2 alone has them; what is prepared is committed by whichever server comes."""
    engine = _engine(endpoint)
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(sa.text("update items set name = 'prepared' where id = 1"))
        transaction.prepare()
        assert transaction.xid in connection.recover_twophase()
        transaction.commit()
    with engine.connect() as connection:
        assert connection.execute(sa.text("select name from items where id = 1")).scalar() == "prepared"
    engine.dispose()


def cancellation(endpoint):
    """A task that is cancelled: the connection is dropped while its statement runs, with no request to cancel."""
    async def work():
        engine = _async_engine(endpoint)
        try:
            async with engine.connect() as connection:
                await asyncio.wait_for(connection.execute(sa.text("select pg_sleep(8) /* sqlalchemy */")), 0.2)
            raise AssertionError("it was not cancelled")
        except asyncio.TimeoutError:
            pass
        async with engine.connect() as connection:
            assert (await connection.execute(sa.text("select 1"))).scalar() == 1
        await engine.dispose()
    asyncio.run(asyncio.wait_for(work(), 30))
    endpoint.wait_until_not_running("pg_sleep(8) /* sqlalchemy */")


def many_connections(endpoint):
    """More workers than the pools have connections, more connections than there are servers."""
    count = sa.text("update counter set n = n + :one")
    engine = _engine(endpoint)

    def thread(_):
        for _ in range(10):
            with engine.begin() as connection:
                connection.execute(count, {"one": 1})

    async def work():
        asynchronous = _async_engine(endpoint)

        async def task():
            for _ in range(10):
                async with asynchronous.begin() as connection:
                    await connection.execute(count, {"one": 1})
        await asyncio.gather(*(task() for _ in range(CLIENTS)))
        await asynchronous.dispose()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(thread, range(CLIENTS)))
    engine.dispose()
    asyncio.run(asyncio.wait_for(work(), 30))
    assert endpoint.admin_sql("select n from counter", endpoint.database) == [[str(CLIENTS * 20)]]


CASES = [sessions, types, errors, isolation_levels, reflection, streamed_results, two_phases, cancellation, many_connections]
