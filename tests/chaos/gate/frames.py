"""Where PostgreSQL's messages begin and end in a stream that is passed on, without keeping any of it.

Two Tracks belong to one connection: what the client sends begins untyped and may turn into TLS, which nobody can read.
"""

import struct

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102


class Track:
    """One direction of one connection. `feed` yields (letter, offset of the frame's first byte in this chunk, size)."""

    def __init__(self, from_client):
        self.opaque = False
        self.answer = None             # the other direction's Track: its next byte answers an SSLRequest
        self._from_client = from_client
        self._typed = not from_client
        self._byte_expected = False
        self._asked = 0
        self._left = 0
        self._head = b""

    def feed(self, chunk):
        """Offsets may be negative: the frame's head began in an earlier chunk."""
        at, size = 0, len(chunk)
        while at < size and not self.opaque:
            if self._byte_expected:
                at += 1
                self._byte_expected = False
                if chunk[at - 1] in b"SG":
                    self.opaque = self.answer.opaque = True
                continue
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                continue
            wanted = 5 if self._typed else 8
            piece = chunk[at:at + wanted - len(self._head)]
            began = at - len(self._head)
            self._head += piece
            at += len(piece)
            if len(self._head) < wanted:
                return
            head, self._head = self._head, b""
            if self._typed:
                length = struct.unpack_from("!I", head, 1)[0] + 1
                letter = chr(head[0])
            else:
                length, code = struct.unpack("!II", head)
                letter = self._untyped(code)
            self._left = max(0, length - wanted)
            yield letter, began, length

    def _untyped(self, code):
        if code in (SSL_REQUEST, GSS_REQUEST):
            self.answer._byte_expected = True
            return "ssl"
        if code == CANCEL_REQUEST:
            self.opaque = True
            return "cancel"
        self._typed = True
        return "startup"
