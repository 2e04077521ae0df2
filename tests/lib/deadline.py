"""Waiting without sleeping blindly: a condition is polled until it holds or its deadline passes.

Every wait in the suites goes through here, so that no test hangs and none depends on a lucky pause.
"""

import time

POLL_SECONDS = 0.01


class Timeout(AssertionError):
    """A condition did not come true before its deadline."""


class Deadline:
    """A point in monotonic time, carried through nested waits."""

    def __init__(self, seconds):
        self._at = time.monotonic() + seconds

    def left(self):
        """Seconds that remain, never negative."""
        return max(0.0, self._at - time.monotonic())

    def passed(self):
        return time.monotonic() >= self._at


def eventually(condition, what, seconds=30.0):
    """Returns the first truthy value of condition(); raises Timeout naming `what` otherwise."""
    deadline = Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if deadline.passed():
            raise Timeout(f"not within {seconds} s: {what}")
        time.sleep(POLL_SECONDS)
