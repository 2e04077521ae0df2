"""What the clients asked for and what they were told: the facts that the invariants are judged by.

An outcome is what the application may conclude from the answer:
  ok            acknowledged
  not_executed, rolled_back      an error that promises no effect
  unknown       an error (or a lost connection) that promises nothing
  committed     an error that promises the effect
A SQLSTATE and the word in DETAIL must not contradict each other: `contradiction` says so.
"""

import re
import threading
import time
from collections import Counter, defaultdict
from typing import NamedTuple

OUTCOME = re.compile(r"\boutcome=(\w+)")
NO_EFFECT = {"not_executed", "rolled_back"}
# What a SQLSTATE alone promises; everything else is a statement's own error, which PostgreSQL rolled back.
PROMISE = {
    "40001": {"rolled_back", "not_executed"}, "40P01": {"rolled_back"}, "25006": NO_EFFECT, "25P02": NO_EFFECT,
    "40003": {"unknown"}, "08007": {"unknown", "committed"}, "57P03": {"not_executed"},
    "53300": {"not_executed"}, "57014": NO_EFFECT, "57P02": {"not_executed"},
    "08006": {"unknown", "rolled_back", "not_executed"}, "57P01": {"unknown", "rolled_back", "not_executed"},
}
DEFAULT = {"40003": "unknown", "08007": "unknown", "57P03": "not_executed", "53300": "not_executed",
           "25006": "not_executed", "08006": "unknown", "57P01": "unknown", "57P02": "unknown", "57P05": "unknown"}


class Answer(NamedTuple):
    """How one operation ended."""
    outcome: str
    sqlstate: str = ""
    message: str = ""
    detail: str = ""
    disconnected: bool = False

    @property
    def error(self):
        """The kind of error for a table: SQLSTATE, `disconnect`, or nothing."""
        if self.outcome == "ok":
            return ""
        return f"{self.sqlstate or '?'}{' + disconnect' if self.disconnected else ''}"


OK = Answer("ok")


def judged(sqlstate, message, detail, disconnected):
    """The Answer that an error amounts to."""
    word = OUTCOME.search(detail or "")
    if word:
        outcome = word[1]
    elif disconnected:
        outcome = "unknown"
    else:
        outcome = DEFAULT.get(sqlstate, "rolled_back")
    return Answer(outcome, sqlstate or "", (message or "").strip(), detail or "", disconnected)


def contradiction(answer):
    """A SQLSTATE whose usual meaning is not what the outcome word says, as text."""
    promised = PROMISE.get(answer.sqlstate)
    if promised and not answer.disconnected and answer.outcome not in promised:
        return f"{answer.sqlstate} came with outcome={answer.outcome}"
    return ""


class Event(NamedTuple):
    """One operation of one client. `key` names its effect in the database; None for reads."""
    client: str
    kind: str
    key: object
    began: float
    ended: float
    answer: Answer


class History:
    """Everything that all clients did, in the order in which it ended. Thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self.events = []
        self.violations = []             # found by a client itself: wrong results, protocol errors
        self.sign_in_errors = []
        self.transactions = []           # of W3, see cycles.py
        self.stale = []                  # of W10: (client, sequence number read, newest that it knew of)
        self.unreplicated = None         # (since, until): what was acknowledged between may be lost by design (F8)
        self.began = time.monotonic()

    def add(self, client, kind, key, began, answer, ended=None):
        """`ended`: when the answer was here, if that is not now."""
        with self._lock:
            self.events.append(Event(client, kind, key, began, ended or time.monotonic(), answer))

    def violation(self, rule, client, text):
        with self._lock:
            self.violations.append(f"{rule} {client}: {text}")

    def sign_in_error(self, client, text):
        with self._lock:
            self.sign_in_errors.append((time.monotonic(), client, text))

    def may_be_lost(self, event):
        """Acknowledged by a primary that had no standby any more, and that never came back."""
        return self.unreplicated is not None and self.unreplicated[0] <= event.ended <= self.unreplicated[1]

    # ---- looking back ----------------------------------------------------------------------------------------------

    def errors(self, kinds=None):
        """{error: count}, of some kinds of operations or of all."""
        return Counter(event.answer.error for event in self.events
                       if event.answer.error and (kinds is None or event.kind in kinds))

    def disconnects(self, but_not=()):
        return [event for event in self.events if event.answer.disconnected and event.kind not in but_not]

    def count(self, kinds=None):
        return sum(1 for event in self.events if kinds is None or event.kind in kinds)

    def successes(self, kinds=None):
        """{client: [(began, ended)] of what went well}"""
        found = defaultdict(list)
        for event in self.events:
            if event.answer.outcome == "ok" and (kinds is None or event.kind in kinds):
                found[event.client].append((event.began, event.ended))
        return found

    def longest_gaps(self, since, until, kinds=None):
        """{client: seconds}: the longest time without a success that touches [since, until]; unended ones count."""
        gaps = {}
        successes = self.successes(kinds)
        for client in {event.client for event in self.events if kinds is None or event.kind in kinds}:
            ends = sorted(ended for _, ended in successes.get(client, []))
            marks = [self.began] + ends
            longest = 0.0
            for left, right in zip(marks, marks[1:]):
                if right >= since and left <= until:
                    longest = max(longest, right - left)
            if marks[-1] < until:
                longest = max(longest, until - marks[-1])
            gaps[client] = longest
        return gaps
