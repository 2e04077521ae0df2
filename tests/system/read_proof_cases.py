"""The questions that prove a read, put to PostgreSQL itself: they are good SQL and mean what they should (D20, P63)."""

import subprocess
from contextlib import contextmanager

from lib.cluster import PASSWORD
from lib.proxy import tool
from lib.wire_client import WireClient

SCHEMA = """
create table plain (id int primary key, name text);
create schema app; create table app.elsewhere (id int);
create sequence numbers;
create function quiet(int) returns int language sql stable as 'select $1';
create function loud(int) returns int language plpgsql as 'begin perform pg_notify(''a'', ''b''); return $1; end';
create function mixed(int) returns int language sql stable as 'select $1';
create function app.mixed(text) returns text language sql volatile as 'select $1';
create aggregate quiet_sum(int) (sfunc = int4pl, stype = int);
create function adds(int, int) returns int language sql volatile as 'select nextval(''numbers'')::int';
create aggregate loud_sum(int) (sfunc = adds, stype = int);
create operator <-+-> (leftarg = int, rightarg = int, function = adds);
create view upon_plain as select id, lower(name) as name, count(*) from plain group by 1, 2 having max(id) between 1 and 9;
create view upon_view as select v.id from upon_plain v join plain using (id) where v.name in (select 'O''Reilly \\ ');
create view upon_sequence as select nextval('numbers');
create view upon_loud as select loud(id) from plain;
create view deep as select * from (select * from upon_loud) x;
create materialized view kept as select nextval('numbers');
create table secret (id int); alter table secret enable row level security;
create view upon_secret as select * from secret;
create table parted (id int) partition by range (id);
create table parted1 partition of parted for values from (0) to (9);
create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
create foreign table away (id int) server nowhere;
create table half_away (id int) partition by range (id);
create table half_away1 partition of half_away for values from (0) to (9) partition by range (id);
create foreign table half_away2 partition of half_away1 for values from (0) to (5) server nowhere;
create table heir_away (id int);
create foreign table heir_away1 (id int) inherits (heir_away) server nowhere;
create function touch(plain) returns int language sql volatile as 'select nextval(''numbers'')::int';
create function look(plain) returns int language sql stable as 'select 1';
create table "Odd ""name"" 'x' \\ pg.==" (id int);
create table "straße" (id int);
create view "übersicht" as select * from "straße";
create domain positive as int check (value > 0);
grant usage on schema app to public; grant select on all tables in schema public, app to public;
"""

PROVEN = """
select * from plain where id = $1 and name like 'a%' order by name
select p.id, p.name, x.look from plain p, lateral (select p.look) x
select count(*), array_agg(name order by id), string_agg(name, ','), percentile_cont(0.5) within group (order by id) from plain
select row_number() over w, sum(id) over (w rows 2 preceding) from plain window w as (partition by name order by id)
select extract(year from now()), 'a' similar to 'b', substring('a' from 1 for 2), position('a' in 'b'), overlay('a' placing 'b' from 1)
select now() at time zone 'UTC', current_date, current_user, interval '1 day' * 2, trim(both 'x' from 'y'), date '2020-01-01'
select coalesce(name, 'x'), nullif(id, 1), greatest(id, 2), name is distinct from 'a', id in (1, 2), id between 1 and 2 from plain
select case id when 1 then 2 else 3 end, (id, name) < (1, 'a'), array[id]::bigint[], id::text::varchar(3) from plain
with recursive w(n) as (select 1 union all select n + 1 from w where n < 5) select * from w join plain on n = id
select * from generate_series(1, 3) g(i) cross join unnest(array[1, 2]) with ordinality u
select * from plain tablesample system (10)
select quiet(id), quiet_sum(id), random(), clock_timestamp() from plain group by id
select * from app.elsewhere, elsewhere e
select * from pg_catalog.pg_class c join pg_namespace n on n.oid = c.relnamespace
select table_name from information_schema.tables
select to_json(p), row_to_json(p), jsonb '{"a": 1}' -> 'a', xmlelement(name a) from plain p
select 1 from upon_plain union all select id from upon_view except select id from kept
select * from parted
select '1'::positive
select 'ä' from "straße", "übersicht"
select * from "Odd ""name"" 'x' \\ pg.=="
explain select quiet(id) from plain
explain (analyze) select * from plain
copy plain to stdout
values (1), (2)
table plain
show work_mem
"""

REFUTED = """
volatile: loud: select loud(1)
volatile: mixed: select mixed(1)
volatile: loud_sum: select loud_sum(id) from plain
volatile: <-+->: select 1 <-+-> 2
volatile: touch: select p.touch from plain p
volatile: touch: select (p).touch from plain p
unknown: no_function: select no_function(1)
unknown: ?!?: select 1 ?!? 2
unknown: no_table: select * from no_table
unknown: plain: select * from app.plain
unknown: plain: select * from no_schema.plain
writes: select * from upon_sequence
volatile: loud: select * from upon_loud
volatile: loud: select * from deep
not a plain table: numbers: select * from numbers
not a plain table: secret: select * from secret
not a plain table: secret: select * from upon_secret
not a plain table: away: select * from away
not a plain table: half_away: select * from half_away
not a plain table: half_away1: select * from half_away1
not a plain table: heir_away: select * from heir_away
volatile: pg_lock_status: select * from pg_locks
"""


class Shell:
    """The proof behind a pipe, and a connection that answers its questions."""

    def __init__(self, connection):
        self._process = subprocess.Popen([tool("read_proof_shell")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._connection = connection
        self.questions = 0

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(10) == 0

    def decide(self, sql, encoding="utf-8"):
        """"proven", or why not."""
        word, _, rest = self._ask(sql.encode(encoding).hex()).partition(" ")
        while word == "ask":
            self.questions += 1
            result = self._connection.query(bytes.fromhex(rest).decode("ascii"))
            if result.error:
                raise AssertionError(f"{result.error} for {sql}")
            lines = [" ".join("-" if value is None else value.encode(encoding).hex() or "." for value in row)
                     for row in result.rows]
            word, _, rest = self._ask("\n".join([str(len(lines)), *lines])).partition(" ")
        return rest if word == "refuted" else word

    def _ask(self, text):
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")


@contextmanager
def _shell(bench, database, **settings):
    with WireClient(bench.cluster.address) as connection:
        connection.login("app", database, PASSWORD, **settings)
        shell = Shell(connection)
        try:
            yield shell
        finally:
            shell.close()


def _lines(text):
    return [line for line in text.splitlines() if line]


def _check_all(shell):
    for sql in _lines(PROVEN):
        got = shell.decide(sql)
        assert got == "proven", f"{sql}: {got}"
    for line in _lines(REFUTED):
        reason, _, sql = line.rpartition(": ")
        got = shell.decide(sql)
        assert got == reason, f"{sql}: {got}"


def judges_statements_by_the_catalogue(bench):
    """D20: what is proven and what is not, and why; under any search_path and quoting rule, also where nothing is writable."""
    database = bench.cluster.create_database("read_proof", SCHEMA)
    with _shell(bench, database) as shell:
        _check_all(shell)
    # Whoever owns a schema in front of pg_catalog cannot answer in its stead.
    bench.cluster.sql("""
        create schema evil; grant usage on schema evil to public;
        create function evil.yes(name, name) returns boolean language sql immutable as 'select false';
        create operator evil.= (leftarg = name, rightarg = name, function = evil.yes);
        create view evil.pg_proc as select * from pg_catalog.pg_proc where false;
        create function evil.count() returns bigint language sql immutable as 'select 1::bigint';
        create domain evil.text as pg_catalog.text; create domain evil.name as pg_catalog.name; create domain evil.oid as pg_catalog.oid;
    """, database)
    for settings in ({"search_path": "evil, pg_catalog, public"}, {"search_path": ""}, {"default_transaction_read_only": "on"},
                     {"standard_conforming_strings": "off"}, {"quote_all_identifiers": "on"}):
        with _shell(bench, database, **settings) as shell:
            got = [shell.decide(sql) for sql in ("select * from plain where id = 1 and quiet(1) < 2", "select loud(1)",
                                                 "select * from deep", "select * from upon_plain, upon_secret")]
            if "evil" in settings.get("search_path", ""):               # pg_get_viewdef() itself believes evil.=
                assert got == ["proven", "volatile: loud"] + ["a definition not readable"] * 2, got
            else:
                assert got == ["proven", "volatile: loud", "volatile: loud", "not a plain table: secret"], (settings, got)


def reads_names_in_the_encoding_of_the_client(bench):
    """D20: the same bytes are other letters elsewhere."""
    database = bench.cluster.create_database("read_proof_names", 'create table "straße" (id int)')
    with _shell(bench, database, client_encoding="LATIN1") as shell:
        assert shell.decide('select * from "straße"', "latin-1") == "proven"
        assert shell.decide('select * from "stra\u00c3\u009fe"', "latin-1").startswith("unknown: ")
    with _shell(bench, database, client_encoding="SJIS") as shell:
        assert shell.decide("select 1 as \u30bd", "shift-jis") != "proven"


def sees_what_a_select_calls_unnamed(bench):
    """D20: casts, input functions, sorting and checks of domains, wherever in the database they are."""
    changes = {
        "volatile: a cast": """
            create type pair as (a int, b int);
            create function pair_text(pair) returns text language sql volatile as 'select 1::text';
            create cast (pair as text) with function pair_text(pair) as implicit""",
        "volatile: a type": """
            create type odd;
            create function odd_in(cstring) returns odd language internal volatile as 'int4in';
            create function odd_out(odd) returns cstring language internal immutable as 'int4out';
            create type odd (input = odd_in, output = odd_out, like = int4)""",
        "volatile: a operator class": """
            create type pair as (a int, b int);
            create function pair_cmp(pair, pair) returns int language sql volatile as 'select 0';
            create operator class pair_ops for type pair using btree as function 1 pair_cmp(pair, pair)""",
        "volatile: loud_check": """
            create function loud_check(int) returns boolean language sql volatile as 'select true';
            create domain checked as int check (loud_check(value))""",
        "writes": """
            create sequence s; create domain counted as int check (nextval('s') > 0)""",
    }
    for number, (reason, change) in enumerate(changes.items()):
        database = bench.cluster.create_database(f"read_proof_{number}", "create table plain (id int)")
        with _shell(bench, database) as shell:
            assert shell.decide("select * from plain") == "proven"
            bench.cluster.sql(change, database)
            assert shell.decide("select * from plain") == reason
            assert shell.decide("select 1") == "proven"


CASES = (judges_statements_by_the_catalogue, reads_names_in_the_encoding_of_the_client, sees_what_a_select_calls_unnamed)
