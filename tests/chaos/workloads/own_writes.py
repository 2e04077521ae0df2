"""W10: who has written reads it, whoever answers: the primary, a standby while there is none, the successor (T14, D28)."""

from clients import DriverClient


class OwnWrites(DriverClient):
    """One insert, then reads outside of transactions: never less than was acknowledged, never less than was read before."""
    kind = "own-read"

    def on_connected(self):
        self.seen = 0

    def step(self):
        if self.chance.random() < 0.4:
            self.seq += 1
            answer, _ = self.attempt("log", (self.name, self.seq, 1), lambda: self.execute(
                "insert into chaos_log values (%s, %s, 1)", (self.name, self.seq)))
            if answer.outcome in ("ok", "committed"):
                self.seen = self.seq
            return
        answer, rows = self.attempt(self.kind, None, lambda: self.execute(
            "select coalesce(max(seq), 0) from chaos_log where client = %s", (self.name,)))
        if answer.error:
            return
        if rows[0][0] < self.seen:
            self.history.stale.append((self.name, rows[0][0], self.seen))
        self.seen = max(self.seen, rows[0][0])
