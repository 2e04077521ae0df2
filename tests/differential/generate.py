"""Random conversations for the differential test, and the search for a small one that still fails.

A conversation is a list of fragments; each belongs to one client and ends with everything answered, so that any
fragment can be left out. Chance comes in as a seed: the same seed gives the same script.
"""

import random
import time

from script import Script, parse_line

CLIENTS = "ABC"
FRAGMENTS = 40
SHRINK_SECONDS = 25

NAMES = ("s1", "s2", '""')
TEXTS = ("select 1", "select i from numbers order by i", "select current_setting('work_mem')", "selct", "select 1/0",
         "set work_mem to '61MB'", "select * from t order by id", "begin", "commit", "rollback", "select now() < now()",
         "select current_user", "reset work_mem", "insert into written values (1)", "show search_path", "")
QUERIES = TEXTS + (
    "set work_mem to '62MB'", "set local work_mem to '63MB'", "reset all", "set application_name to 'x'",
    "reset application_name", "show application_name", "set search_path to public, s", "show work_mem",
    "set role other", "reset role", "savepoint a", "rollback to a", "release a", "begin; select 1/0",
    "begin; set work_mem to '64MB'; commit", "set work_mem to '65MB'; select 1/0", "commit and chain",
    "deallocate s1", "deallocate all", "discard all", "prepare s1 as select 'by SQL'", "execute s1",
    "select set_config('work_mem', '66MB', false)", "select set_config('work_mem', '67MB', true)",
    "select count(*) from written", "begin; insert into written values (2)", "select 1; select 2",
    "create temp table mine as select 1 as a", "select * from mine", "drop table mine", "discard temp",
    "declare c cursor with hold for select i from numbers", "fetch 2 from c", "close c",
    "select pg_advisory_lock_shared(1)", "select pg_advisory_unlock_all()", "set datestyle to 'SQL, DMY'",
    "select date '2024-02-29'", "set session characteristics as transaction read only",
    "set default_transaction_read_only to off", "select nextval('seq') > 0")


class Conversation:
    """Fragments, each a (client, lines); `script()` makes them playable."""

    def __init__(self, name, fragments):
        self.name, self.fragments = name, fragments

    def lines(self):
        lines, current = [], "A"
        for client, fragment in self.fragments:
            if client != current:
                lines.append(f"client {client}")
                current = client
            lines += fragment
        return lines

    def script(self):
        steps = [parse_line(number, line) for number, line in enumerate(self.lines(), 1)]
        return Script(self.name, pool="wide", steps=steps)


def conversation(seed):
    chance = random.Random(seed)
    clients = CLIENTS[:chance.choice((1, 2, 3))]
    fragments = [(chance.choice(clients), _fragment(chance)) for _ in range(FRAGMENTS)]
    return Conversation(f"random_{seed}", fragments)


def _fragment(chance):
    kind = chance.random()
    if kind < 0.45:
        return [_query(chance), "Z"]
    if kind < 0.55:
        count = chance.randint(2, 5)
        return [_query(chance) for _ in range(count)] + [f"Z {count}"]
    segments = 1 if kind < 0.9 else chance.randint(2, 3)
    lines = []
    for _ in range(segments):
        for _ in range(chance.randint(1, 4)):
            lines += _extended(chance)
        lines.append("S")
    return lines + ["Z" if segments == 1 else f"Z {segments}"]


def _query(chance):
    return f'Q "{chance.choice(QUERIES)}"'


def _extended(chance):
    name = chance.choice(NAMES)
    kind = chance.random()
    if kind < 0.35:
        return [f'P {name} "{chance.choice(TEXTS)}"', f'B "" {name}', 'E ""']
    if kind < 0.6:
        return [f'B "" {name}', 'E ""']
    if kind < 0.7:
        return [f'P {name} "{chance.choice(TEXTS)}"']
    if kind < 0.8:
        return [f"D S {name}"]
    if kind < 0.9:
        return [f"C S {name}"]
    return [f"B p1 {name}", "D P p1", "E p1 2", "C P p1"]


def shrunk(conversation, still_fails):
    """A shorter conversation for which still_fails(script) holds, as far as the time allows."""
    until = time.monotonic() + SHRINK_SECONDS
    kept, size = conversation.fragments, max(1, len(conversation.fragments) // 2)
    while True:
        removed_any, at = False, 0
        while at < len(kept) and time.monotonic() < until:
            candidate = Conversation(conversation.name, kept[:at] + kept[at + size:])
            if still_fails(candidate.script()):
                kept, removed_any = candidate.fragments, True
            else:
                at += size
        if time.monotonic() >= until or (size == 1 and not removed_any):
            return Conversation(conversation.name, kept)
        if not removed_any:
            size = max(1, size // 2)
