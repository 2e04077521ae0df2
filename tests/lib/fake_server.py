"""A scripted stand-in for PostgreSQL that may be as wrong as a test wants: the server is hostile input, too (P9).

    server = FakeServer(lambda peer: peer.login_ok() or peer.send(b"garbage"))
The script runs once per connection, in a thread; its end closes the connection.
"""

import socket
import struct
import threading

from . import messages as msg


def authentication(kind, data=b""):
    return msg.message("R", struct.pack("!i", kind) + data)


def parameter(name, value):
    return msg.message("S", name.encode() + b"\0" + value.encode() + b"\0")


def error(sqlstate, text, severity="FATAL"):
    fields = f"S{severity}\0V{severity}\0C{sqlstate}\0M{text}\0\0"
    return msg.message("E", fields.encode())


READY = msg.message("Z", b"I")
WELCOME = (authentication(0) + parameter("server_version", "15.0") + parameter("client_encoding", "UTF8")
           + parameter("server_encoding", "UTF8") + parameter("DateStyle", "ISO, MDY")
           + parameter("TimeZone", "UTC") + parameter("integer_datetimes", "on")
           + parameter("standard_conforming_strings", "on") + msg.message("K", struct.pack("!ii", 4711, 815)) + READY)


class Peer:
    """One connection, from the server's side. Reading raises EOFError at the end of the stream."""

    def __init__(self, connection):
        self._connection = connection

    def send(self, data):
        self._connection.sendall(data)

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            chunk = self._connection.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def read_startup(self):
        """The startup packet, with N to TLS and GSS before it. A cancel request ends the script."""
        while True:
            length, code = struct.unpack("!ii", self.read_exactly(8))
            body = self.read_exactly(length - 8)
            if code == msg.CANCEL_REQUEST:
                raise EOFError
            if code not in (msg.SSL_REQUEST, msg.GSSENC_REQUEST):
                return body
            self.send(b"N")

    def read_message(self):
        """(letter, body)"""
        head = self.read_exactly(5)
        return chr(head[0]), self.read_exactly(struct.unpack("!i", head[1:])[0] - 4)

    def login_ok(self):
        self.read_startup()
        self.send(WELCOME)


class FakeServer:
    def __init__(self, script):
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(30)
            try:
                self._script(Peer(connection))
            except (EOFError, OSError):
                pass
