"""W5: LISTEN. What was notified after a sign of life arrives, or the listener is told that some may be missing (T18)."""

import time

from clients import RawClient, StatementError
from lib import messages as msg
from lib.deadline import Timeout

PATIENCE = 60.0


class Listener(RawClient):
    """Listens on one connection, notifies on another; each acknowledged notification is waited for."""
    kind = "listen"
    think = (0.05, 0.15)

    def on_connected(self):
        self.voice = None
        self.listening = False
        self.channel = f"chaos_{self.name.replace('-', '_')}_{self.connections}"

    def step(self):
        if not self.listening:
            answer, _ = self.attempt(self.kind, None, lambda: self._ask(self.connection, f"listen {self.channel}"))
            self.listening = not answer.error
            return
        self.seq += 1
        self.attempt(self.kind, None, self._hear_old)
        if self.connection is None:
            return
        answer, _ = self.attempt("notify", None, self._notify)
        if not answer.error:
            self.attempt(self.kind, None, self._await)

    def _hear_old(self):
        """A gap that was told of before says nothing about what is notified now."""
        while not self.connection.is_silent():
            self.connection.read_frame(PATIENCE)

    def _notify(self):
        if self.voice is None:
            self.voice = self.target.connect_wire()
        try:
            self._ask(self.voice, f"notify {self.channel}, '{self.seq}'")
        except StatementError:
            raise
        except Exception:
            self.voice.abandon()
            self.voice = None
            raise

    def _await(self):
        """Notifications of earlier steps, whose answers were lost, may come first."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                frame = self.connection.read_until("AN", seconds=max(0.1, until - time.monotonic()))[-1]
            except Timeout:
                self.history.violation("T18", self.name, f"notification {self.seq} is missing, and nobody said so")
                raise
            if frame.type == "A" and frame.body.endswith(f"\0{self.seq}\0".encode()):
                return
            if frame.type == "N" and msg.error_fields(frame.body)["C"] == "01000":
                return                                   # a gap, as it was told

    def _ask(self, connection, text):
        result = connection.query(text, 90)
        if result.error:
            raise StatementError(result.error)

    def drop(self):
        if getattr(self, "voice", None) is not None:
            self.voice.abandon()
            self.voice = None
        super().drop()

    def leave(self):
        if self.voice is not None:
            self.voice.close()
        super().leave()
