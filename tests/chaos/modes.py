"""What mode the proxy was in during the harm (I11): sampled from its status, and told by its log, which misses nothing."""

import http.client
import json
import re
import threading
from datetime import datetime

STATUS = "/api/database-recovery/status"
MODE_CHANGED = re.compile(r"^(\S+ \S+) \w+ +cluster: mode_changed: \w+ -> (\w+)")
SHOWN_AFTER = 3.0            # seconds that a mode lasts, after which some look at the status has seen it


class ModeWatch(threading.Thread):
    """Looks at the status all the time; `seen` holds the modes that it has shown, in order. A look is a sample: a mode may be over
    before the next one, so what has been is known from the log, and the status must have shown what lasted."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self._proxy, self._done = proxy, threading.Event()
        self.seen = []

    def misses(self, mode):
        """What is wrong with the news of `mode`, as text; empty when it was told, and shown if it lasted."""
        lasted = longest(mode, self._proxy.log_text().splitlines())
        if lasted is None:
            return f"the log never said {mode!r} while the harm lasted"
        if mode not in self.seen and lasted > SHOWN_AFTER:
            return f"the status never said {mode!r}, which lasted {lasted:.1f} s, only {self.seen}"
        return ""

    def run(self):
        while not self._done.wait(0.05):
            try:
                mode = json.loads(self._proxy.http(STATUS)[2])["mode"]
            except (OSError, http.client.HTTPException):          # the proxy itself is the victim
                continue
            if mode not in self.seen:
                self.seen.append(mode)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self.join()


def longest(mode, lines):
    """Seconds of the longest time in `mode` that has ended, by the lines of a log; 0 if none has; None: it never began."""
    changes = [(datetime.fromisoformat(found[1]), found[2]) for found in map(MODE_CHANGED.match, lines) if found]
    if mode not in [name for _, name in changes]:
        return None
    return max([(later - since).total_seconds() for (since, name), (later, _) in zip(changes, changes[1:]) if name == mode],
               default=0.0)
