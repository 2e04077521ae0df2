"""W7, what pipelines leave out: constraints that fail only at Sync (T8), and portals that are read in parts."""

from clients import RawClient, StatementError
from lib import messages as msg
from lib.wire_client import ServerError

LOG = "insert into chaos_log values ($1, $2::int, $3::int)"
ONCE = "insert into chaos_once values ($1, $2::int, $3::int)"      # its key is checked when the transaction ends


class ProtocolClient(RawClient):
    def read_segment(self, ends="Z"):
        """Frames up to one of `ends`; raises what the server refused, after its ReadyForQuery."""
        frames, error = [], None
        while not frames or frames[-1].type not in (ends if not error else "Z"):
            frames.append(self.connection.read_frame(90))
            if frames[-1].type == "E":
                error = msg.error_fields(frames[-1].body)
                if error["S"] == "FATAL":
                    self.connection.read_to_end()
                    raise ServerError(error)
        if error:
            raise StatementError(error)
        return frames


class Deferred(ProtocolClient):
    """Every second segment violates a deferred constraint: all its completions arrive, and then none of it holds."""
    kind = "deferred"

    def step(self):
        self.seq += 1
        row = (self.name, self.seq, 1)
        times = 1 + self.seq % 2
        answer, _ = self.attempt(self.kind, row, lambda: self._segment(row, times))
        if times == 2 and not answer.error:
            self.history.violation("I7", self.name, f"segment {self.seq} was acknowledged against its constraint")

    def _segment(self, row, times):
        insert = msg.parse("", ONCE) + msg.bind("", "", row) + msg.execute("")
        self.connection.send(msg.parse("", LOG) + msg.bind("", "", row) + msg.execute("") + insert * times + msg.sync())
        self.read_segment()


class Portals(ProtocolClient):
    """A result in parts of 60 rows, each with a Sync of its own, in one transaction: the parts are of one execution."""
    kind = "portal"
    rows, part = 400, 60
    think = (0.02, 0.05)

    def step(self):
        answer, seen = self.attempt(self.kind, None, self._read_all)
        if answer.error and self.connection is not None:
            self.attempt("rollback", None, lambda: self._simple("rollback"))
        elif not answer.error and seen != list(range(1, self.rows + 1)):
            self.history.violation("I6", self.name, f"{len(seen)} rows that are not the result")

    def _simple(self, text):
        result = self.connection.query(text, 90)
        if result.error:
            raise StatementError(result.error)

    def _read_all(self):
        self._simple("begin")
        seen, frames = [], []
        bind = msg.parse("", f"select i from facts where i <= {self.rows} order by i") + msg.bind("walk", "")
        while not any(frame.type == "C" for frame in frames):
            self.connection.send(bind + msg.execute("walk", self.part) + msg.sync())
            frames, bind = self.read_segment(), b""
            seen += [int(msg.data_row(frame.body)[0]) for frame in frames if frame.type == "D"]
        self._simple("commit")
        return seen
