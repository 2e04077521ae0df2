"""Clients in threads: they connect, repeat an operation of their workload, and write down what they were told.

A client has no retry logic: an error is written down and the next operation begins. A lost connection is written
down and replaced. Nothing here decides whether an answer was right; invariants.py does.
"""

import os
import random
import socket
import threading
import time

import psycopg2

from history import OK, judged
from lib import messages as msg
from lib.deadline import Timeout
from lib.wire_client import Closed, ServerError, WireClient

THINK = (0.008, 0.020)
RECONNECT_PAUSE = 0.05


class Target:
    """Where clients connect: a proxy, a gate before it, or PostgreSQL itself (several hosts)."""

    def __init__(self, address, database, user, password, **options):
        self.address, self.database, self.user, self.password = address, database, user, password
        self.options = {"connect_timeout": 60, "application_name": "chaos", "sslmode": "disable", **options}

    def connect(self):
        options = {"host": self.address[0], "port": self.address[1], "dbname": self.database, "user": self.user,
                   "password": self.password, **self.options}
        return psycopg2.connect(**options)

    def connect_wire(self, seconds=60):
        client = WireClient(self.address, seconds)
        try:
            if self.options["sslmode"] != "disable":
                client.start_tls()
            return client.login(self.user, self.database, self.password, application_name="chaos")
        except BaseException:
            client.abandon()
            raise


class Client(threading.Thread):
    """One application client. Workloads implement connect, step and drop."""

    kind = "?"
    think = THINK

    def __init__(self, name, target, history, seed):
        super().__init__(name=name, daemon=True)
        self.target, self.history = target, history
        self.chance = random.Random(f"{seed}/{name}")
        self.connection = None
        self.stopping = threading.Event()
        self.connections = 0
        self.busy_since = None
        self.busy_with = ""
        self.seq = 0
        self.crash = None

    def run(self):
        try:
            while not self.stopping.is_set():
                if self.connection is None and not self._sign_in():
                    self.stopping.wait(RECONNECT_PAUSE)
                    continue
                self.step()
                self.stopping.wait(self.chance.uniform(*self.think))
            self.leave()
        except Exception as problem:                     # noqa: a workload that breaks is a finding, never a silence
            self.crash = problem
            self.history.violation("harness", self.name, f"{type(problem).__name__}: {problem}")

    def _sign_in(self):
        self._mark("sign-in")
        try:
            self.connection = self.connect()
            self.connections += 1
            self.on_connected()
            return True
        except (psycopg2.Error, ServerError, Closed, Timeout, OSError) as problem:
            if not self.stopping.is_set():
                self.history.sign_in_error(self.name, " ".join(str(problem).split()))
            self.drop()
            return False
        finally:
            self.busy_since = None

    def _mark(self, what):
        self.busy_since, self.busy_with = time.monotonic(), what

    def attempt(self, kind, key, action):
        """Runs one operation and writes down its end; returns (answer, value)."""
        began = time.monotonic()
        self.busy_since, self.busy_with = began, f"{kind} {key}"
        value, answer = None, OK
        try:
            value = action()
        except Exception as problem:                     # noqa: judge() knows which belong to the driver
            answer = self.judge(problem)
        finally:
            self.busy_since = None
        self.history.add(self.name, kind, key, began, answer)
        if answer.disconnected:
            self.drop()
        return answer, value

    # ---- what a workload provides -----------------------------------------------------------------------------------

    def connect(self):
        raise NotImplementedError

    def on_connected(self):
        pass

    def step(self):
        raise NotImplementedError

    def judge(self, problem):
        raise problem

    def drop(self):
        """Forgets a connection that is of no more use."""

    def leave(self):
        self.drop()

    def break_off(self):
        """From another thread: ends a wait that would not end."""


class DriverClient(Client):
    """Uses psycopg2."""

    autocommit = True

    def connect(self):
        connection = self.target.connect()
        connection.autocommit = self.autocommit
        return connection

    def judge(self, problem):
        if not isinstance(problem, (psycopg2.Error, psycopg2.Warning)):
            raise problem
        diag = getattr(problem, "diag", None)
        gone = self.connection is None or self.connection.closed != 0
        sqlstate = getattr(problem, "pgcode", None) or ("" if gone else "?")
        message = (diag and diag.message_primary) or str(problem)
        if gone and not sqlstate and self.connection is not None:
            message = " ".join([*self.connection.notices[-2:], message])     # libpq hands a FATAL out as a notice
        return judged(sqlstate, message, diag and diag.message_detail, gone)

    def execute(self, text, values=None):
        with self.connection.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else cursor.statusmessage

    def roll_back(self):
        """After an error in a transaction: this must always work, and leave the session usable."""
        if self.connection is None:
            return
        began = time.monotonic()
        try:
            self.connection.rollback()
        except psycopg2.Error as problem:
            answer = self.judge(problem)
            self.history.add(self.name, "rollback", None, began, answer)
            if not answer.disconnected:
                self.history.violation("I7", self.name, f"ROLLBACK was answered with {answer.sqlstate} {answer.message}")
            self.drop()

    def drop(self):
        if self.connection is not None:
            try:
                self.connection.close()
            except psycopg2.Error:
                pass
        self.connection = None

    def break_off(self):
        try:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as peer:
                peer.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError, psycopg2.Error):
            pass


class StatementError(ServerError):
    """An ErrorResponse after which the session goes on."""


class RawClient(Client):
    """Speaks the protocol itself, and judges its grammar."""

    def connect(self):
        return self.target.connect_wire()

    def judge(self, problem):
        if isinstance(problem, ServerError):
            fields, alive = problem.fields, isinstance(problem, StatementError)
            return judged(fields.get("C"), fields.get("M"), fields.get("D"), not alive)
        if isinstance(problem, (Closed, OSError)):
            fields = self._last_words()
            return judged(fields.get("C"), fields.get("M", str(problem)), fields.get("D"), True)
        if isinstance(problem, Timeout):
            self.history.violation("I10", self.name, f"no answer: {problem}")
            return judged("", str(problem), "", True)
        raise problem

    def _last_words(self):
        """The FATAL that came before the end, perhaps while nobody was reading."""
        try:
            frames, _ = self.connection.read_to_end(1)
            return next((msg.error_fields(frame.body) for frame in reversed(frames) if frame.type == "E"), {})
        except (AssertionError, AttributeError, OSError):
            return {}

    def drop(self):
        if self.connection is not None:
            self.connection.abandon()
        self.connection = None

    def leave(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def break_off(self):
        try:
            self.connection.shutdown_write()
        except (OSError, AttributeError):
            pass


class Crowd:
    """All clients of one run."""

    def __init__(self, clients, history):
        self.clients, self.history = clients, history

    def start(self):
        for client in self.clients:
            client.start()

    def waiting_for(self, since):
        """Names of those without a success that began at or after `since`."""
        served = {event.client for event in list(self.history.events)
                  if event.began >= since and event.answer.outcome == "ok"}
        return [client.name for client in self.clients if client.name not in served]

    def what_keeps(self, names):
        """What those clients are doing at this moment, as text."""
        now = time.monotonic()
        return ", ".join(f"{client.name} in {client.busy_with or 'nothing'}"
                         + (f" for {now - client.busy_since:.1f} s" if client.busy_since else "")
                         for client in self.clients if client.name in names)

    def wait_for_progress(self, since, seconds):
        """True when every client has had a success that began after `since`; who has not is left in `late`."""
        until = time.monotonic() + seconds
        while self.waiting_for(since):
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def stop(self, seconds=5.0):
        """Ends all; who hangs is named, broken off, and counts."""
        for client in self.clients:
            client.stopping.set()
        until = time.monotonic() + seconds
        hung = []
        for client in self.clients:
            client.join(max(0.0, until - time.monotonic()))
            if client.is_alive():
                since = client.busy_since
                age = f" for {time.monotonic() - since:.1f} s" if since else ""
                hung.append(f"{client.name} hangs in {client.busy_with}{age}")
        for client in self.clients:
            if client.is_alive():
                client.break_off()
        for client in self.clients:
            if client.is_alive():
                client.join(3.0)
        return hung
