"""W6: COPY in both directions; all rows or none, and a dump that is complete. Small ones beside everything else, and large ones
by themselves (the cases w6.*)."""

import hashlib
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
            cursor.copy_expert("copy chaos_log (client, seq, part) from stdin", data, 8192)


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


class Bulk(DriverClient):
    """COPY of `megabytes` at a time: rows of about a kilobyte."""
    megabytes = 4
    think = (0.05, 0.1)
    pad = 1000

    @property
    def rows(self):
        return self.megabytes * 1000


class BulkIn(Bulk):
    kind = "bulk-in"

    def step(self):
        self.seq += 1
        lines = _Lines(f"{self.name}\t{self.seq}\t", "\t" + "x" * self.pad + "\n", self.rows)
        self.attempt(self.kind, (self.name, self.seq, self.rows), lambda: self._copy(lines))

    def _copy(self, lines):
        with self.connection.cursor() as cursor:
            cursor.copy_expert("copy chaos_bulk from stdin", lines, 65536)


class BulkOut(Bulk):
    """Computed by the server, so that nothing else has to be read."""
    kind = "bulk-out"

    def step(self):
        digest = _Digest()
        answer, _ = self.attempt(self.kind, None, lambda: self._copy(digest))
        if not answer.error and digest.hexdigest() != self._expected():
            self.history.violation("I6", self.name, f"COPY gave {digest.bytes} bytes that are not the result")

    def _copy(self, digest):
        with self.connection.cursor() as cursor:
            cursor.copy_expert(f"copy (select i, repeat('y', {self.pad}) from generate_series(1, {self.rows}) i) to stdout", digest)

    def _expected(self):
        if self.rows not in _whole:
            digest = _Digest()
            for i in range(1, self.rows + 1):
                digest.write(f"{i}\t{'y' * self.pad}\n".encode())
            _whole[self.rows] = digest.hexdigest()
        return _whole[self.rows]


_whole = {}


class _Lines:
    """A file of numbered lines that is made while it is read."""

    def __init__(self, before, behind, count):
        self._parts = (f"{before}{number}{behind}" for number in range(1, count + 1))
        self._rest = ""

    def read(self, size=65536):
        while len(self._rest) < size:
            part = next(self._parts, None)
            if part is None:
                break
            self._rest += part
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class _Digest:
    """A file that remembers no more than what it was."""

    def __init__(self):
        self._hash, self.bytes = hashlib.md5(), 0

    def write(self, data):
        data = data.encode() if isinstance(data, str) else data
        self._hash.update(data)
        self.bytes += len(data)

    def hexdigest(self):
        return self._hash.hexdigest()
