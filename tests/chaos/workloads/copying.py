"""W6: COPY in both directions; all rows or none, and a dump that is complete."""

import io

from clients import DriverClient
from .reading import digest_of, expected

ROWS_IN, ROWS_OUT = 3_000, 3_000


class CopyIn(DriverClient):
    kind = "copy-in"
    think = (0.03, 0.08)

    def step(self):
        self.seq += 1
        data = io.StringIO("".join(f"{self.name}\t{self.seq}\t{part}\n" for part in range(1, ROWS_IN + 1)))
        self.attempt(self.kind, (self.name, self.seq, ROWS_IN), lambda: self._copy(data))

    def _copy(self, data):
        with self.connection.cursor() as cursor:
            cursor.copy_expert("copy chaos_log from stdin", data, 8192)


class CopyOut(DriverClient):
    kind = "copy-out"
    think = (0.03, 0.08)

    def step(self):
        answer, data = self.attempt(self.kind, None, self._copy)
        if answer.error:
            return
        rows = [line.split("\t") for line in data.getvalue().splitlines()]
        if len(rows) != ROWS_OUT or digest_of(rows) != expected(ROWS_OUT):
            self.history.violation("I6", self.name, f"COPY gave {len(rows)} rows that are not the result")

    def _copy(self):
        data = io.StringIO()
        with self.connection.cursor() as cursor:
            cursor.copy_expert(f"copy (select i, pad from facts where i <= {ROWS_OUT} order by i) to stdout", data)
        return data
