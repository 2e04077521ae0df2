"""PostgreSQL protocol 3.0 messages: bytes for the client's, readable text for the server's.

Builders check nothing: suites also send what no driver would. Texts lose nothing that a client can see, except
that values longer than a line are shown by length and digest.
"""

import hashlib
import struct
from typing import NamedTuple

PROTOCOL_3 = 3 << 16
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
SHOWN_BYTES = 400


class Frame(NamedTuple):
    """One message of the server: its letter and its body without the length."""
    type: str
    body: bytes


# ---- client messages ---------------------------------------------------------------------------------------------

def _text(value):
    return value if isinstance(value, bytes) else value.encode()


def _cstring(value):
    return _text(value) + b"\0"


def message(letter, body=b""):
    return _text(letter) + struct.pack("!i", len(body) + 4) + body


def untyped(code, body=b""):
    return struct.pack("!iI", len(body) + 8, code & 0xffffffff) + body


def startup(parameters, version=PROTOCOL_3):
    pairs = b"".join(_cstring(key) + _cstring(value) for key, value in parameters.items())
    return untyped(version, pairs + b"\0")


def ssl_request():
    return untyped(SSL_REQUEST)


def gssenc_request():
    return untyped(GSSENC_REQUEST)


def cancel_request(pid, key):
    return untyped(CANCEL_REQUEST, struct.pack("!i", pid) + key)


def password(value):
    return message("p", _cstring(value))


def sasl_initial(mechanism, data):
    return message("p", _cstring(mechanism) + struct.pack("!i", len(data)) + data)


def sasl_response(data):
    return message("p", data)


def query(sql):
    return message("Q", _cstring(sql))


def parse(name, sql, types=()):
    return message("P", _cstring(name) + _cstring(sql) + struct.pack(f"!h{len(types)}I", len(types), *types))


def _formats(codes):
    return struct.pack(f"!h{len(codes)}h", len(codes), *codes)


def _values(values):
    out = struct.pack("!h", len(values))
    for value in values:
        if value is None:
            out += struct.pack("!i", -1)
        else:
            raw = value if isinstance(value, bytes) else str(value).encode()
            out += struct.pack("!i", len(raw)) + raw
    return out


def bind(portal, statement, values=(), formats=(), result_formats=()):
    return message("B", _cstring(portal) + _cstring(statement) + _formats(formats) + _values(values)
                   + _formats(result_formats))


def describe(kind, name):
    return message("D", _text(kind) + _cstring(name))


def execute(portal, limit=0):
    return message("E", _cstring(portal) + struct.pack("!i", limit))


def close(kind, name):
    return message("C", _text(kind) + _cstring(name))


def flush():
    return message("H")


def sync():
    return message("S")


def terminate():
    return message("X")


def copy_data(data):
    return message("d", _text(data))


def copy_done():
    return message("c")


def copy_fail(reason):
    return message("f", _cstring(reason))


def function_call(oid, values=(), formats=(), result_format=0):
    return message("F", struct.pack("!I", oid) + _formats(formats) + _values(values)
                   + struct.pack("!h", result_format))


# ---- server messages ---------------------------------------------------------------------------------------------

class Body:
    """A cursor over one message's body."""

    def __init__(self, data):
        self._data, self._at = data, 0

    def take(self, count):
        chunk = self._data[self._at:self._at + count]
        if len(chunk) != count:
            raise ValueError("message ends early")
        self._at += count
        return chunk

    def unpack(self, layout):
        return struct.unpack("!" + layout, self.take(struct.calcsize("!" + layout)))

    def int16(self):
        return self.unpack("h")[0]

    def int32(self):
        return self.unpack("i")[0]

    def uint32(self):
        return self.unpack("I")[0]

    def cstring(self):
        end = self._data.index(b"\0", self._at)
        return self.take(end + 1 - self._at)[:-1].decode("utf-8", "backslashreplace")

    def value(self):
        length = self.int32()
        return None if length < 0 else self.take(length)

    def rest(self):
        return self.take(len(self._data) - self._at)


def error_fields(body):
    """The fields of an ErrorResponse or NoticeResponse, by letter."""
    fields = {}
    for item in body.rstrip(b"\0").split(b"\0"):
        if item:
            fields[chr(item[0])] = item[1:].decode("utf-8", "backslashreplace")
    return fields


def data_row(body):
    cursor = Body(body)
    return [cursor.value() for _ in range(cursor.int16())]


def row_description(body):
    """[(name, table oid, column, type oid, size, modifier, format)]"""
    cursor = Body(body)
    return [(cursor.cstring(),) + cursor.unpack("IhIhih") for _ in range(cursor.int16())]


def show_bytes(data):
    if data is None:
        return "null"
    if len(data) > SHOWN_BYTES:
        return f"<{len(data)} bytes sha256:{hashlib.sha256(data).hexdigest()[:16]}>"
    try:
        return repr(data.decode())
    except UnicodeDecodeError:
        return f"x'{data.hex()}'"


def _shorten(text):
    return text if len(text) <= SHOWN_BYTES else text[:60] + "…" + show_bytes(text.encode())


def _show_authentication(cursor, _):
    kind = cursor.int32()
    names = {0: "Ok", 3: "CleartextPassword", 5: "MD5Password", 10: "SASL", 11: "SASLContinue", 12: "SASLFinal"}
    shown = names.get(kind, str(kind))
    if kind == 10:
        shown += " " + ",".join(item.decode() for item in cursor.rest().split(b"\0") if item)
    return shown                                       # salts and proofs differ each time


def _show_rows(cursor, oid):
    columns = [f"{name}:{oid(kind)}/{size}/{modifier}/{fmt} table={oid(table)}.{number}"
               for name, table, number, kind, size, modifier, fmt in row_description(cursor.rest())]
    return "; ".join(columns)


def _show_parameters(cursor, oid):
    return " ".join(oid(cursor.uint32()) for _ in range(cursor.int16()))


def _show_copy(cursor, _):
    overall, count = cursor.unpack("bh")
    return f"format={overall} columns={[cursor.int16() for _ in range(count)]}"


def _show_error(cursor, _):
    fields = error_fields(cursor.rest())
    return " ".join(f"{key}={_shorten(value)!r}" for key, value in fields.items())


def _show_negotiate(cursor, _):
    newest, count = cursor.unpack("ii")
    return f"newest={newest >> 16}.{newest & 0xffff} unknown={[cursor.cstring() for _ in range(count)]}"


_SHOW = {
    "R": _show_authentication,
    "S": lambda c, _: f"{c.cstring()}={c.cstring()!r}",
    "K": lambda c, _: "key",
    "Z": lambda c, _: c.rest().decode(),
    "T": _show_rows,
    "t": _show_parameters,
    "D": lambda c, _: "[" + ", ".join(map(show_bytes, data_row(c.rest()))) + "]",
    "C": lambda c, _: repr(c.cstring()),
    "E": _show_error,
    "N": _show_error,
    "G": _show_copy,
    "H": _show_copy,
    "W": _show_copy,
    "d": lambda c, _: show_bytes(c.rest()),
    "V": lambda c, _: show_bytes(c.value()),
    "v": _show_negotiate,
}
NAMES = {
    "R": "Authentication", "S": "ParameterStatus", "K": "BackendKeyData", "Z": "ReadyForQuery",
    "T": "RowDescription", "t": "ParameterDescription", "n": "NoData", "D": "DataRow", "C": "CommandComplete",
    "E": "ErrorResponse", "N": "NoticeResponse", "G": "CopyInResponse", "H": "CopyOutResponse",
    "W": "CopyBothResponse", "d": "CopyData", "c": "CopyDone", "V": "FunctionCallResponse", "1": "ParseComplete",
    "2": "BindComplete", "3": "CloseComplete", "s": "PortalSuspended", "I": "EmptyQueryResponse",
    "A": "NotificationResponse", "v": "NegotiateProtocolVersion",
}


def show(frame, oid=str, pid=str):
    """One line for one frame. `oid` and `pid` turn numbers that differ between runs into stable names."""
    name = NAMES.get(frame.type, f"unknown message {frame.type!r}")
    cursor = Body(frame.body)
    if frame.type == "A":
        detail = f"from={pid(cursor.int32())} {cursor.cstring()!r} {cursor.cstring()!r}"
    elif frame.type in _SHOW:
        detail = _SHOW[frame.type](cursor, oid)
    else:
        detail = ""
    left = cursor.rest() if frame.type not in "RK" else b""
    if left:
        detail += " TRAILING " + show_bytes(left)
    return f"{name} {detail}".rstrip()
