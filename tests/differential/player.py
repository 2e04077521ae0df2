"""Plays one script against one address and records what every client saw.

The record keeps frames, not text: how they are compared (which fields count) is the caller's business.
"""

from dataclasses import dataclass
from typing import Optional

from lib import messages as msg
from lib.deadline import Timeout, eventually
from lib.wire_client import Closed, ServerError, WireClient

READ_SECONDS = 10.0
FIRST_USER_OID = 16384


@dataclass
class Entry:
    """A line of the record: something sent (source text), a frame received, or an event such as `closed`."""
    client: str
    sent: Optional[str] = None
    frame: Optional[msg.Frame] = None
    event: Optional[str] = None
    own_pid: int = 0


@dataclass
class Target:
    """Where to play: an address, the database name to ask for, and how to run SQL behind its back."""
    address: tuple
    database: str
    user: str
    password: str
    admin_sql: object


class Stop(Exception):
    """The script cannot go on; the reason is already in the record."""


class _Client:
    def __init__(self, name):
        self.name, self.wire, self.pending, self.open = name, None, bytearray(), False


class Player:
    """One play of one script. `record` is complete even when the script stops early."""

    def __init__(self, target):
        self._target = target
        self._clients = {}
        self._current = self._client("A")
        self.record = []

    def play(self, script):
        try:
            for step in script.steps:
                self._note(sent=step.source)
                self._perform(step)
        except Stop:
            pass
        finally:
            self._leave()
        return self.record

    def _client(self, name):
        return self._clients.setdefault(name, _Client(name))

    def _note(self, **what):
        pid = self._current.wire.pid if self._current.wire else 0
        self.record.append(Entry(self._current.name, own_pid=pid, **what))

    def _leave(self):
        """Ends every connection as a driver would, and waits until the other side has noticed."""
        for client in self._clients.values():
            if client.wire:
                client.wire.seconds = 5
                client.wire.close()

    # ---- verbs ---------------------------------------------------------------------------------------------------

    def _perform(self, step):
        special = getattr(self, "_do_" + step.verb.replace("-", "_"), None)
        if special:
            special(step)
        elif step.verb in _MESSAGES:
            if not self._current.wire:
                self._connect({})
            self._current.pending += _MESSAGES[step.verb](step)
        else:
            raise ValueError(f"line {step.line}: unknown verb {step.verb!r}")

    def _do_client(self, step):
        self._flush()
        self._current = self._client(step.arguments[0])
        if step.options or not self._current.wire:
            self._connect(step.options)

    def _do_connect(self, step):
        self._current.wire = None
        self._connect(step.options)

    def _connect(self, options):
        options = dict(options)
        tls = options.pop("tls", "off") == "on"
        version = int(options.pop("minor", 0)) + msg.PROTOCOL_3
        user = options.pop("user", self._target.user)
        database = options.pop("database", self._target.database)
        wire = WireClient(self._target.address, READ_SECONDS)
        self._current.wire = wire
        try:
            if tls:
                wire.start_tls()
            wire.login(user, database, self._target.password, version, **{k: str(v) for k, v in options.items()})
        except (ServerError, Closed):
            pass                                                  # the frames say it
        except Timeout as problem:
            self._give_up(problem)
        finally:
            for frame in _in_fixed_order(wire.login_frames):
                self._note(frame=frame)

    def _flush(self):
        client, data = self._current, bytes(self._current.pending)
        client.pending.clear()
        if not data:
            return
        try:
            client.wire.send(data)
        except (Closed, OSError):
            pass                                                  # what it said before the close is read next
        except Timeout as problem:
            self._give_up(problem)

    def _do_send(self, _):
        self._flush()

    def _do_Z(self, step):
        self._read("Z", *step.arguments)

    def _do_read_until(self, step):
        self._read(str(step.arguments[0]), *step.arguments[1:])

    def _read(self, types, count=1):
        self._flush()
        while count:
            try:
                frame = self._current.wire.read_frame()
            except Closed:
                self._note(event="closed")
                raise Stop from None
            except Timeout as problem:
                self._give_up(problem)
            self._note(frame=frame)
            count -= frame.type in types

    def _do_Z_or_close(self, _):
        """Reads until the first ReadyForQuery or the close, and goes on after either."""
        self._flush()
        try:
            while True:
                frame = self._current.wire.read_frame()
                self._note(frame=frame)
                if frame.type == "Z":
                    return
        except Closed:
            self._note(event="closed")
            self._current.wire.abandon()
            self._current.wire = None
        except Timeout as problem:
            self._give_up(problem)

    def _do_expect_close(self, _):
        self._flush()
        try:
            frames, _ = self._current.wire.read_to_end()
        except Timeout as problem:
            self._give_up(problem)
        for frame in frames:
            self._note(frame=frame)
        self._note(event="closed")
        self._current.wire.abandon()
        self._current.wire = None

    def _do_X(self, step):
        self._current.pending += msg.terminate()
        self._do_expect_close(step)

    def _do_vanish(self, _):
        """Ends the connection with RST, without Terminate."""
        self._flush()
        self._current.wire.reset()
        self._current.wire = None

    def _do_admin(self, step):
        """SQL as superuser, straight to PostgreSQL."""
        self._flush()
        self._target.admin_sql(step.arguments[0])

    def _do_until(self, step):
        """Polls SQL as superuser until its first value is true."""
        self._flush()
        try:
            eventually(lambda: self._target.admin_sql(step.arguments[0])[0][0] == "t", step.source)
        except Timeout as problem:
            self._give_up(problem)

    def _give_up(self, problem):
        self._note(event=f"TIMEOUT: {problem}")
        raise Stop from None


def _in_fixed_order(frames):
    """Login frames with the ParameterStatus messages sorted: their order has no meaning."""
    first = next((i for i, frame in enumerate(frames) if frame.type == "S"), len(frames))
    status = sorted((frame for frame in frames if frame.type == "S"), key=lambda frame: frame.body)
    others = [frame for frame in frames[first:] if frame.type != "S"]
    return frames[:first] + status + others


def _raw(step):
    body = step.arguments[1] if len(step.arguments) > 1 else b""
    return msg.message(step.arguments[0], body if isinstance(body, bytes) else body.encode())


_MESSAGES = {
    "Q": lambda s: msg.query(s.arguments[0]),
    "P": lambda s: msg.parse(s.arguments[0], s.arguments[1], s.arguments[2] if len(s.arguments) > 2 else ()),
    "B": lambda s: msg.bind(s.arguments[0], s.arguments[1], s.arguments[2] if len(s.arguments) > 2 else (),
                            s.options.get("formats", ()), s.options.get("results", ())),
    "D": lambda s: msg.describe(s.arguments[0], s.arguments[1]),
    "E": lambda s: msg.execute(s.arguments[0], s.arguments[1] if len(s.arguments) > 1 else 0),
    "C": lambda s: msg.close(s.arguments[0], s.arguments[1]),
    "H": lambda s: msg.flush(),
    "S": lambda s: msg.sync(),
    "d": lambda s: msg.copy_data(s.arguments[0]),
    "c": lambda s: msg.copy_done(),
    "f": lambda s: msg.copy_fail(s.arguments[0]),
    "F": lambda s: msg.function_call(s.arguments[0], s.arguments[1], s.options.get("formats", ()),
                                     int(s.options.get("result", 0))),
    "raw": _raw,
    "bytes": lambda s: s.arguments[0],
}


# ---- comparison ---------------------------------------------------------------------------------------------------

def render(record, error_fields=None):
    """The record as text lines. `error_fields(sqlstate)` names the fields of an error that count, None for all."""
    oids = {}

    def oid(number):
        return str(number) if number < FIRST_USER_OID else oids.setdefault(number, f"oid{len(oids) + 1}")

    lines = []
    for entry in record:
        if entry.sent is not None:
            lines.append(f"{entry.client} > {_one_line(entry.sent)}")
        elif entry.event is not None:
            lines.append(f"{entry.client} < ({entry.event})")
        else:
            shown = msg.show(_reduced(entry.frame, error_fields), oid,
                             lambda pid, own=entry.own_pid: "self" if pid == own else "other")
            lines.append(f"{entry.client} < {shown}")
    return lines


def _one_line(text):
    return " ".join(text.split())[:300]


def _reduced(frame, error_fields):
    if frame.type not in "EN" or not error_fields:
        return frame
    fields = msg.error_fields(frame.body)
    wanted = error_fields(fields.get("C"))
    if wanted is None:
        return frame
    kept = b"".join(key.encode() + value.encode() + b"\0" for key, value in fields.items() if key in wanted)
    return msg.Frame(frame.type, kept + b"\0")
