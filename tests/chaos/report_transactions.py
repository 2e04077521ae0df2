"""The second table of the report: what a mix with transactions sees of an outage, every error of any kind counted.

32 ordinary clients: autocommit reads, read transactions, autocommit inserts, transfers. What PostgreSQL's own rules force is
counted apart, with its reason: an answer to a read without a lock that is another when its transaction is given again (D31), and 40001
or 40P01 by PostgreSQL itself. Rows that a transfer had locked must be the same: another answer there is ours (D30). Everything else that an application sees is an error of ours.
"""

from collections import Counter

from invariants import judge_bank
from report import Reader, Row, errors_text, play
from clients import DriverClient
from workloads import LogAutocommit

EACH = 8
THINK = (0.015, 0.030)
KINDS = frozenset({"read", "read-tx", "log", "transfer"})
FAULTS = ("F1", "F3", "F4", "F9", "F9k")
ANOTHER = "replay on new server produced different results"
FORCED = {ANOTHER: "read without a lock, answered otherwise when given again (D31)", "could not serialize access": "PostgreSQL's own 40001", "deadlock detected": "PostgreSQL's own 40P01"}


class ReadTransaction(DriverClient):
    """What it reads is the same whenever it is read, so that a replay can be the same, too."""
    kind = "read-tx"
    autocommit = False
    think = THINK

    def step(self):
        answer, rows = self.attempt(self.kind, None, self._read)
        if answer.error:
            self.roll_back()
        elif (int(rows[0][0][0]), rows[1][0][0]) != (20_000, 40):
            self.history.violation("I4", self.name, f"the accounts hold {rows[0]}, and {rows[1]} facts were read")

    def _read(self):
        total = self.execute("select sum(balance) from accounts")
        facts = self.execute("select count(*) from facts where i <= 40")
        self.connection.commit()
        return total, facts


class Insert(LogAutocommit):
    think = THINK


class Transfer(DriverClient):
    """Both accounts are locked first, in order, as an application does that wants no deadlocks."""
    kind = "transfer"
    autocommit = False
    think = THINK

    def step(self):
        self.seq += 1
        answer, _ = self.attempt(self.kind, (self.name, self.seq, 1), self._transfer)
        if answer.error:
            self.roll_back()

    def _transfer(self):
        pair = self.chance.sample(range(1, 21), 2)
        self.execute("select id, balance from accounts where id in (%s, %s) order by id for update", tuple(pair))
        for account, amount in zip(pair, (-1, 1)):
            self.execute("update accounts set balance = balance + %s where id = %s", (amount, account))
        self.execute("insert into chaos_log values (%s, %s, 1)", (self.name, self.seq))
        self.connection.commit()


def forced_by(event):
    """The words of its message that name a rule of PostgreSQL's; none: nothing has forced it."""
    found = next((part for part in FORCED if part in event.answer.message), None)
    return None if found == ANOTHER and event.kind != "read-tx" else found


def cast(target, history, seed):
    return [kind(f"{kind.__name__}-{number}", target, history, seed)
            for kind in (Reader, ReadTransaction, Insert, Transfer) for number in range(EACH)]


class MixedRow(Row):
    def __init__(self, case, path):
        super().__init__(case, path)
        self.phantoms, self.sums_differ = 0, 0

    def take(self, rig, history, found):
        super().take(rig, history, found)
        told = len(self.verdict.problems)
        judge_bank(rig, self.verdict)
        self.sums_differ += len(self.verdict.problems) - told
        self.phantoms += sum(1 for event in history.events
                             if event.key and event.answer.error and found.get(event.key[:2]))

    def forced(self):
        """{reason: count}"""
        return Counter(FORCED[part] for event in self._failed() for part in [forced_by(event)] if part)

    def errors(self):
        """Those that nothing forces."""
        return Counter(event.answer.error for event in self._failed() if not forced_by(event))

    def _failed(self):
        return [event for history in self.histories for event in history.events if event.answer.error]

    def meets_target(self):
        if self.path != "pgsteady":
            return ""
        missed = [name for name, count in (("errors", sum(self.errors().values()) + self.refused()), ("lost", self.verdict.lost),
                                           ("doubled", self.verdict.doubled), ("phantoms", self.phantoms), ("sums", self.sums_differ),
                                           ("wrong", self.wrong())) if count]
        if self.pause(0.99) > max(self.downtime) + self.case.slack:
            missed.append("pause")
        return "met" if not missed and not self.problems else "missed: " + ", ".join(missed + self.problems)


def table(rows):
    lines = ["| fault | path | server down | operations | errors | forced by PostgreSQL's rules | lost | doubled | phantoms | sums "
             "| p99 pause | longest pause | target |", "|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        forced = "; ".join(f"{count} {reason}" for reason, count in row.forced().most_common()) or "0"
        lines.append(f"| {row.case.name} {row.case.text} | {row.path} | {max(row.downtime, default=0):.2f} s | {row.operations(KINDS)} "
                     f"| {errors_text(row.errors())} | {forced} | {row.verdict.lost} | {row.verdict.doubled} | {row.phantoms} "
                     f"| {'changed' if row.sums_differ else 'same'} | {row.pause(0.99):.2f} s | {row.pause(1):.2f} s "
                     f"| {row.meets_target()} |")
    return "\n".join(lines)


def section(rig, cases, kinds, options):
    rows = []
    for case in cases:
        for kind in kinds:
            row = MixedRow(case, kind.name)
            for number in range(options.rounds):
                play(rig, row, kind, options.seed + number, cast, KINDS)
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
            shown = [event for event in row._failed() if kind.name == "pgsteady"][:4]
            for event in shown:
                print(f"    {event.client} {event.kind}: {event.answer.error} {event.answer.message} {event.answer.detail}", flush=True)
            for problem in row.problems + row.verdict.problems[:3]:
                print(f"    {problem}", flush=True)
    return f"""## Transactions

{EACH} clients each: autocommit reads, read transactions, autocommit inserts, and transfers that lock two of 20 accounts. Synchronous
standby. An error is anything but the expected answer; a phantom is an operation that was told of an error and has committed. Target
of pgsteady: no error that PostgreSQL's own rules do not force, nothing lost, doubled or a phantom, sums unchanged, and a p99 pause of
at most the server's downtime + 0.5 s.

{table(rows)}
"""
