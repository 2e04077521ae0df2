"""The judge finds what is wrong: each kind of lie, made up, is seen, and the truth passes."""

from collections import Counter

from history import OK, History, judged
from invariants import Verdict, judge_comfort, judge_effects
from faults import Expect

UNKNOWN = judged("40003", "lost", "outcome=unknown incident=1", False)
ROLLED_BACK = judged("40001", "lost", "outcome=rolled_back incident=1", False)
COMMITTED = judged("08007", "lost", "outcome=committed incident=1", False)
GONE = judged("", "server closed the connection", "", True)


def verdict_on(answer, rows, kind="log-tx", parts=2):
    """What the judge says when one write of `parts` rows was answered so and the database has `rows`."""
    history, verdict = History(), Verdict()
    history.add("c", kind, ("c", 1, parts), 0.0, answer)
    judge_effects(history, {("c", 1): Counter(rows)} if rows else {}, verdict)
    return verdict.lost, verdict.doubled, verdict.wrong


def the_truth_passes():
    whole = {1: 1, 2: 1}
    for answer, rows in ((OK, whole), (COMMITTED, whole), (UNKNOWN, whole), (UNKNOWN, {}), (GONE, whole), (GONE, {}),
                         (ROLLED_BACK, {})):
        assert verdict_on(answer, rows) == (0, 0, 0), (answer, rows)


def a_lost_acknowledgement_is_seen():
    assert verdict_on(OK, {}) == (1, 0, 0)
    assert verdict_on(OK, {1: 1}) == (1, 0, 0)
    assert verdict_on(COMMITTED, {}) == (1, 0, 0)


def a_doubled_effect_is_seen():
    for answer in (OK, UNKNOWN, ROLLED_BACK, GONE):
        assert verdict_on(answer, {1: 2, 2: 2}) == (0, 1, 0), answer
    assert verdict_on(OK, {1: 1, 2: 2}) == (0, 1, 0)


def a_broken_promise_is_seen():
    assert verdict_on(ROLLED_BACK, {1: 1, 2: 1}) == (0, 0, 1)
    assert verdict_on(judged("57P03", "no server", "", False), {1: 1, 2: 1}) == (0, 0, 1)
    assert verdict_on(judged("23505", "duplicate", "", False), {1: 1, 2: 1}) == (0, 0, 1)


def half_a_transaction_is_seen():
    assert verdict_on(UNKNOWN, {1: 1}) == (0, 0, 1)
    assert verdict_on(UNKNOWN, {1: 1}, kind="call") == (0, 0, 0)


def an_effect_without_a_request_is_seen():
    verdict = Verdict()
    judge_effects(History(), {("c", 9): Counter({1: 1})}, verdict)
    assert verdict.doubled == 1


def a_sqlstate_that_contradicts_its_outcome_is_seen():
    assert verdict_on(judged("40001", "lost", "outcome=unknown incident=1", False), {}) == (0, 0, 1)
    assert verdict_on(judged("08007", "lost", "outcome=rolled_back incident=1", False), {}) == (0, 0, 1)


def discomfort_is_seen():
    for kind, answer in (("read", UNKNOWN), ("log", GONE), ("log", judged("57014", "cancelled", "", False))):
        history, verdict = History(), Verdict()
        history.add("c", kind, ("c", 1, 1), 0.0, answer)
        judge_comfort(history, Expect(), verdict)
        assert verdict.problems, (kind, answer)


CASES = [the_truth_passes, a_lost_acknowledgement_is_seen, a_doubled_effect_is_seen, a_broken_promise_is_seen,
         half_a_transaction_is_seen, an_effect_without_a_request_is_seen,
         a_sqlstate_that_contradicts_its_outcome_is_seen, discomfort_is_seen]
