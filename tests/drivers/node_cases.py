"""node pg: node/cases.js, one process per case, with packages installed outside of the source tree."""

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
    for name in ("cases.js", "pool.js", "package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, INSTALLED)
    if not done.exists() or done.read_text() != lock:
        run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=INSTALLED, timeout=240)
        done.write_text(lock)


def _case(name):
    def case(endpoint):
        run(["node", "cases.js", name], cwd=INSTALLED, env=endpoint.environment(), timeout=60)
    case.__name__ = name
    return case


def _names():
    """The case names of cases.js: its methods of `cases`, two blanks deep."""
    return re.findall(r"^  async (\w+)\(\) \{$", (SOURCE / "cases.js").read_text(), re.MULTILINE)


CASES = [install] + [_case(name) for name in _names()]
