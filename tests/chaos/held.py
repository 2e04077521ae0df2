"""Thousands of clients whose writes wait through an outage, and how many connections their release costs the server.

The herd is a process of its own with epoll: select(), which everything else here uses, ends at a thousand descriptors.
"""

import json
import re
import select
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lib import messages as msg                                        # noqa: E402
from lib.processes import with_death_signal                            # noqa: E402

DATABASE = "chaos"

READY = b"Z\x00\x00\x00\x05I"
LINE = re.compile(r"^(\S+ \S+) \S+ .*LOG:  connection received: host=127")


class Herd:
    """`count` signed-in clients."""

    def __init__(self, address, count):
        self.epoll = select.epoll()
        self.sockets = {}
        hello = msg.startup({"user": "app", "database": DATABASE})
        for done in range(0, count, 100):                # below the cap on those who have not signed in
            fresh = []
            for _ in range(min(100, count - done)):
                peer = socket.create_connection(address, 30)
                peer.sendall(hello)
                peer.setblocking(False)
                self.sockets[peer.fileno()] = peer
                self.epoll.register(peer, select.EPOLLIN)
                fresh.append(peer.fileno())
            self._collect(fresh, 30)

    def _collect(self, fds, seconds):
        """Reads until each has seen ReadyForQuery; returns (answered with an error, lost)."""
        waiting = {fd: b"" for fd in fds}
        errors, lost = [], 0
        until = time.monotonic() + seconds
        while waiting and time.monotonic() < until:
            for fd, _ in self.epoll.poll(0.1):
                try:
                    chunk = self.sockets[fd].recv(65536)
                except BlockingIOError:
                    continue
                except OSError:
                    chunk = b""
                if fd not in waiting:
                    continue
                waiting[fd] += chunk
                if not chunk:
                    lost += 1
                    self.epoll.unregister(fd)
                    del waiting[fd]
                elif waiting[fd].endswith(READY):
                    errors += errors_in(waiting[fd])
                    del waiting[fd]
        return errors, lost, len(waiting)

    def ask(self):
        for peer in self.sockets.values():
            peer.sendall(msg.query("insert into chaos_log values ('held', 1, 1)"))

    def answers(self, seconds):
        return self._collect(list(self.sockets), seconds)

    def close(self):
        for peer in self.sockets.values():
            peer.close()


def errors_in(answer):
    """SQLSTATEs of its ErrorResponses; that a client has waited for long is told in a NOTICE."""
    found, at = [], 0
    while at < len(answer):
        end = at + 1 + int.from_bytes(answer[at + 1:at + 5], "big")
        if answer[at:at + 1] == b"E":
            found.append(msg.error_fields(answer[at + 5:end])["C"])
        at = end
    return found


def serve(host, port, count):
    """The process: signs in, asks at the first line of its input, and tells what it was answered."""
    herd = Herd((host, port), count)
    print("ready", flush=True)
    sys.stdin.readline()
    herd.ask()
    print("asked", flush=True)
    print(json.dumps(herd.answers(40)), flush=True)
    herd.close()


def release(rig, count, down_seconds, **sections):
    """{facts} about `count` clients that ask while the server is down; `sections` of the proxy's configuration."""
    from rig import start_again
    rig.ready()
    proxy = rig.start_proxy([node.port for node in (rig.primary, rig.standby)], auth={"method": "trust"},
                            limits={"max_clients": count + 100}, **sections)
    herd = subprocess.Popen(with_death_signal([sys.executable, "-B", __file__, *proxy.address, count]), text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
    try:
        assert herd.stdout.readline() == "ready\n"
        marker = rig.primary.log.stat().st_size
        rig.primary.stop()
        down_at = time.monotonic()
        herd.stdin.write("now\n")
        assert herd.stdout.readline() == "asked\n"
        time.sleep(max(0.0, down_seconds - (time.monotonic() - down_at)))
        start_again(rig.primary)
        up_at = time.monotonic()
        errors, lost, unanswered = json.loads(herd.stdout.readline())
        took = time.monotonic() - up_at
        with open(rig.primary.log, errors="replace") as file:
            file.seek(marker)
            lines = file.readlines()
    finally:
        herd.kill()
        herd.communicate()
    ready = max((at for at, line in enumerate(lines) if "ready to accept connections" in line), default=0)
    received, early = received_in(lines[ready:]), received_in(lines[:ready])
    rows = int(rig.sql("select count(*) from chaos_log where client = 'held'")[0][0])
    return {"clients": count, "rows": rows, "down": time.monotonic() - down_at - took, "answered_in": took, "errors": errors,
            "lost": lost, "unanswered": unanswered, "connections": len(received),
            "early": len(early), "buckets": _buckets(received)}


def received_in(lines):
    """When the server accepted a TCP connection."""
    return [found[1] for found in map(LINE.match, lines) if found]


def _buckets(times):
    """Connections in each 100 ms from the first on."""
    if not times:
        return []
    moments = sorted(datetime.fromisoformat(text) for text in times)
    counts = []
    for moment in moments:
        slot = int((moment - moments[0]).total_seconds() * 10)
        counts += [0] * (slot + 1 - len(counts))
        counts[slot] += 1
    return counts[:30]


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
