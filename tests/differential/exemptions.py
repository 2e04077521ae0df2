"""Reads the table of exceptions.md: where a pool mode is allowed to differ from PostgreSQL, and how.

The page is the only list; a row that matches no script is an error, so that it cannot go stale.
"""

import difflib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

PAGE = Path(__file__).with_name("exceptions.md")
EXPECTED = Path(__file__).with_name("expected")


@dataclass
class Exemption:
    """One row. `rule` is `skip`, `expected`, `undescribed`, or `fields SVC for 08P01 26000` (no `for`: every error)."""
    scripts: str
    modes: tuple
    rule: str
    reason: str

    def applies(self, script_name, mode):
        return fnmatch(script_name, self.scripts) and (self.modes == ("all",) or mode in self.modes)


def load(script_names):
    rows = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            row = Exemption(cells[0].strip("`"), tuple(cells[1].split()), cells[2].strip("`"), cells[3])
            if row.rule.split()[0] not in ("skip", "expected", "fields", "undescribed"):
                raise ValueError(f"exceptions.md: unknown rule {row.rule!r}")
            made_here = row.scripts == "random_*"  # conversations that run makes up as it goes
            if not made_here and not any(fnmatch(name, row.scripts) for name in script_names):
                raise ValueError(f"exceptions.md: {row.scripts} matches no script")
            rows.append(row)
    return rows


def error_filter(rows):
    """A function for player.render from the `fields` rows that apply."""
    by_state, everywhere = {}, None
    for row in rows:
        words = row.rule.split()
        if words[0] != "fields":
            continue
        if len(words) > 2:
            by_state.update({state: words[1] for state in words[3:]})
        else:
            everywhere = words[1]
    return lambda sqlstate: by_state.get(sqlstate, everywhere)


def expected_record(script_name):
    """What `expected/<script>.txt` says, line by line; its comments explain and do not count."""
    lines = (EXPECTED / f"{script_name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def record_expectation(script_name, title, lines):
    EXPECTED.mkdir(exist_ok=True)
    text = [f"# {title}", "# Differs from PostgreSQL as exceptions.md says.", "", *lines]
    (EXPECTED / f"{script_name}.txt").write_text("\n".join(text) + "\n")


def only_undescribed(expected, actual):
    """The records differ at most in descriptions: one is missing in front of an error, or 25P02 stands in its place."""
    def description(lines):
        said = [line.partition(" ")[2] for line in lines]
        return said[0].startswith("< ParameterDescription") and said[1:] in ([], ["< NoData"])

    def refusal(line):
        return " < ErrorResponse" in line

    for tag, a, b, c, d in difflib.SequenceMatcher(None, expected, actual, autojunk=False).get_opcodes():
        missing = tag == "delete" and d < len(actual) and refusal(actual[d])
        instead = tag == "replace" and d - c == 1 and refusal(actual[c]) and "C='25P02'" in actual[c]
        if tag != "equal" and not ((missing or instead) and description(expected[a:b])):
            return False
    return True


def without_login(lines):
    """A record without the messages of successful logins, which change with the server's version."""
    kept, in_login = [], False
    for line in lines:
        if line[2:].startswith(("< Authentication ", "< ParameterStatus ", "< BackendKeyData")):
            in_login = True
        else:
            if not (in_login and line[2:] == "< ReadyForQuery I"):
                kept.append(line)
            in_login = False
    return kept
