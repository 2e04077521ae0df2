"""Starts and stops the servers of a benchmark run, and nothing else.

Every server is our own child, runs as an unprivileged user, logs into the work directory, and is
stopped in reverse order. Should this process be killed, the kernel tells the children (pdeathsig).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Callable

STOP_DEADLINE_S = 15
READY_DEADLINE_S = 30


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago (for servers that cannot bind port 0)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float) -> None:
    """Polls `condition`; raises TimeoutError naming `what` when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline_s:g} s")
        time.sleep(0.02)


@dataclasses.dataclass
class Server:
    """A running child."""

    name: str
    port: int
    process: subprocess.Popen
    log: pathlib.Path
    stop_signal: signal.Signals

    @property
    def pid(self) -> int:
        return self.process.pid

    def check_alive(self) -> None:
        if self.process.poll() is None:
            return
        tail = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} ended with status {self.process.returncode}:\n{tail}")


class Workshop:
    """The work directory and the servers of one run. Use as a context manager."""

    def __init__(self, user: str | None, keep: bool) -> None:
        """`user`: who owns the servers when we are root; ignored otherwise."""
        self.account = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
        self.keep = keep
        self.servers: list[Server] = []
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="pgsteady-bench-"))
        self.path.chmod(0o755)
        self.give_away(self.path)

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(list(self.servers)):
            self.stop(server)
        if self.keep:
            print(f"kept: {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def give_away(self, path: pathlib.Path) -> None:
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def directory(self, name: str) -> pathlib.Path:
        path = self.path / name
        path.mkdir(exist_ok=True)
        self.give_away(path)
        return path

    def write(self, name: str, text: str, mode: int = 0o600) -> pathlib.Path:
        """A file that belongs to the servers' user."""
        path = self.path / name
        path.write_text(text)
        path.chmod(mode)
        self.give_away(path)
        return path

    def borrow(self, binary: pathlib.Path) -> pathlib.Path:
        """A copy that the servers' user can reach, whatever the permissions of the source tree."""
        if not binary.is_file():
            raise RuntimeError(f"no {binary.name} there to measure")
        # Two that are compared may have one name.
        folder = self.path / hashlib.sha256(bytes(binary.resolve())).hexdigest()[:12]
        copy = folder / binary.name
        if not copy.exists():
            folder.mkdir(mode=0o755)
            shutil.copyfile(binary, copy)
            copy.chmod(0o755)
        return copy

    def run(self, argv: list[str]) -> str:
        """Runs a command to its end as the servers' user; its output, or RuntimeError."""
        done = subprocess.run(self._as_user(argv), cwd=self.path, env=clean_environment(),
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{argv[0]} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def start(self, name: str, argv: list[str], port: int, ready: Callable[[], bool],
              stop_signal: signal.Signals = signal.SIGTERM) -> Server:
        """Starts a server and returns once `ready()`; raises with its log's tail if it dies."""
        log = self.path / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._as_user(argv, die_with_us=stop_signal), cwd=self.path,
                env=clean_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True)  # so that Ctrl-C is ours to pass on, in order
        server = Server(name, port, process, log, stop_signal)
        self.servers.append(server)

        def is_ready() -> bool:
            server.check_alive()
            return ready()

        wait_until(is_ready, f"{name} ready", READY_DEADLINE_S)
        return server

    def stop(self, server: Server) -> None:
        if server in self.servers:
            self.servers.remove(server)
        if server.process.poll() is not None:
            return
        server.process.send_signal(server.stop_signal)
        try:
            server.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()

    def _as_user(self, argv: list[str], die_with_us: signal.Signals | None = None) -> list[str]:
        prefix = ["setpriv"]
        if self.account:
            prefix += [f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}",
                       "--init-groups"]
        if die_with_us:
            prefix += ["--pdeathsig", die_with_us.name.removeprefix("SIG")]
        return (prefix if len(prefix) > 1 else []) + argv


def clean_environment() -> dict[str, str]:
    """Ours without what would steer libpq or a proxy behind the benchmark's back."""
    steering = ("PG", "DB_", "DATABASE_", "PGSTEADY_", "RECOVERY_", "CIRCUIT_BREAKER_")
    return {k: v for k, v in os.environ.items() if not k.startswith(steering)} | {"LC_ALL": "C"}
