-- What every script finds, made anew before each play. A leftover lock of an earlier play is a failure, not a wait.
set lock_timeout = '5s';
drop schema if exists s cascade;
create schema s authorization app;
set role app;
set search_path = s;
create table t (id int primary key, name text);
insert into t values (1, 'one'), (2, 'two'), (3, 'three');
create table numbers as select i from generate_series(1, 50) i;
create table written (n int);
create sequence seq;
create type mood as enum ('sad', 'ok', 'happy');
create function say(text) returns int language plpgsql as $$ begin raise notice '%', $1; return 1; end $$;
create function fail(text, text) returns int language plpgsql as
    $$ begin raise exception using errcode = $1, message = $2, detail = 'a detail', hint = 'a hint'; end $$;
create function add_late(int, int) returns int language sql immutable as 'select $1 + $2';
