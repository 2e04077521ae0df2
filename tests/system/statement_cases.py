"""Prepared statements by the hundred through few servers: bounded there, right everywhere (P24-P28, D14)."""

import random

from bench import DATABASE, ONE_SERVER
from lib import messages as msg

ROUNDS = 400
CLIENTS = 4


def eviction_keeps_every_statement_usable(bench):
    """P25, P26: more statements than the limit in bytes; servers forget, clients never notice."""
    pool = {**ONE_SERVER, "prepared_statements": "16KiB"}
    with bench.proxy(pool=pool) as proxy, proxy.connect(DATABASE) as client:
        for number in range(300):
            client.send(msg.parse(f"s{number}", f"select {number} /* {'x' * 500} */") + msg.sync())
            assert client.read_until("Z")[0].type == "1"
        for number in random.Random(1).sample(range(300), 150):
            assert _execute(client, f"s{number}") == str(number)
        kept = int(client.value("select count(*) from pg_prepared_statements"))
        assert kept < 100, f"{kept} statements on the server"



def _execute(client, name):
    client.send(msg.bind("", name) + msg.execute("") + msg.sync())
    frames = client.read_until("Z")
    for frame in frames:
        if frame.type == "D":
            return msg.data_row(frame.body)[0].decode()
        if frame.type == "E":
            return msg.error_fields(frame.body)["C"]
    return None


def one_segment_may_use_more_than_the_limit(bench):
    """P25: nothing that a queued Bind of the same segment needs is closed under it."""
    pool = {**ONE_SERVER, "prepared_statements": "4KiB"}
    with bench.proxy(pool=pool) as proxy, proxy.connect(DATABASE) as client:
        for number in range(60):
            client.send(msg.parse(f"s{number}", f"select {number} /* {'x' * 500} */") + msg.sync())
            client.read_until("Z")
        for _ in range(3):
            client.send(b"".join(msg.bind("", f"s{number}") + msg.execute("") for number in range(60)) + msg.sync())
            rows = [msg.data_row(f.body)[0].decode() for f in client.read_until("Z") if f.type == "D"]
            assert rows == [str(number) for number in range(60)], rows


def random_use_by_many_clients(bench):
    """Parse, Bind, Close and DEALLOCATE at random, by clients who share names and texts, against a model."""
    chance = random.Random(4711)
    pool = {"size": 2, "max_overflow": 0, "min_size": 0, "prepared_statements": "8KiB"}
    with bench.proxy(pool=pool) as proxy:
        clients = [(proxy.connect(DATABASE), {}) for _ in range(CLIENTS)]
        for number in range(ROUNDS):
            client, model = chance.choice(clients)
            name = f"s{chance.randrange(8)}"
            _random_step(chance, client, model, name, number)


def _random_step(chance, client, model, name, number):
    action = chance.random()
    if action < 0.3:
        value = str(chance.randrange(30))
        client.send(msg.parse(name, f"select {value} /* {'y' * 200} */") + msg.sync())
        first = client.read_until("Z")[0]
        if name in model:
            assert first.type == "E" and msg.error_fields(first.body)["C"] == "42P05", (number, first)
        else:
            assert first.type == "1", (number, first)
            model[name] = value
    elif action < 0.85:
        found = _execute(client, name)
        assert found == model.get(name, "26000"), f"step {number}: {found} instead of {model.get(name)}"
    elif action < 0.97:
        client.send(msg.close("S", name) + msg.sync())
        assert client.read_until("Z")[0].type == "3"
        model.pop(name, None)
    else:
        assert client.query(chance.choice(("deallocate all", "discard all"))).error is None
        model.clear()


def a_client_that_vanishes_before_sync(bench):
    """P24: its Parse may or may not have run; the next client's Parse of the same text works."""
    with bench.proxy(pool=ONE_SERVER) as proxy:
        for _ in range(10):
            client = proxy.connect(DATABASE)
            client.send(msg.parse("s1", "select 'shared text'"))
            client.reset()
            with proxy.connect(DATABASE) as other:
                other.send(msg.parse("s9", "select 'shared text'") + msg.sync())
                assert other.read_until("Z")[0].type == "1"
                assert _execute(other, "s9") == "shared text"


def many_texts_do_not_grow_without_end(bench):
    """P59: ten thousand different texts by one client that closes each."""
    with bench.proxy(pool={**ONE_SERVER, "prepared_statements": "64KiB"}) as proxy, \
            proxy.connect(DATABASE) as client:
        before = None
        for batch in range(20):
            for number in range(500):
                name = f"{batch}_{number}"
                client.send(msg.parse(name, f"select {batch} + {number} /* {'z' * 300} */") + msg.close("S", name)
                            + msg.sync())
                client.read_until("Z")
            if batch == 4:
                before = proxy.memory_kib()
        grown = proxy.memory_kib() - before
        assert grown < 8 * 1024, f"{grown} KiB more"


CASES = [eviction_keeps_every_statement_usable, one_segment_may_use_more_than_the_limit, random_use_by_many_clients,
         a_client_that_vanishes_before_sync, many_texts_do_not_grow_without_end]
