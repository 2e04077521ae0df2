"""Reads that stand in the way of replay on a standby (F16): one statement with an old snapshot, and a transaction with one."""

from clients import DriverClient


class SlowRead(DriverClient):
    """Outside of a transaction. 40001 by PostgreSQL itself is the truth; a lost connection is not."""
    kind = "slow-read"
    slow = "select count(*), max(pg_sleep(0.2)::text) from facts where i <= 2"

    def step(self):
        answer, rows = self.attempt(self.kind, None, lambda: self.execute(self.slow))
        if not answer.error and rows != [(2, "")]:
            self.history.violation("I6", self.name, f"{rows} is not the result")


class Snapshot(DriverClient):
    """In a read-only transaction that keeps one snapshot while it says nothing: PostgreSQL ends it with a FATAL 40001, of
    which the client sees 40001 and keeps its connection."""
    kind = "snapshot"

    def step(self):
        answer, rows = self.attempt(self.kind, None, self._read_twice)
        if answer.error and self.connection is not None:
            self.attempt("rollback", None, lambda: self.execute("rollback"))
        elif not answer.error and rows[0] != rows[1]:
            self.history.violation("I6", self.name, f"one snapshot shows {rows}")

    def _read_twice(self):
        self.execute("begin isolation level repeatable read read only")
        first = self.execute("select count(*), min(pad) from facts")
        self.stopping.wait(0.3)
        second = self.execute("select count(*), min(pad) from facts")
        self.execute("commit")
        return first, second
