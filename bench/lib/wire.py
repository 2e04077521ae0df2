"""The few messages of the PostgreSQL protocol that an idle client needs (trust sign-in only)."""

from __future__ import annotations

import socket
import ssl
import struct

PROTOCOL_3_0 = 196608
SSL_REQUEST = 80877103
TIMEOUT_S = 20


class Client:
    """One blocking connection. Raises OSError or RuntimeError when anything is not as expected."""

    def __init__(self, port: int, user: str, database: str, tls: bool = False) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.received = b""
        try:
            if tls:
                self._start_tls()
            pairs = ["user", user, "database", database, "application_name", "bench", ""]
            body = struct.pack("!I", PROTOCOL_3_0) + "\0".join(pairs).encode() + b"\0"
            self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
            self._read_until_ready()
        except BaseException:
            self.socket.close()
            raise

    def query(self, text: str) -> None:
        """Runs a simple query to its ReadyForQuery; an ErrorResponse raises."""
        body = text.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
        self._read_until_ready()

    def close(self) -> None:
        try:
            self.socket.sendall(b"X\0\0\0\4")
        finally:
            self.socket.close()

    def _start_tls(self) -> None:
        self.socket.sendall(struct.pack("!II", 8, SSL_REQUEST))
        if self.socket.recv(1) != b"S":
            raise RuntimeError("the server does not offer TLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # a certificate made for this run; nothing secret crosses
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def _read_until_ready(self) -> None:
        while True:
            kind, body = self._read_message()
            if kind == b"E":
                raise RuntimeError(f"error from the server: {body!r}")
            if kind == b"R" and body[:4] != b"\0\0\0\0":
                raise RuntimeError("the server wants a password where trust was set up")
            if kind == b"Z":
                return

    def _read_message(self) -> tuple[bytes, bytes]:
        header = self._take(5)
        return header[:1], self._take(struct.unpack("!I", header[1:])[0] - 4)

    def _take(self, size: int) -> bytes:
        while len(self.received) < size:
            piece = self.socket.recv(65536)
            if not piece:
                raise RuntimeError("the server closed the connection")
            self.received += piece
        taken, self.received = self.received[:size], self.received[size:]
        return taken


def answers(port: int, user: str, database: str) -> bool:
    """True once a client can sign in and run a query: the readiness check of every server."""
    try:
        client = Client(port, user, database)
        client.query("SELECT 1")
        client.close()
        return True
    except (OSError, RuntimeError):
        return False


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
        return True
    except OSError:
        return False
