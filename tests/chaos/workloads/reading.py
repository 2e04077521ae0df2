"""W4, W4b: results that are known: what arrives is all of one execution, or an error."""

import hashlib

from clients import DriverClient

SMALL_ROWS, LARGE_ROWS = 480, 12_000                     # about 52 KB and 1.3 MB on the wire
# W4b: more than a quarter of shared_buffers (rig.NODE), so that scans at the same time begin in each other's middle.
HEAP_ROWS = 24_000
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


class ReadUnordered(ReadLarge):
    """W4b, T13: the order changes from scan to scan. Each row once, whatever was read again, or an error."""
    kind = "read-heap"
    rows = HEAP_ROWS
    think = (0.1, 0.3)

    def step(self):
        answer, rows = self.attempt(self.kind, None, lambda: self.execute("select i, pad from heap"))
        if answer.error:
            return
        if len(rows) != self.rows or digest_of(sorted(rows)) != expected(self.rows):
            self.history.violation("I6", self.name, f"{len(rows)} rows, {len(set(rows))} different ones, of {self.rows}")
