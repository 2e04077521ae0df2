"""The judge: holds what clients were told against what the database has. Returns sentences, none when all is well.

I1 acknowledged means exactly one effect; I2 a promise of no effect is kept; I3 unknown means none or one; I4 the
accounts add up; I5 transactions admit an order; I6 and I8 are judged by the workloads; I7 the grammar, by the raw clients; I9 executions and
connections stay in proportion; I10 an outage is a pause; I12 descriptors return.
"""

from collections import Counter, defaultdict

from cycles import APPEND, judge_lists
from history import NO_EFFECT, contradiction
from workloads import FILLER, SMALL_READS

SHOWN = 6
WRITES = {"log", "log-tx", "transfer", "copy-in", "pipeline", "deferred", "script", "call", "script-commit", "bulk-in"}
NOT_ATOMIC = {"call", "script-commit"}             # several transactions in one statement: a prefix may stay


class Verdict:
    """Sentences by rule, and the counts that a report shows."""

    def __init__(self):
        self.problems = []
        self.lost = self.doubled = self.wrong = 0
        self.unreplicated = 0            # acknowledgements that went with a primary that nobody replicated (F8)

    def say(self, text):
        self.problems.append(text)


def effects(rig):
    """{(client, seq): Counter of parts}"""
    found = defaultdict(Counter)
    for client, seq, part, count in rig.sql(
            f"select client, seq, part, count(*) from chaos_log where client <> '{FILLER}' group by 1, 2, 3"):
        found[client, int(seq)][int(part)] = int(count)
    for client, seq, rows, most in rig.sql("select client, seq, count(*), max(count) from (select client, seq, part, count(*) "
                                           "from chaos_bulk group by 1, 2, 3) parts group by 1, 2"):
        found[client, int(seq)] = Whole(int(rows), int(most))
    return found


class Whole(Counter):
    """The parts 1 to `rows`, each at most `times`, of an operation that has too many to name them all."""

    def __init__(self, rows, times):
        super().__init__({1: times})
        self._rows = rows

    def __missing__(self, part):
        return int(1 <= part <= self._rows)


def judge_effects(history, found, verdict):
    """I1, I2, I3."""
    known = set()
    for event in history.events:
        if contradiction(event.answer):
            verdict.wrong += 1
            verdict.say(f"I2 {event.client} {event.kind}: {contradiction(event.answer)}: {event.answer.message}")
        if event.kind not in WRITES:
            continue
        client, seq, parts = event.key
        known.add((client, seq))
        rows = found.get((client, seq), Counter())
        complete = all(rows[part] for part in range(1, parts + 1))
        what = f"{client} {event.kind} {seq}: answered {describe(event.answer)}; the database has " \
               f"{sum(rows.values())} rows of {parts}"
        outcome = event.answer.outcome
        if any(count > 1 for count in rows.values()):
            verdict.doubled += 1
            verdict.say(f"I3 doubled: {what}")
        elif outcome in ("ok", "committed") and not rows and history.may_be_lost(event):
            verdict.unreplicated += 1
        elif outcome in ("ok", "committed") and not complete:
            verdict.lost += 1
            verdict.say(f"I1 lost: {what}")
        elif outcome in NO_EFFECT and rows and event.kind not in NOT_ATOMIC:
            verdict.wrong += 1
            verdict.say(f"I2 wrong: {what}")
        elif rows and not complete and event.kind not in NOT_ATOMIC:
            verdict.wrong += 1
            verdict.say(f"I1 torn: {what}")
    for client, seq in set(found) - known:
        verdict.doubled += 1
        verdict.say(f"I3 {client} {seq}: in the database, and nobody asked for it")


def describe(answer):
    return "ok" if answer.outcome == "ok" else \
        f"{answer.outcome} ({answer.sqlstate or 'connection lost'} {answer.message[:80]!r})"


def judge_bank(rig, verdict):
    """I4, in the end."""
    total, rows = rig.sql("select sum(balance), count(*) from accounts")[0]
    if (total, rows) != ("20000", "20"):
        verdict.say(f"I4 the accounts hold {total} in {rows} rows")


def lists(rig):
    """{key: values} of W3."""
    return {int(key): tuple(values.split(",")) if values else ()
            for key, values in rig.sql("select k, array_to_string(v, ',') from lists")}


def judge_order(history, final, verdict):
    """I5. What went with an unreplicated primary, and who has seen it, is left out."""
    there = {value for values in final.values() for value in values}
    gone = {value for each in history.transactions for step, _, value in each.steps
            if step == APPEND and value not in there} if history.unreplicated else set()
    for text in judge_lists([each for each in history.transactions if not gone & mentioned(each)], final):
        verdict.say(text)


def mentioned(transaction):
    """All values that it has appended or read."""
    return {value for step, _, said in transaction.steps for value in ((said,) if step == APPEND else said)}


def judge_own_writes(history, found, verdict):
    """W10: a read that shows less than its client knew of; what went with an unreplicated primary is nobody's lie."""
    for client, read, known in history.stale:
        if not history.unreplicated or any((client, seq) in found for seq in range(read + 1, known + 1)):
            verdict.say(f"I10 {client} knew of {known} and read {read}")


def judge_comfort(history, expect, verdict):
    """I10: what an outage may cost."""
    if expect.clean_reads:
        errors = [event for event in history.events if event.kind in SMALL_READS and event.answer.error
                  and event.answer.sqlstate not in expect.errors_allowed]
        cut = [event for event in errors if event.answer.sqlstate == "08006" and "could not be resumed" in event.answer.message]
        if len(cut) <= expect.cut_reads:
            errors = [event for event in errors if event not in cut]
        if errors:
            verdict.say(f"I10 {len(errors)} of {history.count(SMALL_READS)} small reads saw an error: "
                        + kinds(errors))
    if expect.keeps_clients:
        lost = history.disconnects(but_not=("pinned", "pin"))
        if lost:
            verdict.say(f"I10 {len(lost)} clients were disconnected: {kinds(lost)}; first "
                        f"{lost[0].client} in {lost[0].kind}: {lost[0].answer.message[:200]!r} "
                        f"{lost[0].answer.detail[:120]!r}")
        for event in history.disconnects():
            if event.kind in ("pinned", "pin") and event.answer.sqlstate != "08006" \
                    and "cannot be restored" not in event.answer.message:
                verdict.say(f"I10 a pinned session ended with {describe(event.answer)}, and R12 (08006) is due")
    if expect.clean_sign_ins and history.sign_in_errors:
        _, client, text = history.sign_in_errors[0]
        verdict.say(f"I10 {len(history.sign_in_errors)} sign-ins failed; first {client}: {text[:200]}")
    if not expect.may_cancel:
        cancelled = [event for event in history.events if event.answer.sqlstate == "57014"]
        if cancelled:
            verdict.say(f"I10 {len(cancelled)} statements were cancelled, and nobody asked for it")


def kinds(events):
    counts = Counter((event.kind, event.answer.error) for event in events)
    return ", ".join(f"{count} x {error} in {kind}" for (kind, error), count in counts.most_common(SHOWN))


def judge_all(rig, history, expect):
    verdict = Verdict()
    for text in history.violations:
        verdict.say(text)
    judge_effects(history, effects(rig), verdict)
    judge_bank(rig, verdict)
    judge_order(history, lists(rig), verdict)
    judge_own_writes(history, effects(rig), verdict)
    judge_comfort(history, expect, verdict)
    return verdict


def shown(problems):
    """A list for a person: at most SHOWN sentences per rule."""
    by_rule = defaultdict(list)
    for text in problems:
        by_rule[" ".join(text.split()[:2])[:12]].append(text)
    lines = []
    for texts in by_rule.values():
        lines += texts[:SHOWN]
        if len(texts) > SHOWN:
            lines.append(f"… and {len(texts) - SHOWN} more like it")
    return "\n".join(lines)
