#!/usr/bin/env python3
"""Each trap, T1 to T37 of recovery and P1 to P64 of the field, is named by a test: a gap in the proof cannot stay unseen.

    traps.py ROOT            one line per finding, the last line is their number; exit code 1 if there are any
    traps.py ROOT --table    which test names which

A name counts in the title of a C++ test case, and anywhere in a Python suite or a script of messages: cases say it in a
docstring, faults and workloads in what they are called or in the comment beside the check.
"""

import re
import sys
from pathlib import Path

TRAPS = [f"T{number}" for number in range(1, 38)] + [f"P{number}" for number in range(1, 65)]

# What no test shows, each with its reason; a trap that is named all the same must not stand here.
UNTESTED: dict[str, str] = {
    "P12": "no results are kept; what is learned of the catalogue is of one database and user",
}

TITLE = re.compile(r'TEST_CASE\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
NAME = re.compile(r"\b([TP])(\d+)(?:-[TP](\d+)| to [TP](\d+))?\b")


def named_in(text: str) -> set[str]:
    """T5; T4-T8 and P14 to P16 for all between."""
    found: set[str] = set()
    for kind, first, last, end in NAME.findall(text):
        found.update(f"{kind}{number}" for number in range(int(first), int(last or end or first) + 1))
    return found


def texts_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".cpp":
        return "\n".join(TITLE.findall(text)) if path.name.endswith("_test.cpp") else ""
    return text


def is_suite(path: Path) -> bool:
    if "tidy" in path.parts or "lib" in path.parts:
        return False
    is_script = path.suffix == ".txt" and path.parent.name in ("scripts", "scenarios")
    return is_script or path.suffix in (".cpp", ".py") or path.name == "run"


def table(root: Path) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {trap: [] for trap in TRAPS}
    for path in sorted((root / "tests").rglob("*")):
        if not path.is_file() or not is_suite(path.relative_to(root)):
            continue
        for trap in named_in(texts_of(path)):
            named.setdefault(trap, []).append(str(path.relative_to(root)))
    return named


def findings(named: dict[str, list[str]], untested: dict[str, str]) -> list[str]:
    found = []
    for trap, where in sorted(named.items()):
        if trap not in TRAPS:
            found.append(f"{where[0]}: there is no {trap}")
        elif where and trap in untested:
            found.append(f"{trap} is tested by {where[0]}: its excuse is none any more")
        elif not where and not untested.get(trap):
            found.append(f"{trap} is named by no test")
    return found


def main() -> int:
    named = table(Path(sys.argv[1]))
    if "--table" in sys.argv:
        for trap in TRAPS:
            print(f"{trap}: {', '.join(named[trap]) or UNTESTED.get(trap, 'nowhere')}")
    found = findings(named, UNTESTED)
    for each in found:
        print(each)
    print(f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
