"""W1: a log without a unique key. A row too many is a doubled execution, a missing one a lost acknowledgement."""

from clients import DriverClient

PARTS = 2


class LogAutocommit(DriverClient):
    """One insert per operation, outside of transactions."""
    kind = "log"

    def step(self):
        self.seq += 1
        self.attempt(self.kind, (self.name, self.seq, 1),
                     lambda: self.execute("insert into chaos_log values (%s, %s, 1)", (self.name, self.seq)))


class LogTransaction(DriverClient):
    """Two inserts in one transaction: both or none."""
    kind = "log-tx"
    autocommit = False

    def step(self):
        self.seq += 1
        answer, _ = self.attempt(self.kind, (self.name, self.seq, PARTS), self._write)
        if answer.error:
            self.roll_back()

    def _write(self):
        for part in range(1, PARTS + 1):
            self.execute("insert into chaos_log values (%s, %s, %s)", (self.name, self.seq, part))
            self.stopping.wait(self.chance.choice((0, 0, 0.005)))       # sometimes silent inside of a transaction
        self.connection.commit()
