"""The gate does what it is told, shown against plain sockets: a fault that does not happen proves nothing."""

import socket
import threading
import time

from gate import Gate
from lib import messages as msg

AT_MOST = 20                  # seconds: what a pause lasts at least is the point


class Echo:
    """A server that sends everything back."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.received = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _serve(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(peer,), daemon=True).start()

    def _echo(self, peer):
        try:
            while chunk := peer.recv(65536):
                self.received += len(chunk)
                peer.sendall(chunk)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def dial(gate):
    peer = socket.create_connection(gate.address, 5)
    peer.settimeout(AT_MOST)
    return peer


def exchange(peer, data):
    peer.sendall(data)
    return read(peer, len(data))


def read(peer, size):
    got = b""
    while len(got) < size:
        chunk = peer.recv(size - len(got))
        if not chunk:
            break
        got += chunk
    return got


def is_quiet(peer, seconds=0.3):
    peer.settimeout(seconds)
    try:
        return peer.recv(1) is None
    except TimeoutError:
        return True
    finally:
        peer.settimeout(AT_MOST)


def ends_with(peer):
    try:
        while peer.recv(65536):
            pass
        return "fin"
    except ConnectionResetError:
        return "rst"


def passes_bytes_both_ways():
    with Echo() as echo, Gate(echo.address) as gate, dial(gate) as peer:
        data = bytes(range(256)) * 4096
        sender = threading.Thread(target=peer.sendall, args=(data,))
        sender.start()
        assert read(peer, len(data)) == data
        sender.join()
        peer.shutdown(socket.SHUT_WR)
        assert ends_with(peer) == "fin"


def ends_connections_with_rst_or_fin():
    with Echo() as echo, Gate(echo.address) as gate:
        for how in ("rst", "fin"):
            with dial(gate) as peer:
                assert exchange(peer, b"x") == b"x"
                assert getattr(gate, how)() == 1
                assert ends_with(peer) == how


def half_close_ends_one_direction():
    with Echo() as echo, Gate(echo.address) as gate, dial(gate) as peer:
        assert exchange(peer, b"x") == b"x"
        gate.halfclose("down")
        assert ends_with(peer) == "fin"
        peer.sendall(b"still written")


def a_black_hole_keeps_bytes_and_new_connections_waiting():
    with Echo() as echo, Gate(echo.address) as gate, dial(gate) as peer:
        assert exchange(peer, b"x") == b"x"
        gate.blackhole()
        peer.sendall(b"later")
        with dial(gate) as late:
            late.sendall(b"never")
            assert is_quiet(peer) and is_quiet(late, 0.1)
            gate.heal()
            assert read(peer, 5) == b"later"
            assert ends_with(late) == "rst"


def a_black_hole_in_one_direction_passes_the_other():
    with Echo() as echo, Gate(echo.address) as gate, dial(gate) as peer:
        assert exchange(peer, b"x") == b"x"
        gate.blackhole("down")
        peer.sendall(b"abc")
        assert is_quiet(peer)
        assert echo.received == 4
        gate.heal()
        assert read(peer, 3) == b"abc"


def refuses_and_returns_on_the_same_port():
    with Echo() as echo, Gate(echo.address) as gate:
        gate.refuse()
        try:
            dial(gate).close()
            raise AssertionError("it was not refused")
        except ConnectionRefusedError:
            pass
        gate.heal()
        with dial(gate) as peer:
            assert exchange(peer, b"x") == b"x"


def delays_rates_and_slices():
    with Echo() as echo, Gate(echo.address) as gate, dial(gate) as peer:
        gate.delay(0.2)
        assert 0.38 < _took(lambda: exchange(peer, b"x")) < AT_MOST
        gate.heal()
        gate.rate(20_000, "down")
        assert 0.3 < _took(lambda: exchange(peer, b"x" * 10_000)) < AT_MOST
        gate.heal()
        gate.slice(10, 0.02, "up")
        assert 0.15 < _took(lambda: exchange(peer, b"x" * 100)) < AT_MOST


def cuts_after_a_number_of_bytes():
    with Echo() as echo, Gate(echo.address) as gate:
        for how in ("rst", "fin"):
            with dial(gate) as peer:
                assert exchange(peer, b"x") == b"x"
                gate.cut_after("up", 4, how)
                peer.sendall(b"abcdefgh")
                if how == "fin":
                    assert read(peer, 10) in (b"abcd", b"")
                else:
                    assert ends_with(peer) == how


def cuts_and_stalls_on_a_message():
    hello = msg.startup({"user": "x"})
    for after, expected in ((False, b""), (True, msg.query("second"))):
        with Echo() as echo, Gate(echo.address) as gate, dial(gate) as peer:
            assert exchange(peer, hello) == hello
            gate.cut_on("up", "Q", 2, "stall", after=after)
            peer.sendall(msg.query("first") + msg.sync() + msg.query("second") + msg.sync())
            got = read(peer, len(msg.query("first") + msg.sync() + expected))
            assert got == msg.query("first") + msg.sync() + expected, got
            assert is_quiet(peer) and gate.stats()["fired"] == 1


def _took(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began


CASES = [passes_bytes_both_ways, ends_connections_with_rst_or_fin, half_close_ends_one_direction,
         a_black_hole_keeps_bytes_and_new_connections_waiting, a_black_hole_in_one_direction_passes_the_other,
         refuses_and_returns_on_the_same_port, delays_rates_and_slices, cuts_after_a_number_of_bytes,
         cuts_and_stalls_on_a_message]
