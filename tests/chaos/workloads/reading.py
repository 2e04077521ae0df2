"""W4: ordered results whose digest is known: what arrives is all of one execution, or an error."""

import hashlib

from clients import DriverClient

SMALL_ROWS, LARGE_ROWS = 480, 12_000                     # about 52 KB and 1.3 MB on the wire
_known = {}


def digest_of(rows):
    digest = hashlib.md5()
    for number, pad in rows:
        digest.update(f"{number} {pad}\n".encode())
    return digest.hexdigest()


def expected(rows):
    if rows not in _known:
        _known[rows] = digest_of((i, hashlib.md5(str(i).encode()).hexdigest() * 3) for i in range(1, rows + 1))
    return _known[rows]


class ReadSmall(DriverClient):
    """Up to 64 KiB: retried unseen when its server is lost."""
    kind = "read"
    rows = SMALL_ROWS

    def step(self):
        answer, rows = self.attempt(self.kind, None, lambda: self.execute(
            "select i, pad from facts where i <= %s order by i", (self.rows,)))
        if not answer.error and (len(rows) != self.rows or digest_of(rows) != expected(self.rows)):
            self.history.violation("I6", self.name, f"{len(rows)} rows that are not the result")


class ReadLarge(ReadSmall):
    """Beyond what is held back: an error in the middle is allowed, a wrong result is not."""
    kind = "read-large"
    rows = LARGE_ROWS
    think = (0.05, 0.15)
