"""SQLAlchemy at work for pools.py, over psycopg2 in threads and over asyncpg in tasks: reads and writes until told to stop.

Where to connect comes from the PG variables. Answers are lines of JSON.
"""

import asyncio
import json
import sys
import threading
import time
from collections import Counter

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

READ = sa.text("select id, name from items where id <= :last order by id")
WRITE = sa.text("insert into pool_log values (:client, :seq, :part)")
READERS, WRITERS = 2, 2                     # of each driver


class Seen:
    def __init__(self):
        self.lock = threading.Lock()
        self.stopping = False
        self.reads, self.writes = ({"done": 0, "errors": Counter()} for _ in range(2))
        self.successes, self.broken = [], []

    def worker(self):
        self.successes.append(0)
        return len(self.successes) - 1

    def done(self, number, kind):
        with self.lock:
            kind["done"] += 1
            self.successes[number] += 1

    def failed(self, kind, problem):
        cause = getattr(problem, "orig", problem)
        with self.lock:
            kind["errors"][getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None) or repr(problem)] += 1

    def rows(self, rows):
        if [tuple(row) for row in rows] != [(1, "one"), (2, "two"), (3, "three")]:
            self.broken.append(str(rows))

    def report(self):
        with self.lock:
            return json.dumps({"successes": self.successes, "broken": self.broken, "reads": self.reads, "writes": self.writes})


def written(name, sequence):
    return [{"client": name, "seq": sequence, "part": part} for part in (1, 2)]


def thread(seen, engine, number, reads):
    sequence = 0
    while not seen.stopping:
        sequence += 1
        kind = seen.reads if reads else seen.writes
        try:
            with engine.begin() as connection:
                if reads:
                    seen.rows(connection.execute(READ, {"last": 3}).all())
                else:
                    connection.execute(WRITE, written(f"psycopg2-{number}", sequence))
            seen.done(number, kind)
        except sa.exc.DBAPIError as problem:
            seen.failed(kind, problem)
        time.sleep(0.01)


async def task(seen, engine, number, reads):
    sequence = 0
    while not seen.stopping:
        sequence += 1
        kind = seen.reads if reads else seen.writes
        try:
            async with engine.begin() as connection:
                if reads:
                    seen.rows((await connection.execute(READ, {"last": 3})).all())
                else:
                    await connection.execute(WRITE, written(f"asyncpg-{number}", sequence))
            seen.done(number, kind)
        except sa.exc.DBAPIError as problem:
            seen.failed(kind, problem)
        await asyncio.sleep(0.01)


async def tasks(seen, numbers):
    engine = create_async_engine("postgresql+asyncpg://", connect_args={"ssl": False})
    await asyncio.gather(*(task(seen, engine, number, at < READERS) for at, number in enumerate(numbers)))
    await engine.dispose()


def main():
    seen = Seen()
    engine = sa.create_engine("postgresql+psycopg2://")
    threads = [threading.Thread(target=thread, args=(seen, engine, seen.worker(), at < READERS)) for at in range(READERS + WRITERS)]
    numbers = [seen.worker() for _ in range(READERS + WRITERS)]
    threads.append(threading.Thread(target=lambda: asyncio.run(tasks(seen, numbers))))
    for each in threads:
        each.start()
    for order in sys.stdin:
        if order.strip() == "stop":
            seen.stopping = True
            for each in threads:
                each.join()
        print(seen.report(), flush=True)
        if seen.stopping:
            break


main()
