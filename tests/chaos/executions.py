"""I9: what the servers executed, counted from their own logs (log_statement = all), against what clients asked for.

The effects in the database cannot show a statement that was sent twice and rolled back once; the logs can. Nothing here
asks the proxy. A write that a client sent whole begins at most once on all servers together, unless the server itself
refused it for being read-only (D21). Within a transaction block it may begin again after a loss, as its transaction is replayed
(recovery.md 2.5), and so may a single write that was found not to have been committed (2.4), both within replay.attempts; that no
more than one of them has an effect is I1's to say. Several statements in one string, CALL, and what may not be asked for its
number begin once. Reads and what was cut before its Sync may be repeated, within the budget (T27).
"""

import re
from collections import Counter
from datetime import datetime

MOST = 1.1                    # executions per statement that was asked for
FEW = 40                      # of so few statements a share says nothing
MOST_CONNECTS = 100           # new connections in any one second: two groups of a pool, and the monitor's

LINE = re.compile(r"^(\S+ \S+) \S+ \[(\d+)\] (\S*) (.*?) ?([A-Z]+):  (.*)$")
EXECUTED = re.compile(r"^(?:statement|execute [^:]*): (.*)$")
ROW = re.compile(r"(?:chaos_log|chaos_once) values \('([\w-]+)', (\d+), (\d+)\)")
CALL = re.compile(r"call chaos_steps\('([\w-]+)', (\d+)")
PARAMETERS = re.compile(r"\$1 = '([\w-]+)', \$2 = '(\d+)', \$3 = '(\d+)'")
REFUSED = "in a read-only transaction"

# kind of operation: what its one statement begins with
ONE_STATEMENT = {"read": "select i, pad from facts where i <= 480", "read-large": "select i, pad from facts where i <= 12000",
                 "sum": "select sum(balance), count(*) from accounts", "copy-out": "copy (select i, pad from facts",
                 "copy-in": "copy chaos_log (client, seq, part) from stdin", "idler": "select 'awake'"}
REPLAYED = {"log", "log-tx", "transfer"}
MOST_REPLAYS = 5              # replay.attempts, by default
NEVER_AGAIN = {"log", "log-tx", "transfer", "script", "script-commit", "call"}


class Executions:
    """What the lines of server logs say."""

    def __init__(self, lines, user="app"):
        self.rows = Counter()         # (client, seq, part): how often it began
        self.calls = Counter()        # (client, seq)
        self.texts = Counter()        # kind: how often
        self.connects = []            # when the server accepted a connection
        self._session = f"{user}@"
        self._last = {}               # by process: the rows of the statement that began last
        self._extended = None         # waits for the parameters in the next line
        for line in lines:
            self._take(line)

    def _take(self, line):
        found = LINE.match(line)
        if not found:
            return
        at, pid, who, _, kind, text = found.groups()
        if kind == "LOG" and text.startswith("connection received: host=127"):
            self.connects.append(at)
        if not who.startswith(self._session):
            return
        executed = EXECUTED.match(text) if kind == "LOG" else None
        if executed:
            self._begin(pid, executed[1])
        elif kind == "DETAIL" and self._extended == pid:
            self._count(pid, PARAMETERS.findall(text))
            self._extended = None
        elif kind == "ERROR" and REFUSED in text:
            for key in self._last.pop(pid, []):
                self.rows[key] -= 1

    def _begin(self, pid, text):
        self._last[pid] = []
        self._extended = pid if "$1" in text else None
        self._count(pid, ROW.findall(text))
        for client, seq in CALL.findall(text):
            self.calls[client, int(seq)] += 1
        for kind, beginning in ONE_STATEMENT.items():
            self.texts[kind] += text.startswith(beginning)

    def _count(self, pid, found):
        for client, seq, part in found:
            self.rows[client, int(seq), int(part)] += 1
            self._last.setdefault(pid, []).append((client, int(seq), int(part)))

    def busiest_second(self):
        """Most connections that came within one second."""
        moments = sorted(datetime.fromisoformat(at) for at in self.connects)
        most, left = 0, 0
        for right, moment in enumerate(moments):
            while (moment - moments[left]).total_seconds() >= 1:
                left += 1
            most = max(most, right - left + 1)
        return most


def judge_executions(history, found, verdict, counts_connects=True, logs_all=True, connects=MOST_CONNECTS):
    """Adds what is wrong to the verdict; returns a line of numbers for the timeline. `connects`: so many may come in a second."""
    asked = Counter()
    for event in history.events:
        asked[event.kind] += 1
        if event.kind not in NEVER_AGAIN:
            continue
        client, seq, parts = event.key
        begun = [found.calls[client, seq]] if event.kind == "call" else [found.rows[client, seq, part] for part in range(1, parts + 1)]
        if max(begun) > (1 + MOST_REPLAYS if event.kind in REPLAYED else 1):
            verdict.say(f"I9 {client} {event.kind} {seq} was answered {event.answer.outcome} {event.answer.sqlstate} and "
                        f"executed {max(begun)} times")
        if logs_all and event.answer.outcome == "ok" and min(begun) < 1:
            verdict.say(f"I9 {client} {event.kind} {seq} was acknowledged and stands in no server's log: the count is wrong")
    whole = sum(asked[kind] for kind in ONE_STATEMENT)
    executed = sum(found.texts[kind] for kind in ONE_STATEMENT)
    if executed > max(MOST * whole, whole + FEW):
        verdict.say(f"I9 {executed} executions for {whole} statements: "
                    + ", ".join(f"{kind} {found.texts[kind]} for {asked[kind]}" for kind in ONE_STATEMENT))
    if counts_connects and found.busiest_second() > connects:
        verdict.say(f"I9 {found.busiest_second()} connections within one second")
    return f"{executed} executions for {whole} statements; at most {found.busiest_second()} connections in a second"
