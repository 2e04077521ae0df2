"""Connection pools of applications in front of a primary and its standby while these restart and change roles.

A pool's program (java/PoolClient.java, node/pool.js) has its default settings and no retry code: readers take a connection
for each query, writers for each transaction. Here the harm is done and what it tells is judged. Two pools are shown to
keep their connections; nothing here knows which driver it is.
"""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager

from lib.cluster import PASSWORD, Cluster
from lib.deadline import eventually
from lib.processes import Workspace, with_death_signal
from lib.proxy import Proxy, base_config, clean_environment

DATABASE = "pools"
SCHEMA = """
create table items (id int primary key, name text);
insert into items values (1, 'one'), (2, 'two'), (3, 'three');
create table pool_log (client text, seq int, part int);
create function raise_state(state text) returns void language plpgsql as
  $$ begin raise exception 'made up' using errcode = state; end $$;
grant all on all tables in schema public to app;
"""
SIZE = 10                     # both pools' default
AWAY = 9.0                    # seconds
TOLD_TO_WRITERS = {"40001", "08007"}

# What pgsteady may answer without ending the connection (README, the table of errors), and errors of PostgreSQL's own.
STATES = ["40001", "40003", "08006", "08007", "25006", "25P02", "53300", "55000", "57014", "57P02", "57P03", "0A000", "23505"]


class Stage:
    """A primary with a synchronous standby, so that a promotion loses nothing, and a proxy before both."""

    def __init__(self, workspace):
        settings = {"synchronous_commit": "on"}
        self.primary = Cluster(workspace, "node1", settings=settings)
        self.standby = None
        self.proxy = None
        try:
            self.primary.create_database(DATABASE, SCHEMA)
            self.standby = Cluster(workspace, "node2", copy_of=self.primary, settings=settings)
            self.primary.configure(synchronous_standby_names="*")
            config = base_config(self.primary, pool={"size": 4, "hold_timeout": "30s"})
            config["backends"]["hosts"] = [f"127.0.0.1:{node.port}" for node in (self.primary, self.standby)]
            self.proxy = Proxy(workspace.path, config).start()
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.proxy:
            self.proxy.kill()
        for node in (self.primary, self.standby):
            if node:
                node.stop(signal.SIGQUIT)

    def environment(self):
        return {**clean_environment(), "PGHOST": "127.0.0.1", "PGPORT": str(self.proxy.port), "PGUSER": "app",
                "PGPASSWORD": PASSWORD, "PGDATABASE": DATABASE, "PGSSLMODE": "disable", "PATH": os.environ["PATH"]}

    @contextmanager
    def as_environment(self):
        """For drivers in this process: the PG variables."""
        kept = dict(os.environ)
        os.environ.update(self.environment())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(kept)

    def restart_fast(self):
        self.primary.restart()

    def be_away(self):
        """Longer than a pool's test of a connection usually may take."""
        self.primary.stop()
        self.standby.stop()
        time.sleep(AWAY)
        self.primary.start()
        self.standby.start()

    def fail_over(self):
        os.kill(self.primary.pid, signal.SIGKILL)
        self.primary.stop()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def rows(self):
        """Rows per (client, seq) that are there."""
        return [int(row[0]) for row in self.primary.sql("select count(*) from pool_log group by client, seq", DATABASE)]


@contextmanager
def stage():
    workspace = Workspace("pools")
    try:
        scene = Stage(workspace)
        try:
            yield scene
            scene.proxy.stop()
        except BaseException:
            print(scene.proxy.log_tail(), flush=True)
            raise
        finally:
            scene.close()
    finally:
        workspace.remove()


class Program:
    """A pool at work. Every order is a line, and so is every answer."""

    def __init__(self, command, scene, folder):
        self._process = subprocess.Popen(with_death_signal([*command, "work"]), cwd=folder, env=scene.environment(), text=True,
                                         bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def _order(self, word):
        self._process.stdin.write(word + "\n")
        line = self._process.stdout.readline()
        assert line, f"the pool's program ended with {self._process.wait()}"
        answer = json.loads(line)
        assert not answer["broken"], answer["broken"]
        return answer

    def told(self):
        return self._order("report")

    def stop(self):
        return self._order("stop")

    def goes_on(self, seconds=40):
        """Until every one of its workers has had three more successes."""
        before = self.told()["successes"]
        eventually(lambda: all(now >= then + 3 for now, then in zip(self.told()["successes"], before)),
                   "everybody is served", seconds)
        return self.told()


def outlives(command, folder, harm, evicting):
    """The pool goes on through `harm`: readers see nothing, writers the truth, and a connection is given up only where the
    pool itself takes one of these truths (`evicting`) for a broken connection."""
    with stage() as scene, Program(command, scene, folder) as program:
        program.goes_on()
        eventually(lambda: len(program.told()["sessions"]) == SIZE, "the pool is full and all of it is in use")
        before = program.told()
        assert before["created"] == SIZE, before
        for _ in range(2):
            getattr(scene, harm)()
            program.goes_on()
            if harm in ("fail_over", "be_away"):
                break                                    # the old primary stays away; once is long enough
        after = program.stop()
        judge(before, after, evicting)
        judge_rows(scene.rows(), after["writes"])
        return after


def judge(before, after, evicting):
    for kind in ("reads", "borrows", "rollbacks"):
        assert not after[kind]["errors"], (kind, after)
    told = after["writes"]["errors"]
    assert set(told) <= TOLD_TO_WRITERS, after
    evicted = sum(count for state, count in told.items() if state in evicting)
    assert after["created"] == before["created"] + evicted, f"{after['created']} connections were opened: {after}"
    assert set(before["sessions"]) <= set(after["sessions"])
    assert len(after["sessions"]) == SIZE + evicted, after
    assert after.get("lost", 0) == 0, after


def judge_rows(rows, writes):
    """Both rows of a transaction or none; what was acknowledged is there, and beyond it only what is in doubt."""
    assert set(rows) <= {2}, sorted(rows)
    assert writes["done"] <= len(rows) <= writes["done"] + writes["errors"].get("08007", 0), (len(rows), writes)


def evicts(command, folder, *how):
    """{SQLSTATE: whether the pool replaces the connection that brought it}"""
    with stage() as scene:
        done = subprocess.run([*command, "errors", *how, *STATES], cwd=folder, env=scene.environment(), text=True,
                              capture_output=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
