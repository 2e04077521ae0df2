"""A byte relay that knows nothing of messages: the suites' own check that a perfect proxy passes them.

It is a process of its own, because some drivers block this one while they wait for an answer.
"""

import socket
import subprocess
import sys
import threading

from .processes import REPOSITORY, with_death_signal


class Relay:
    """Listens on a free port and connects every client to `target`."""

    def __init__(self, target):
        command = [sys.executable, "-B", "-m", "tests.lib.relay", target[0], target[1]]
        self._process = subprocess.Popen(with_death_signal(command), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())
        self.address = ("127.0.0.1", self.port)

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def pump(source, sink):
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(target):
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(target)
        for left, right in ((client, server), (server, client)):
            threading.Thread(target=pump, args=(left, right), daemon=True).start()


if __name__ == "__main__":
    serve((sys.argv[1], int(sys.argv[2])))
