"""psql: scripts, \\copy, meta-commands, errors with SQLSTATE, Ctrl-C, TLS."""

import signal
import subprocess


def psql(endpoint, script, expect=0, *options):
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *options], input=script, text=True,
                          capture_output=True, env=endpoint.environment(), timeout=60)
    assert done.returncode == expect, f"psql ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def tls_and_scram(endpoint):
    out = psql(endpoint, "\\conninfo\nselect 'answered';\n").stdout
    assert "SSL connection" in out and "answered" in out, out


def transactions(endpoint):
    out = psql(endpoint, """
        begin; update items set name = 'changed' where id = 1; rollback;
        select name from items where id = 1;
        begin isolation level serializable; savepoint a; insert into items values (1, 'again');
        """, expect=3)
    assert "one" in out.stdout
    out = psql(endpoint, """
        \\set ON_ERROR_STOP 0
        \\set ON_ERROR_ROLLBACK on
        begin; insert into items values (10, 'ten'); select 1/0; insert into items values (11, 'eleven'); commit;
        select count(*) from items where id >= 10;
        """)
    assert out.stdout.split()[-1] == "2", out.stdout


def prepared(endpoint):
    out = psql(endpoint, """
        prepare by_id (int) as select name from items where id = $1;
        execute by_id(2);
        select 1 as one, 'x'::text as two \\gdesc
        execute by_id(3);
        deallocate by_id;
        """).stdout.split()
    assert out == ["two", "one|integer", "two|text", "three"], out


def copy(endpoint):
    source, target = endpoint.folder / "in.csv", endpoint.folder / "out.csv"
    source.write_text("".join(f"{i},name {i},{i}.25\n" for i in range(1000, 3000)))
    psql(endpoint, f"""
        \\copy items from '{source}' with csv
        \\copy (select * from items where id >= 1000 order by id) to '{target}' with csv
        """)
    assert source.read_text() == target.read_text()
    failed = psql(endpoint, "copy items from stdin;\nnot\ta\trow\n\\.\n", expect=3)
    assert "invalid input syntax" in failed.stderr, failed.stderr


def errors(endpoint):
    out = psql(endpoint, "\\set VERBOSITY verbose\nselect 1/0;\n", expect=3).stderr
    assert "22012" in out, out
    out = psql(endpoint, "\\set ON_ERROR_STOP 0\nselect nosuch;\n\\echo :SQLSTATE\nselect 'still here';\n").stdout
    assert out.split("\n")[:2] == ["42703", "still here"], out


def meta_commands(endpoint):
    out = psql(endpoint, "\\d items\n\\dt\n\\l\n\\du\n\\df pg_sleep\n\\sf pg_catalog.pg_sleep\n").stdout
    assert "items" in out and "pg_sleep" in out, out


def settings(endpoint):
    """SET of one psql lasts for it; the next psql starts clean."""
    out = psql(endpoint, "set work_mem to '77MB'; set search_path to pg_catalog;\nselect 1;\nshow work_mem;"
                         "show search_path;\n").stdout.split()
    assert out[-2:] == ["77MB", "pg_catalog"], out
    out = psql(endpoint, "show work_mem; show search_path;\n").stdout
    assert "77MB" not in out and "pg_catalog" not in out, out


def cancellation(endpoint):
    process = subprocess.Popen(["psql", "-XqAt", "-c", "select pg_sleep(60) /* psql */"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=endpoint.environment())
    try:
        endpoint.wait_for_running("pg_sleep(60) /* psql */")
        process.send_signal(signal.SIGINT)
        _, problem = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert "canceling statement due to user request" in problem, problem
    endpoint.wait_until_not_running("pg_sleep(60) /* psql */")


CASES = [tls_and_scram, transactions, prepared, copy, errors, meta_commands, settings, cancellation]
