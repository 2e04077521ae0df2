"""A session of everything (recovery.md 4.4), held by an application that reacts to errors as a sane one does, and what it must
believe about its rows from nothing but its answers (I1 to I4). The same as tests/simulation/cuts_test.cpp, on real sockets.
"""

from collections import deque
from dataclasses import dataclass, field

from lib import messages as msg

PRESENT, ABSENT, UNKNOWN = "present", "absent", "unknown"


@dataclass
class Request:
    data: bytes
    rows: list = field(default_factory=list)
    in_block: bool = False                 # makes sense only in the transaction that is open
    with_next: bool = False                # the next one is sent without waiting for the answer
    wanted: list = None                    # its rows, if it is answered without an error


def segment(*texts):
    return b"".join(msg.parse("", text) + msg.bind("", "") + msg.describe("P", "") + msg.execute("") for text in texts)


def insert(row):
    return f"insert into log values ('{row}')"


def move(account, amount):
    return f"update accounts set balance = balance + {amount} where id = {account}"


def everything(run):
    """Its rows begin with the run's number; ` 1 2 5` behind a row is a transfer from 1 to 2."""
    def row(name):
        return f"{run}.{name}"

    def block(*texts_and_rows):
        return [Request(msg.query(text), rows, True) for text, *rows in texts_and_rows]
    pipeline = [Request(segment(insert(row(name))) + msg.sync(), [row(name)], with_next=name != "p5")
                for name in ("p1", "p2", "p3", "p4", "p5")]
    first, second = row("t 1 2 5"), row("u 4 3 3")
    return [
        [Request(msg.query(insert(row("a"))), [row("a")])],
        [Request(msg.query("begin")), *block((move(1, -5),), (insert(first), first), (move(2, 5),), ("commit",))],
        pipeline,
        [Request(msg.query("select generate_series(1, 10)"), wanted=[str(i) for i in range(1, 11)])],
        [Request(msg.query("copy log from stdin") + msg.copy_data(f"{row('d1')}\n{row('d2')}\n".encode())
                 + msg.copy_done(), [row("d1"), row("d2")])],
        [Request(segment("begin") + msg.sync()),
         Request(segment(insert(row("b")), insert(row("c"))) + msg.sync(), [row("b"), row("c")], True),
         Request(segment("commit") + msg.sync(), [], True)],
        [Request(segment(move(4, -3), insert(second), move(3, 3)) + msg.sync(), [second])],
    ]


def outcome_of(error):
    """The word behind `outcome=`."""
    detail = (error or {}).get("D", "")
    return detail.partition("outcome=")[2].split(" ")[0]


class Beliefs:
    """As tests/support/belief.hpp."""

    def __init__(self):
        self.groups = []                   # (rows that stand or fall together, what is believed of them)
        self._status, self._open = "I", []

    def hear(self, request, error, tags, status):
        stake = (self._open if self._status == "T" else []) + request.rows
        outcome = outcome_of(error)
        if outcome == "not_executed" and status == "T":
            self._believe(request.rows, ABSENT)
        elif outcome in ("unknown", "committed"):
            self._believe(stake, UNKNOWN if outcome == "unknown" else PRESENT)
            self._open = []
        elif error or self._status == "E":
            self._believe(stake, ABSENT)
            self._open = []
        elif status == "T":
            self._open = stake
        else:
            self._believe(stake, ABSENT if "ROLLBACK" in tags else PRESENT)
            self._open = []
        self._status = status

    def _believe(self, rows, what):
        if rows:
            self.groups.append((rows, what))


def untruths(groups, counts):
    """What is not so; `counts`: how often each row is there."""
    for rows, what in groups:
        found = [counts.get(row, 0) for row in rows]
        if max(found) > 1:
            yield f"done twice: {rows}"
        elif 0 < sum(found) < len(rows):
            yield f"half of it happened: {rows}"
        elif what == PRESENT and not sum(found):
            yield f"acknowledged and lost: {rows}"
        elif what == ABSENT and sum(found):
            yield f"said not to have happened: {rows}"


class Talk:
    """One run of it. `told`: how often which SQLSTATE; "" is no error."""

    def __init__(self, client, run):
        self.client, self.beliefs, self.told = client, Beliefs(), {}
        self._tasks = everything(run)
        self._status = "I"

    def hold(self):
        for task in self._tasks:
            plan = deque(task)
            while plan:
                if self._status == "E":
                    plan = deque([Request(msg.query("rollback"))])
                elif self._status == "I" and plan[0].in_block:
                    plan.popleft()         # its transaction is gone
                    continue
                asked = [plan.popleft()]
                while asked[-1].with_next:
                    asked.append(plan.popleft())
                self.client.send(b"".join(request.data for request in asked))
                for request in asked:
                    self._hear(request)
            if self._status == "E":
                self.client.send(msg.query("rollback"))
                self._hear(Request(b""))
        assert self.client.value("select 'alive'") == "alive"
        assert self.client.is_silent(), "an answer to nothing"

    def _hear(self, request):
        answer = self.client.read_result()
        self._status = answer.status
        code = answer.sqlstate or ""
        self.told[code] = self.told.get(code, 0) + 1
        assert code in ("", "40001", "40003", "08007", "08006", "25P02"), answer.error
        if request.wanted and not code:
            assert [row[0] for row in answer.rows] == request.wanted, answer.rows
        self.beliefs.hear(request, answer.error, answer.tags, answer.status)
