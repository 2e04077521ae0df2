"""node's drivers: a file of cases each, one process per case, with packages installed outside of the source tree."""

import re
import shutil
from pathlib import Path

from lib.processes import REPOSITORY, run

SOURCE = Path(__file__).with_name("node")
INSTALLED = REPOSITORY / "build" / "node-driver"


def install(_):
    """npm ci into build/, once per version of the lock file."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    lock, done = (SOURCE / "package-lock.json").read_text(), INSTALLED / "installed-lock.json"
    for path in SOURCE.iterdir():
        shutil.copy(path, INSTALLED)
    if not done.exists() or done.read_text() != lock:
        run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=INSTALLED, timeout=240)
        done.write_text(lock)


def cases_of(file):
    """One for each method of the file's `cases`, two blanks deep."""
    names = re.findall(r"^  async (\w+)\(\) \{$", (SOURCE / file).read_text(), re.MULTILINE)
    return [_case(file, name) for name in names]


def _case(file, name):
    def case(endpoint):
        run(["node", file, name], cwd=INSTALLED, env=endpoint.environment(), timeout=50)
    case.__name__ = name
    return case


CASES = [install] + cases_of("cases.js")
