"""Reads the table of exceptions.md: where a pool mode is allowed to differ from PostgreSQL, and how.

The page is the only list; a row that matches no script is an error, so that it cannot go stale.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

PAGE = Path(__file__).with_name("exceptions.md")


@dataclass
class Exemption:
    """One row. `rule` is `skip`, `expected`, or `fields SVC for 08P01 26000` (no `for`: every error)."""
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
            if row.rule.split()[0] not in ("skip", "expected", "fields"):
                raise ValueError(f"exceptions.md: unknown rule {row.rule!r}")
            if not any(fnmatch(name, row.scripts) for name in script_names):
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
