"""Thousands of clients whose writes wait through an outage: all are served, once, and the server is not overrun."""

import held
from lib import messages as msg

CLIENTS = 5000
FIRST = 4                     # hold.ramp: 4 connections in the first 100 ms, then 8, 16, …
OTHERS = 4                    # the monitor's, and the replication's


def check(facts, count, first=FIRST):
    """Nobody lost, nobody told an error, and at each moment no more connections than the ramp has let go."""
    assert (facts["errors"], facts["lost"], facts["unanswered"]) == ([], 0, 0), facts
    assert facts["rows"] == count, facts
    so_far = 0
    for number, new in enumerate(facts["buckets"]):
        so_far += new
        allowed = first * (2 ** (number + 2) - 1) + OTHERS          # what is counted from may lie anywhere in a step
        assert so_far <= allowed, f"{so_far} connections within {100 * (number + 1)} ms, {allowed} are allowed: {facts}"


def five_thousand_are_released_in_a_ramp(rig):
    """T26"""
    facts = held.release(rig, CLIENTS, 1.5, hold={"ramp": FIRST, "max_clients": CLIENTS}, pool={"size": 40, "max_overflow": 0})
    check(facts, CLIENTS)


def a_stampede_is_seen(_):
    """The check itself."""
    facts = {"errors": [], "lost": 0, "unanswered": 0, "rows": 9}
    check({**facts, "buckets": [8, 8, 14]}, 9)
    for wrong in ({"buckets": [40]}, {"buckets": [], "lost": 1}, {"buckets": [], "rows": 8}, {"buckets": [2], "errors": ["57P03"]}):
        try:
            check({**facts, **wrong}, 9)
        except AssertionError:
            continue
        raise AssertionError(f"{wrong} passed")


def a_notice_is_no_error(_):
    """Who waits for five seconds is told so."""
    notice = msg.message("N", b"SNOTICE\0C00000\0Mwaiting for a primary\0\0")
    error = msg.message("E", b"SERROR\0C57P03\0Mno server available\0\0")
    done = msg.message("C", b"INSERT 0 1\0") + held.READY
    assert held.errors_in(notice + done) == [] and held.errors_in(notice + error + held.READY) == ["57P03"]


CASES = [five_thousand_are_released_in_a_ramp, a_stampede_is_seen, a_notice_is_no_error]
