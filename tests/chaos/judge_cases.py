"""The judge finds what is wrong: each kind of lie, made up, is seen, and the truth passes."""

from collections import Counter

from cycles import APPEND, FORBIDDEN, READ, Transaction, judge_lists
from executions import MOST_REPLAYS, Executions, judge_executions
from history import OK, Event, History, judged
from invariants import Verdict, judge_comfort, judge_effects, judge_own_writes
from faults import Expect
from modes import longest

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


def what_nobody_replicated_is_counted_apart():
    """F8: an acknowledgement is lost by design only from the moment on at which the standby was cut off."""
    history, verdict = History(), Verdict()
    history.unreplicated = (1.0, 2.0)
    for seq, ended in ((1, 0.5), (2, 1.5), (3, 2.5)):
        history.events.append(Event("c", "log", ("c", seq, 1), 0.0, ended, OK))
    judge_effects(history, {}, verdict)
    assert (verdict.lost, verdict.unreplicated) == (2, 1)


def a_forgotten_write_of_ones_own_is_seen():
    for unreplicated, found, problems in ((None, {}, 1), ((0, 9), {}, 0), ((0, 9), {("c", 5): 1}, 1)):
        history, verdict = History(), Verdict()
        history.unreplicated = unreplicated
        history.stale.append(("c", 4, 6))
        judge_own_writes(history, found, verdict)
        assert len(verdict.problems) == problems, (unreplicated, found)


def on_lists(final, *transactions, level="serializable"):
    """What the judge says of (name, outcome, steps): ("a", 1) appends value a to list 1, (1, "ab") reads a and b there."""
    made = []
    for name, outcome, *steps in transactions:
        made.append(Transaction(name, level, tuple(
            (APPEND, step[1], step[0]) if isinstance(step[0], str) else (READ, step[0], tuple(step[1])) for step in steps),
            outcome))
    return [text.split(":")[0] for text in judge_lists(made, {key: tuple(values) for key, values in final.items()})]


def an_order_is_found_where_there_is_one():
    fine = (("A", "ok", ("a", 1), ("x", 2)), ("B", "ok", (1, "a"), ("b", 1)), ("C", "ok", (1, "ab"), (2, "x")),
            ("D", "rolled_back", ("d", 1), (1, "abd")), ("U", "unknown", ("u", 2)), ("V", "unknown", ("v", 2)))
    for level in FORBIDDEN:
        assert on_lists({1: "ab", 2: "xu"}, *fine, level=level) == [], level


def each_anomaly_is_seen_and_only_where_it_is_forbidden():
    cases = {
        # Two transactions appended to two lists in opposite orders.
        "I5 G0": ({1: "ab", 2: "yx"}, ("A", "ok", ("a", 1), ("x", 2)), ("B", "ok", ("b", 1), ("y", 2))),
        # Each has read what the other appended.
        "I5 G1c": ({1: "a", 2: "y"}, ("A", "ok", ("a", 1), (2, "y")), ("B", "ok", ("y", 2), (1, "a"))),
        # Lost update: both have read the empty list before either appended.
        "I5 G-single": ({1: "ab"}, ("A", "ok", (1, ""), ("a", 1)), ("B", "ok", (1, ""), ("b", 1))),
        # Write skew.
        "I5 G2": ({1: "a", 2: "y"}, ("A", "ok", (2, ""), ("a", 1)), ("B", "ok", (1, ""), ("y", 2))),
    }
    for level, forbidden in FORBIDDEN.items():
        for name, (final, *transactions) in cases.items():
            wanted = [name] if name.split()[1] in forbidden else []
            assert on_lists(final, *transactions, level=level) == wanted, (level, name)
    # A snapshot that shows one half of a transaction: not above READ COMMITTED.
    half = ({1: "a", 2: "x"}, ("A", "ok", ("a", 1), ("x", 2)), ("B", "ok", (1, "a"), (2, "")))
    assert on_lists(*half) == ["I5 G-single"] and on_lists(*half, level="read committed") == []
    # Three around the corner, one of whom only reads.
    three = ({1: "a", 2: "b"}, ("A", "ok", (2, ""), ("a", 1)), ("B", "ok", ("b", 2)), ("C", "ok", (2, "b"), (1, "")))
    assert on_lists(*three) == ["I5 G2"]


def reads_of_what_never_was_are_seen():
    assert on_lists({1: "a"}, ("A", "ok", ("a", 1)), ("B", "rolled_back", ("b", 1)), ("C", "ok", (1, "ab"))) \
        == ["I5 G1a", "I5 C read ['a', 'b'] from 1, which is no beginning of ('a',)"]
    assert on_lists({1: "ab"}, ("A", "ok", ("a", 1), ("b", 1)), ("C", "ok", (1, "a")))[0] == "I5 G1b"
    assert on_lists({1: "ab"}, ("A", "ok", ("a", 1), (1, "")), ("B", "ok", ("b", 1)))[0] == "I5 internal"
    assert on_lists({1: ""}, ("A", "ok", ("a", 1))) == ["I1 lost"]
    assert on_lists({1: "aa"}, ("A", "ok", ("a", 1))) == ["I3 doubled"]
    assert on_lists({1: "a"}, ("A", "rolled_back", ("a", 1))) == ["I2 wrong"]
    assert on_lists({1: "z"}) == ["I3 z stands in list 1, and nobody asked for it"]


def a_mode_is_known_from_the_log():
    """However short it was; None: it never was."""
    lines = [f"2026-01-01 00:00:{at} warning cluster: mode_changed: {text}" for at, text in
             (("00.100", "normal -> holding: it was lost"), ("00.137", "holding -> normal"), ("02.000", "normal -> read_only"),
              ("05.500", "read_only -> normal"))]
    assert longest("holding", lines) == 0.037 and longest("read_only", lines) == 3.5
    assert longest("holding", lines[:1]) == 0.0 and longest("offline", lines) is None


HEAD = "2026-01-01 00:00:00.%03d UTC [%d] app@chaos chaos "
INSERT = "statement: insert into chaos_log values ('c', 1, 1)"


def logged(*lines, pid=7):
    return Executions(HEAD % (number, pid) + line for number, line in enumerate(lines))


def on_executions(found, *events):
    """What the judge says of (kind, key, answer) events."""
    history, verdict = History(), Verdict()
    for kind, key, answer in events:
        history.add("c", kind, key, 0.0, answer)
    judge_executions(history, found, verdict)
    return verdict.problems


def executions_are_counted_in_every_form():
    """Simple, in a string, prepared with its parameters in the next line; of other users none."""
    found = logged(f"LOG:  {INSERT}; insert into chaos_log values ('c', 1, 2)",
                   "LOG:  execute pgsteady_0_1: insert into chaos_log values ($1, $2::int, $3::int)",
                   "DETAIL:  parameters: $1 = 'd', $2 = '5', $3 = '1'", "LOG:  statement: call chaos_steps('c', 2, 3)",
                   "LOG:  statement: select 'awake'")
    assert found.rows == {("c", 1, 1): 1, ("c", 1, 2): 1, ("d", 5, 1): 1}, found.rows
    assert found.calls == {("c", 2): 1} and found.texts["idler"] == 1
    others = Executions([(HEAD % (0, 7)).replace("app@", "postgres@") + f"LOG:  {INSERT}"])
    assert not others.rows


def a_write_that_began_too_often_is_seen():
    """In a string once; alone as often as it may be given again (2.4)."""
    twice = logged(f"LOG:  {INSERT}", f"LOG:  {INSERT}")
    for answer in (OK, UNKNOWN, ROLLED_BACK):
        assert on_executions(twice, ("script", ("c", 1, 1), answer)), answer
    assert not on_executions(logged(f"LOG:  {INSERT}"), ("script", ("c", 1, 1), OK))
    for count, problems in ((1, 0), (1 + MOST_REPLAYS, 0), (2 + MOST_REPLAYS, 1)):
        assert len(on_executions(logged(*[f"LOG:  {INSERT}"] * count), ("log", ("c", 1, 1), OK))) == problems, count
    assert on_executions(logged("LOG:  statement: call chaos_steps('c', 2, 3)", "LOG:  statement: call chaos_steps('c', 2, 3)"),
                         ("call", ("c", 2, 3), UNKNOWN))


def a_refused_write_did_not_begin():
    """D21: the server said that it is read-only; another one may be asked."""
    refused = logged(f"LOG:  {INSERT}", "ERROR:  cannot execute INSERT in a read-only transaction", f"LOG:  {INSERT}")
    assert not on_executions(refused, ("log", ("c", 1, 1), OK))


def an_acknowledgement_without_an_execution_is_seen():
    assert on_executions(logged(), ("log", ("c", 1, 1), OK))


def amplified_reads_are_seen():
    """T27"""
    asked = [("idler", None, OK)] * 1000
    for count, problems in ((1100, 0), (1101, 1)):
        assert len(on_executions(logged(*["LOG:  statement: select 'awake'"] * count), *asked)) == problems, count


def a_storm_of_connections_is_seen():
    for count, problems in ((100, 0), (101, 1)):
        lines = [f"2026-01-01 00:00:0{1 + number // 100}.{number % 100:03} UTC [1] [unknown]@[unknown] [unknown] "
                 "LOG:  connection received: host=127.0.0.1 port=1" for number in range(100)]
        lines += lines[:count - 100]
        assert len(on_executions(Executions(lines))) == problems, count


CASES = [the_truth_passes, a_lost_acknowledgement_is_seen, a_doubled_effect_is_seen, a_broken_promise_is_seen,
         half_a_transaction_is_seen, an_effect_without_a_request_is_seen,
         a_sqlstate_that_contradicts_its_outcome_is_seen, what_nobody_replicated_is_counted_apart,
         a_forgotten_write_of_ones_own_is_seen, an_order_is_found_where_there_is_one,
         each_anomaly_is_seen_and_only_where_it_is_forbidden, reads_of_what_never_was_are_seen, discomfort_is_seen, executions_are_counted_in_every_form,
         a_write_that_began_too_often_is_seen, a_mode_is_known_from_the_log, a_refused_write_did_not_begin, an_acknowledgement_without_an_execution_is_seen,
         amplified_reads_are_seen, a_storm_of_connections_is_seen]
