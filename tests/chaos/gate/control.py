"""One gate as the suites use it: starts the process, gives its commands, ends it. Safe to use from several threads."""

import json
import subprocess
import sys
import threading
from pathlib import Path

from lib.processes import with_death_signal

RELAY = Path(__file__).resolve().parent / "relay.py"


class GateProblem(AssertionError):
    """The gate could not do what it was told."""


class Gate:
    """Listens on a free loopback port and passes every connection to `target`, (host, port)."""

    def __init__(self, target):
        command = [sys.executable, "-B", str(RELAY), target[0], target[1]]
        self._process = subprocess.Popen(with_death_signal(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, bufsize=1)
        self._lock = threading.Lock()
        self.port = json.loads(self._process.stdout.readline())["port"]
        self.address = ("127.0.0.1", self.port)

    def _do(self, what, **options):
        with self._lock:
            self._process.stdin.write(json.dumps({"do": what, **options}) + "\n")
            line = self._process.stdout.readline()
        if not line:
            raise GateProblem(f"the gate has died at {what!r}")
        answer = json.loads(line)
        if "problem" in answer:
            raise GateProblem(f"{what}: {answer['problem']}")
        return answer

    def stop(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def rst(self, share=1.0, newest=0, seed=None):
        """Ends connections with RST on both sides; returns how many."""
        return self._do("end", how="rst", share=share, newest=newest, seed=seed)["ended"]

    def fin(self, share=1.0, newest=0, seed=None):
        return self._do("end", how="fin", share=share, newest=newest, seed=seed)["ended"]

    def halfclose(self, direction, share=1.0):
        """The side that `direction` leads to sees FIN; the other direction lives on."""
        return self._do("halfclose", direction=direction, share=share)["ended"]

    def blackhole(self, direction="both"):
        self._do("blackhole", direction=direction)

    def silence(self):
        """New connections are accepted and hear nothing."""
        self._do("silence")

    def refuse(self):
        """Connection refused, until heal()."""
        self._do("refuse")

    def delay(self, seconds, jitter=0.0, direction="both"):
        self._do("delay", seconds=seconds, jitter=jitter, direction=direction)

    def rate(self, bytes_per_second, direction="both"):
        self._do("rate", bytes_per_second=bytes_per_second, direction=direction)

    def slice(self, size, pause, direction="both"):
        """At most `size` bytes at a time, `pause` seconds apart."""
        self._do("slice", size=size, pause=pause, direction=direction)

    def cut_after(self, direction, count, how="rst", once=True):
        """After `count` more bytes of a connection; how: rst, fin, halfclose, stall, black."""
        self._do("cut_after", direction=direction, bytes=count, how=how, once=once)

    def cut_on(self, direction, letter, nth=1, how="rst", after=False, count=0):
        """At the nth message with this letter: before it, `count` bytes into it, or after it."""
        self._do("cut_on", direction=direction, type=letter, nth=nth, how=how, after=after, bytes=count)

    def stall_on(self, direction, letter, nth=1):
        self._do("cut_on", direction=direction, type=letter, nth=nth, how="stall")

    def heal(self):
        self._do("heal")

    def retarget(self, target):
        self._do("retarget", host=target[0], port=target[1])

    def stats(self, since=0.0):
        """accepted, open, fired (cuts that happened), silent, passed (bytes by direction since the last cut_after, of the
        connection with most); with `since` the times of later accepts."""
        return self._do("stats", since=since)
