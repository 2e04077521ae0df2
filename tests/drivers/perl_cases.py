"""DBD::Pg: perl/cases.pl, one process per case."""

import re
import subprocess
from pathlib import Path

from lib.processes import run
from lib.suite import Skip

SOURCE = Path(__file__).with_name("perl")


def check_installed():
    """Only this decides that there is no driver; a case that dies of anything else has failed."""
    if subprocess.run(["perl", "-MDBD::Pg", "-e", "1"], capture_output=True, check=False).returncode:
        raise Skip("no DBD::Pg: scripts/install-deps test installs it")


def _case(name):
    def case(endpoint):
        check_installed()
        run(["perl", SOURCE / "cases.pl", name], env=endpoint.environment(), timeout=50)
    case.__name__ = name
    return case


def _names():
    """The keys of %cases in cases.pl, four blanks deep."""
    return re.findall(r"^    (\w+) => sub \{$", (SOURCE / "cases.pl").read_text(), re.MULTILINE)


CASES = [_case(name) for name in _names()]
