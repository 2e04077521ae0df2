"""W3: transactions that append to lists and read them, at each isolation level (I5). The lists of a level are its own: what a
level forbids is forbidden among transactions of that level. cycles.py judges."""

from clients import DriverClient
from cycles import APPEND, READ, Transaction

LEVELS = {1: "read committed", 2: "repeatable read", 3: "serializable"}       # psycopg2's numbers
KEYS_PER_LEVEL = 3


class ListAppender(DriverClient):
    """Two to four steps in one transaction."""
    kind = "lists"
    autocommit = False
    think = (0.002, 0.010)

    def on_connected(self):
        self.level = 1 + int(self.name.rsplit("-", 1)[1]) % len(LEVELS)
        self.connection.set_session(isolation_level=self.level)

    def step(self):
        self.seq += 1
        steps = []
        answer, _ = self.attempt(self.kind, None, lambda: self._work(steps))
        self.history.transactions.append(
            Transaction(f"{self.name}/{self.seq}", LEVELS[self.level], tuple(steps), answer.outcome))
        if answer.error:
            self.roll_back()

    def _work(self, steps):
        for number in range(self.chance.randint(2, 4)):
            key = self.level * 10 + self.chance.randrange(KEYS_PER_LEVEL)
            if self.chance.random() < 0.5:
                value = f"{self.name}/{self.seq}/{number}"
                steps.append((APPEND, key, value))
                self.execute("update lists set v = v || %s::text where k = %s", (value, key))
            else:
                steps.append((READ, key, tuple(self.execute("select v from lists where k = %s", (key,))[0][0])))
        self.connection.commit()
