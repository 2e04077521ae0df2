"""pg_dump into pg_restore, both through the pool: the copy is complete and nothing of it sticks to the servers."""

import subprocess

from endpoint import SECOND_DATABASE

SCHEMA = """
drop schema if exists dumped cascade;
create schema dumped authorization app;
set role app;
create type dumped.mood as enum ('sad', 'ok');
create table dumped.parent (id serial primary key, m dumped.mood, note text default 'x');
create table dumped.child (id int references dumped.parent, body bytea);
create index on dumped.child (id);
create view dumped.v as select * from dumped.parent where m = 'ok';
create function dumped.f(int) returns int language sql as 'select $1 + 1';
insert into dumped.parent (m) select case when i % 2 = 0 then 'sad' else 'ok' end::dumped.mood
    from generate_series(1, 5000) i;
insert into dumped.child select id, decode(repeat('ab', 50), 'hex') from dumped.parent;
"""
COUNT = "select count(*), sum(id), count(distinct m), max(note) from dumped.parent"


def dump_and_restore(endpoint):
    endpoint.admin_sql(SCHEMA, endpoint.database)
    endpoint.admin_sql("drop schema if exists dumped cascade", SECOND_DATABASE)
    with subprocess.Popen(["pg_dump", "-Fc", "-n", "dumped"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=endpoint.environment()) as dump:
        restore = subprocess.run(["pg_restore", "--no-owner", "--exit-on-error", "-d", SECOND_DATABASE],
                                 stdin=dump.stdout, capture_output=True, env=endpoint.environment(), timeout=80)
        problem = dump.stderr.read()
    assert dump.returncode == 0, problem
    assert restore.returncode == 0, restore.stderr
    assert endpoint.admin_sql(COUNT, SECOND_DATABASE) == endpoint.admin_sql(COUNT, endpoint.database)


def plain_dump_into_psql(endpoint):
    """The text of a plain dump sets search_path and many settings for its whole session."""
    endpoint.admin_sql(SCHEMA, endpoint.database)
    endpoint.admin_sql("drop schema if exists dumped cascade", SECOND_DATABASE)
    dump = subprocess.run(["pg_dump", "-n", "dumped", "--no-owner"], capture_output=True, timeout=80,
                          env=endpoint.environment())
    assert dump.returncode == 0, dump.stderr
    restore = subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", SECOND_DATABASE], input=dump.stdout,
                             capture_output=True, timeout=80, env=endpoint.environment())
    assert restore.returncode == 0, restore.stderr
    assert endpoint.admin_sql(COUNT, SECOND_DATABASE) == endpoint.admin_sql(COUNT, endpoint.database)


CASES = [dump_and_restore, plain_dump_into_psql]
