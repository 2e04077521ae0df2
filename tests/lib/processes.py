"""Child processes that never outlive a suite, ports that are free, and the unprivileged user for PostgreSQL.

Children get a parent-death signal, so that even a killed runner leaves nothing behind.
"""

import collections
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


_given = collections.deque(maxlen=100)


def free_port():
    """A loopback port that nothing listens on at this moment, and that was not given a moment ago.

    Not one that the kernel gives to outgoing connections (32768 and up): one of these could take it before its listener does.
    """
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.append(port)
            return port


def postgres_owner():
    """The account that owns a test cluster: PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def as_owner(command, death_signal=None):
    """The command as the cluster's owner, ended by `death_signal` when the runner dies."""
    prefix = ["setpriv"]
    if death_signal:
        prefix += ["--pdeathsig", death_signal]
    if os.geteuid() == 0:
        owner = pwd.getpwnam(postgres_owner())
        prefix += ["--reuid", str(owner.pw_uid), "--regid", str(owner.pw_gid), "--init-groups"]
    return (prefix if len(prefix) > 1 else []) + [str(part) for part in command]


def with_death_signal(command, signal_name="KILL"):
    return ["setpriv", "--pdeathsig", signal_name] + [str(part) for part in command]


def give_to_owner(*paths):
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, postgres_owner())


def run(command, **options):
    """Runs to the end; the output of a failure is part of the exception."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class Workspace:
    """A folder for one suite run that the cluster's owner can enter; removed at the end."""

    def __init__(self, name):
        self.path = Path(tempfile.mkdtemp(prefix=f"pgsteady-{name}-"))
        self.path.chmod(0o755)

    def folder(self, name):
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def tail(path, lines=40):
    try:
        text = Path(path).read_text(errors="replace").splitlines()
    except OSError as problem:
        return f"({problem})"
    return "\n".join(text[-lines:])
