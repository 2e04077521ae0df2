"""W9: strings of several statements, CALL with COMMIT inside, DDL, VACUUM: what must never be sent twice."""

from clients import RawClient, StatementError

STEPS = 3


class Scripter(RawClient):
    kind = "script"

    def step(self):
        self.seq += 1
        self.chance.choice((self._two, self._with_commit, self._call, self._ddl, self._vacuum))()

    def _insert(self, part):
        return f"insert into chaos_log values ('{self.name}', {self.seq}, {part})"

    def _run(self, kind, key, text, tags):
        def work():
            result = self.connection.query(text, 90)
            if result.status != ("E" if result.error and text.startswith("begin") else "I"):
                self._wrong_status(result, text)
            if result.status != "I" and self.connection.query("rollback").status != "I":
                self.history.violation("I7", self.name, "ROLLBACK does not end the transaction")
            for notice in result.notices:
                if notice["C"].startswith("57P0"):
                    self.history.violation("T30", self.name, f"a notice of a failure that is bridged: {notice}")
            if result.error:
                raise StatementError(result.error)
            if tags and len(result.tags) != tags:
                self.history.violation("I7", self.name, f"{len(result.tags)} tags of {tags} for {text[:60]}")
        self.attempt(kind, key, work)

    def _wrong_status(self, result, text):
        """A string that begins a transaction leaves it failed, unless the error came before or after its inside."""
        answer = self.judge(StatementError(result.error)) if result.error else None
        if not (answer and result.status == "I" and text.startswith("begin")
                and (result.tags[-1:] == ["COMMIT"] or not result.tags or answer.outcome in ("unknown", "not_executed"))):
            self.history.violation("I7", self.name, f"ReadyForQuery says {result.status} after {text[:60]}: {result.error}")

    def _two(self):
        """One implicit transaction."""
        self._run("script", (self.name, self.seq, 2), f"{self._insert(1)}; {self._insert(2)}", 2)

    def _with_commit(self):
        """T11: two transactions in one string; the first may stay when the second is lost."""
        self._run("script-commit", (self.name, self.seq, 2),
                  f"begin; {self._insert(1)}; commit; {self._insert(2)}", 4)

    def _call(self):
        self._run("call", (self.name, self.seq, STEPS), f"call chaos_steps('{self.name}', {self.seq}, {STEPS})", 1)

    def _ddl(self):
        name = f"scratch_{self.name.replace('-', '_')}_{self.seq}"
        self._run("ddl", None, f"begin; create table {name} (i int); drop table {name}; commit", 4)

    def _vacuum(self):
        self._run("ddl", None, "vacuum accounts", 1)

