"""A running pgsteady: writes its configuration, waits until it listens, keeps its log, stops it and judges its end.

All knowledge of configuration keys that suites share lives in `base_config`.
"""

import copy
import http.client
import json
import os
import signal
import subprocess

from .cluster import PASSWORD
from .deadline import eventually
from .processes import REPOSITORY, free_port, tail, with_death_signal
from .suite import Skip
from .wire_client import ServerError, WireClient

STOP_SECONDS = 20
BAD_SIGNS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "Assertion", "terminate called")


def binary():
    path = os.environ.get("PGSTEADY_BIN") or str(REPOSITORY / "build/release/pgsteady")
    return path if os.path.isabs(path) else str(REPOSITORY / path)


def tool(name):
    """The path of what drives our pure parts in a suite: built with the unit tests, so not beside a release binary."""
    places = [os.path.dirname(binary()), str(REPOSITORY / "build/dev")]
    found = [path for path in (os.path.join(place, name) for place in places) if os.path.exists(path)]
    if not found:
        raise Skip(f"{name} is not built in {' or '.join(places)}")
    return found[0]


def base_config(cluster, **sections):
    """A configuration for `cluster` with the users of cluster.py; `sections` are merged over it."""
    config = {
        "listen": {"host": "127.0.0.1", "port": free_port()},
        "admin": {"host": "127.0.0.1", "port": free_port()},
        "workers": 2,
        "backends": {"hosts": [f"127.0.0.1:{cluster.port}"]},
        "monitor": {"user": "watcher", "password": PASSWORD, "database": "postgres"},
        "users": {"app": {"password": PASSWORD}, "app_md5": {"password": PASSWORD}},
        "pool": {"mode": "transaction", "size": 2, "max_overflow": 0, "min_size": 0},
        "log": {"level": "info"},
    }
    return merge(config, sections)


def merge(base, over):
    """`over` laid over `base`; dictionaries are merged, everything else replaced."""
    result = copy.deepcopy(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


class Proxy:
    """One process. Use as a context manager: leaving it stops the process and asserts a clean end."""

    def __init__(self, folder, config, environment=None, name="proxy"):
        self.config = config
        self.port = config["listen"]["port"]
        self.admin_port = config.get("admin", {}).get("port")
        self.address = ("127.0.0.1", self.port)
        self.log = folder / f"{name}.log"
        self.file = folder / f"{name}.yaml"
        self.write_config(config)
        self._environment = {**clean_environment(), **(environment or {})}
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def write_config(self, config):
        self.file.write_text(json.dumps(config, indent=2))           # JSON is YAML

    def start(self, wait=True):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(with_death_signal([binary(), "--config", self.file]), stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=self._environment)
        if wait:
            try:
                eventually(self.is_listening, "pgsteady listens", 20)
            except AssertionError as problem:
                self.kill()
                raise AssertionError(f"{problem}\n{self.log_tail()}") from None
        return self

    def is_listening(self):
        if self.process.poll() is not None:
            raise AssertionError(f"pgsteady ended with {self.process.returncode}")
        try:
            WireClient(self.address).abandon()
            return True
        except OSError:
            return False

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=STOP_SECONDS):
        return self.process.wait(seconds)

    def stop(self):
        """SIGTERM; the exit code must be 0 and the log free of signs of a defect."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"pgsteady did not end within {STOP_SECONDS} s of SIGTERM\n{self.log_tail()}") \
                from None
        self.process = None
        if code != 0:
            raise AssertionError(f"pgsteady ended with {code}\n{self.log_tail()}")
        self.assert_clean_log()

    def assert_clean_log(self):
        for sign in BAD_SIGNS:
            assert sign not in self.log_text(), f"{sign!r} in the log:\n{self.log_tail(80)}"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    # ---- looking at it --------------------------------------------------------------------------------------------

    def connect(self, database, user="app", password=PASSWORD, tls=False, **parameters):
        client = WireClient(self.address)
        try:
            if tls:
                client.start_tls()
            return client.login(user, database, password, **parameters)
        except BaseException:
            client.abandon()
            raise

    def refused(self, database, **options):
        """The fields of the error that a login ends with."""
        try:
            self.connect(database, **options).close()
        except ServerError as refusal:
            return refusal.fields
        raise AssertionError("the login was accepted")

    def http(self, path, method="GET", body=None, headers=None):
        """(status, headers, body text) from the admin port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def memory_kib(self):
        """Resident memory of the process."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def log_text(self):
        return self.log.read_text(errors="replace")

    def obituary(self):
        """A line about a process that has died, or nothing."""
        code = self.process.poll() if self.process else None
        return "" if code is None else f"THE PROXY HAS DIED with {code}\n"

    def log_tail(self, lines=40):
        return f"--- tail of {self.log.name}\n{tail(self.log, lines)}"


def command(*arguments, environment=None, folder="/"):
    """Runs pgsteady to its end: (exit code, standard output and error together)."""
    done = subprocess.run([binary(), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=20, cwd=folder,
                          env={**clean_environment(), **(environment or {})})
    return done.returncode, done.stdout


def clean_environment():
    """Ours without anything that configures PostgreSQL clients or pgsteady, but for the engine: a suite runs under each."""
    prefixes = ("PG", "DB_", "DATABASE_", "RECOVERY_", "CIRCUIT_", "HEALTH_")
    return {key: value for key, value in os.environ.items()
            if not key.startswith(prefixes) or key == "PGSTEADY_IO_ENGINE"}
