"""libpqxx: cpp/cases.cpp and cpp/work.cpp, compiled outside of the source tree, one process per case."""

import re
from pathlib import Path

from lib.processes import REPOSITORY, run
from lib.suite import Skip

SOURCE = Path(__file__).with_name("cpp")
BUILT = REPOSITORY / "build" / "libpqxx-driver"


def compiled(name):
    """The program of cpp/<name>.cpp; compiled once per version of it."""
    if not Path("/usr/include/pqxx/pqxx").exists():
        raise Skip("no libpqxx: scripts/install-deps test installs it")
    BUILT.mkdir(parents=True, exist_ok=True)
    source, program, done = SOURCE / f"{name}.cpp", BUILT / name, BUILT / f"{name}-compiled.cpp"
    if not program.exists() or not done.exists() or done.read_text() != source.read_text():
        run(["g++", "-std=c++17", "-O0", "-pthread", source, "-o", program, "-lpqxx", "-lpq"], timeout=50)
        done.write_text(source.read_text())
    return program


def ready(_):
    compiled("cases")
    compiled("work")


def _case(name):
    def case(endpoint):
        program = compiled("cases")
        # Version 6 keeps a log for its robust transactions, in a table that it makes itself.
        endpoint.admin_sql("grant create on schema public to app", endpoint.database)
        run([program, name], env=endpoint.environment(), timeout=50)
    case.__name__ = name
    return case


def _names():
    """The table at the end of cases.cpp."""
    return re.findall(r'^    \{"(\w+)", \1\},$', (SOURCE / "cases.cpp").read_text(), re.MULTILINE)


CASES = [ready] + [_case(name) for name in _names()]
