"""A raw client: sends any bytes, reads whole frames, never blocks beyond its deadline.

Reads while it writes, so that a large message and a large answer cannot lock each other out. Understands login
(trust, clear, md5, SCRAM) and TLS; everything after that is up to the caller.
"""

import select
import socket
import ssl
import struct
from collections import deque

from . import messages as msg
from .deadline import Deadline, Timeout
from .messages import Frame
from .scram import ScramClient, md5_response

DEFAULT_SECONDS = 15.0
SELECT_MAX = 1024                                                            # FD_SETSIZE


class ServerError(Exception):
    """An ErrorResponse, with its fields by letter."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('S')} {fields.get('C')}: {fields.get('M')}")
        self.fields = fields
        self.sqlstate = fields.get("C")


class Closed(Exception):
    """The peer closed the connection; `reset` tells RST from FIN."""

    def __init__(self, reset=False):
        super().__init__("connection reset" if reset else "connection closed")
        self.reset = reset


class Result:
    """What one simple query answered."""

    def __init__(self):
        self.rows, self.tags, self.notices, self.error, self.status = [], [], [], None, None

    @property
    def sqlstate(self):
        return self.error.get("C") if self.error else None

    def value(self):
        """The only value of the only row, as text."""
        if self.error:
            raise ServerError(self.error)
        return self.rows[0][0]


def _select(reads, writes, seconds):
    try:
        if any(each.fileno() >= SELECT_MAX for each in reads + writes):
            return _poll(reads, writes, seconds)
        return select.select(reads, writes, [], seconds)
    except ValueError:                                                   # another thread has closed it
        raise Closed("the socket was closed here") from None


def _poll(reads, writes, seconds):
    """The same for descriptors that select() cannot take: one of ten thousand clients."""
    poller = select.poll()
    for each in {*reads, *writes}:
        poller.register(each, (select.POLLIN if each in reads else 0) | (select.POLLOUT if each in writes else 0))
    found = dict(poller.poll(seconds * 1000))
    broken = select.POLLERR | select.POLLHUP
    return ([each for each in reads if found.get(each.fileno(), 0) & (select.POLLIN | broken)],
            [each for each in writes if found.get(each.fileno(), 0) & (select.POLLOUT | broken)], [])


class WireClient:
    """One connection. `address` is (host, port) or the path of a Unix socket."""

    def __init__(self, address, seconds=DEFAULT_SECONDS):
        self.seconds = seconds
        self.pid, self.key = 0, b""
        self.parameters = {}
        self.login_frames = []
        self._buffer = bytearray()
        self._frames = deque()
        self._ended = None
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abandon()

    # ---- bytes ---------------------------------------------------------------------------------------------------

    def send(self, data, seconds=None):
        """Writes all of `data`, keeping what arrives meanwhile. Raises Closed if the peer is gone."""
        deadline = Deadline(seconds or self.seconds)
        view = memoryview(data)
        while view:
            readable, writable, _ = _select([self._socket], [self._socket], deadline.left())
            if not readable and not writable:
                raise Timeout("the peer does not accept bytes")
            if readable:
                self._receive()
            if writable or readable:
                view = view[self._write_some(view):]
            if self._ended:
                raise self._ended

    def _write_some(self, view):
        try:
            return self._socket.send(view[:1 << 18])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as problem:
            self._receive()
            self._ended = self._ended or Closed(isinstance(problem, ConnectionResetError))
            return 0

    def _receive(self):
        """Takes what is there now; notes the end of the stream instead of raising."""
        while not self._ended:
            try:
                chunk = self._socket.recv(1 << 18)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:                                     # RST, or TLS cut off
                self._ended = Closed(reset=True)
                return
            if not chunk:
                self._ended = Closed()
                return
            self._buffer += chunk
            if not isinstance(self._socket, ssl.SSLSocket) and len(chunk) < 1 << 18:
                return

    def _split(self):
        at = 0
        while len(self._buffer) - at >= 5:
            length = struct.unpack_from("!i", self._buffer, at + 1)[0]
            if length < 4:
                raise AssertionError(f"the server sent a frame of length {length}")
            if len(self._buffer) - at < length + 1:
                break
            self._frames.append(Frame(chr(self._buffer[at]), bytes(self._buffer[at + 5:at + 1 + length])))
            at += length + 1
        del self._buffer[:at]

    def read_byte(self, seconds=None):
        """One raw byte, for the answers to SSLRequest and GSSENCRequest."""
        self._wait(lambda: self._buffer, seconds)
        byte = bytes(self._buffer[:1])
        del self._buffer[:1]
        return byte

    def _wait(self, ready, seconds=None):
        deadline = Deadline(seconds or self.seconds)
        while not ready():
            if self._ended:
                raise self._ended
            if not _select([self._socket], [], deadline.left())[0]:
                raise Timeout(f"nothing more arrived; unfinished bytes: {bytes(self._buffer[:60])!r}")
            self._receive()

    def read_frame(self, seconds=None):
        """The next frame. Raises Closed at the end of the stream, Timeout after the deadline."""
        def ready():
            if not self._frames:
                self._split()
            return self._frames
        self._wait(ready, seconds)
        return self._frames.popleft()

    def read_until(self, types, count=1, seconds=None):
        """Frames up to and including the `count`-th of one of `types`."""
        frames = []
        while count:
            frames.append(self.read_frame(seconds))
            count -= frames[-1].type in types
        return frames

    def read_to_end(self, seconds=None):
        """All frames until the peer closes; the Closed is returned as second value."""
        frames = []
        while True:
            try:
                frames.append(self.read_frame(seconds))
            except Closed as ended:
                return frames, ended

    def is_silent(self):
        """True if nothing has arrived and the peer has not closed (looks once, does not wait)."""
        if _select([self._socket], [], 0)[0]:
            self._receive()
        self._split()
        return not self._frames and not self._buffer and not self._ended

    def shutdown_write(self):
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST, as a killed client does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def abandon(self):
        """Closes the socket without Terminate."""
        self._socket.close()

    def close(self):
        """Terminate, then wait for the peer's close, so that the other side has noticed."""
        try:
            self.send(msg.terminate())
            self.read_to_end()
        except (Closed, Timeout, OSError):
            pass
        self._socket.close()

    # ---- login ---------------------------------------------------------------------------------------------------

    def start_tls(self, ca_file=None, server_name="localhost"):
        """SSLRequest and handshake. With a CA the certificate and its name are verified."""
        self.send(msg.ssl_request())
        answer = self.read_byte()
        if answer != b"S":
            raise AssertionError(f"TLS was refused with {answer!r}")
        self.wrap_tls(ca_file, server_name)

    def wrap_tls(self, ca_file=None, server_name="localhost"):
        context = ssl.create_default_context(cafile=ca_file)
        if not ca_file:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._socket.settimeout(self.seconds)
        self._socket = context.wrap_socket(self._socket, server_hostname=server_name)
        self._socket.setblocking(False)

    def tls_version(self):
        return self._socket.version() if isinstance(self._socket, ssl.SSLSocket) else None

    def login(self, user, database, password=None, version=msg.PROTOCOL_3, **parameters):
        """Startup until ReadyForQuery; raises ServerError if refused. The frames stay in login_frames."""
        self.send(msg.startup({"user": user, "database": database, **parameters}, version))
        return self.finish_login(user, password)

    def finish_login(self, user, password):
        exchange = None
        while True:
            frame = self.read_frame()
            self.login_frames.append(frame)
            if frame.type == "R":
                exchange = self._authenticate(frame, user, password, exchange)
            elif frame.type == "S":
                cursor = msg.Body(frame.body)
                name, value = cursor.cstring(), cursor.cstring()
                self.parameters[name] = value
            elif frame.type == "K":
                self.pid, self.key = struct.unpack("!i", frame.body[:4])[0], frame.body[4:]
            elif frame.type == "E":
                raise ServerError(msg.error_fields(frame.body))
            elif frame.type == "Z":
                return self

    def _authenticate(self, frame, user, password, exchange):
        kind, data = struct.unpack("!i", frame.body[:4])[0], frame.body[4:]
        if kind in (3, 5, 10) and password is None:
            raise AssertionError("a password is asked for and the test has none")
        if kind == 3:
            self.send(msg.password(password))
        elif kind == 5:
            self.send(msg.password(md5_response(user, password, data)))
        elif kind == 10:
            exchange = ScramClient(password, "n,,")
            self.send(msg.sasl_initial("SCRAM-SHA-256", exchange.first()))
        elif kind == 11:
            self.send(msg.sasl_response(exchange.final(data)))
        elif kind == 12:
            exchange.verify(data)
        elif kind != 0:
            raise AssertionError(f"unknown authentication request {kind}")
        return exchange

    # ---- conversations -------------------------------------------------------------------------------------------

    def query(self, sql, seconds=None):
        """A simple query up to ReadyForQuery; errors are in the result. A FATAL before the close raises."""
        try:
            self.send(msg.query(sql), seconds)
        except Closed:
            pass                                                # what it said before may have arrived and be unread
        return self.read_result(seconds)

    def read_result(self, seconds=None):
        result = Result()
        while True:
            try:
                frame = self.read_frame(seconds)
            except Closed:
                if result.error:
                    raise ServerError(result.error) from None
                raise
            if frame.type == "D":
                result.rows.append([None if v is None else v.decode() for v in msg.data_row(frame.body)])
            elif frame.type == "C":
                result.tags.append(msg.Body(frame.body).cstring())
            elif frame.type == "N":
                result.notices.append(msg.error_fields(frame.body))
            elif frame.type == "E":
                result.error = msg.error_fields(frame.body)
            elif frame.type == "Z":
                result.status = frame.body.decode()
                return result

    def value(self, sql):
        return self.query(sql).value()


def send_cancel(address, pid, key, tls=False):
    """A CancelRequest on its own connection; returns when the peer has closed it."""
    with WireClient(address) as client:
        if tls:
            client.start_tls()
        client.send(msg.cancel_request(pid, key))
        try:
            client.read_to_end()
        except AssertionError:
            raise
