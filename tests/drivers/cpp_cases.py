"""libpqxx: cpp/cases.cpp, compiled outside of the source tree, one process per case."""

import re
from pathlib import Path

from lib.processes import REPOSITORY, run
from lib.suite import Skip

SOURCE = Path(__file__).with_name("cpp") / "cases.cpp"
BUILT = REPOSITORY / "build" / "libpqxx-driver"
PROGRAM = BUILT / "cases"


def check_installed():
    if not Path("/usr/include/pqxx/pqxx").exists():
        raise Skip("no libpqxx: scripts/install-deps test installs it")


def compiled(_):
    """Once per version of the source."""
    check_installed()
    BUILT.mkdir(parents=True, exist_ok=True)
    text, done = SOURCE.read_text(), BUILT / "compiled.cpp"
    if not PROGRAM.exists() or not done.exists() or done.read_text() != text:
        run(["g++", "-std=c++17", "-O0", "-pthread", SOURCE, "-o", PROGRAM, "-lpqxx", "-lpq"], timeout=50)
        done.write_text(text)


def _case(name):
    def case(endpoint):
        check_installed()
        # Version 6 keeps a log for its robust transactions, in a table that it makes itself.
        endpoint.admin_sql("grant create on schema public to app", endpoint.database)
        run([PROGRAM, name], env=endpoint.environment(), timeout=50)
    case.__name__ = name
    return case


def _names():
    """The table at the end of cases.cpp."""
    return re.findall(r'^    \{"(\w+)", \1\},$', SOURCE.read_text(), re.MULTILINE)


CASES = [compiled] + [_case(name) for name in _names()]
