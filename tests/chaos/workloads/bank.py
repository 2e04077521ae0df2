"""W2: transfers between accounts at each isolation level. The sum is constant in every snapshot that anybody reads."""

from clients import DriverClient


class BankTeller(DriverClient):
    """Moves money and logs the transfer in the same transaction."""
    kind = "transfer"
    autocommit = False

    def on_connected(self):
        self.level = self.chance.choice((1, 2, 3))       # psycopg2: read committed, repeatable read, serializable
        self.connection.set_session(isolation_level=self.level)

    def step(self):
        self.seq += 1
        answer, _ = self.attempt(self.kind, (self.name, self.seq, 1), self._transfer)
        if answer.error:
            self.roll_back()

    def _transfer(self):
        giver, taker = self.chance.sample(range(1, 21), 2)
        amount = self.chance.randint(1, 50)
        balance = self.execute("select balance from accounts where id = %s for update", (giver,))[0][0]
        self.execute("update accounts set balance = %s where id = %s", (balance - amount, giver))
        self.execute("update accounts set balance = balance + %s where id = %s", (amount, taker))
        self.execute("insert into chaos_log values (%s, %s, 1)", (self.name, self.seq))
        self.connection.commit()


class BankReader(DriverClient):
    """Reads the sum outside of transactions."""
    kind = "sum"

    def step(self):
        answer, rows = self.attempt(self.kind, None, lambda: self.execute("select sum(balance), count(*) from accounts"))
        if not answer.error and (int(rows[0][0]), rows[0][1]) != (20_000, 20):
            self.history.violation("I4", self.name, f"the accounts hold {rows[0][0]} in {rows[0][1]} rows")
