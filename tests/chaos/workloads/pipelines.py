"""W7: pipelines of named and unnamed statements, several Syncs in flight; the grammar of what comes back."""

import time

from clients import RawClient
from history import OK, judged
from lib import messages as msg
from lib.wire_client import ServerError

INSERT = "insert into chaos_log values ($1, $2::int, $3::int)"


class Pipeliner(RawClient):
    """Each segment is one implicit transaction: all of its inserts or none."""
    kind = "pipeline"

    def on_connected(self):
        self.prepared = False

    def step(self):
        segments = []
        data = b""
        for _ in range(self.chance.randint(1, 3)):
            self.seq += 1
            size = self.chance.randint(1, 5)
            named = self.chance.random() < 0.7
            if named and not self.prepared:
                data += msg.parse("ins", INSERT) + msg.sync()
                segments.append((None, 0))
                self.prepared = True
            if not named:
                data += msg.parse("", INSERT)
            for part in range(1, size + 1):
                data += msg.bind("", "ins" if named else "", (self.name, self.seq, part)) + msg.execute("")
            data += msg.sync()
            segments.append(((self.name, self.seq, size), size))
        self._converse(data, segments)

    def _converse(self, data, segments):
        """Sends everything, then reads one ReadyForQuery per Sync; each segment is one event."""
        done, lost = [], None                            # (answer, when it was here)
        began = time.monotonic()
        self.busy_since, self.busy_with = began, f"pipeline {self.seq}"
        try:
            self.connection.send(data)
            for key, size in segments:
                done.append((self._segment(key, size), time.monotonic()))
        except Exception as problem:                     # noqa: judge() raises what is not the connection's end
            lost = self.judge(problem)
        self.busy_since = None
        for index, (key, _) in enumerate(segments):
            answer, ended = done[index] if index < len(done) else (lost, None)
            self.history.add(self.name, self.kind if key else "prepare", key, began, answer, ended)
            if key is None and answer.error:
                self.prepared = False
        if lost:
            self.drop()

    def _segment(self, key, size):
        """Reads one segment's answer and holds it against the grammar."""
        error, complete, bound, other = None, 0, 0, 0
        while True:
            frame = self.connection.read_frame()
            if error and frame.type in "CDT123ns":
                self.history.violation("I7", self.name, f"{frame.type!r} after an error and before ReadyForQuery")
            if frame.type == "E":
                if error:
                    self.history.violation("I7", self.name, "two errors in one segment")
                fields = msg.error_fields(frame.body)
                if fields["S"] == "FATAL":
                    self.connection.read_to_end()
                    raise ServerError(fields)
                error = fields
            elif frame.type == "C":
                complete += 1
            elif frame.type == "2":
                bound += 1
            elif frame.type == "Z":
                if frame.body != b"I":
                    self.history.violation("I7", self.name, f"ReadyForQuery says {frame.body!r} outside of transactions")
                break
            elif frame.type in "dGHW":
                self.history.violation("I7", self.name, f"an unexpected {frame.type!r}")
            elif frame.type == "N" and msg.error_fields(frame.body)["C"].startswith("57P0"):
                self.history.violation("T30", self.name, f"a notice of a failure that is bridged: {frame.body!r}")
        if error:
            return judged(error["C"], error["M"], error.get("D"), False)
        if (complete, bound) != (size, size):
            self.history.violation("I7", self.name, f"{bound} binds and {complete} completions of {size}, and no error")
        return OK

