"""A byte relay that knows nothing of messages: the suites' own check that a perfect proxy passes them."""

import socket
import threading


class Relay:
    """Listens on a free port and connects every client to `target`."""

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.port = self.address[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for left, right in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(left, right), daemon=True).start()

    @staticmethod
    def _pump(source, sink):
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

    def stop(self):
        self._listener.close()
