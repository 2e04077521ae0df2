#!/usr/bin/env python3
"""Counts what CTest ran: `count_ctest.py JUNIT_FILE` prints "<passed> <failed>".

A doctest binary counts as its test cases, anything else as one. A binary that fails without a failed test case (a
sanitizer's report, a crash before the summary) counts as one failure more: it must never look like a success.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

CASES = re.compile(r"\[doctest\] test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed")


def count(case: ElementTree.Element) -> tuple[int, int]:
    succeeded = case.get("status") == "run"
    found = CASES.search(case.findtext("system-out") or "")
    if not found:
        return (1, 0) if succeeded else (0, 1)
    passed, failed = map(int, found.groups())
    return passed, failed if succeeded else max(failed, 1)


def main() -> None:
    counts = [count(case) for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase")]
    print(sum(passed for passed, _ in counts), sum(failed for _, failed in counts))


if __name__ == "__main__":
    main()
