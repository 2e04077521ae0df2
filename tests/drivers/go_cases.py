"""Go: lib/pq and pgx through database/sql, go/cases.go. Debian's packages, built without a network.

Not among the usual ones, since the toolchain is large: scripts/test --full runs them (`tests/drivers/run --go`). A case without
the toolchain or without a driver is left out with a line that says so.
"""

import os
import re
import shutil
from pathlib import Path

from lib.processes import REPOSITORY, run
from lib.suite import Skip

SOURCE = Path(__file__).with_name("go") / "cases.go"
PACKAGES = Path("/usr/share/gocode/src/github.com")
BUILT = REPOSITORY / "build" / "go-driver"
DRIVERS = ("pq", "pgx")


def ready(_):
    if not shutil.which("go") or not (PACKAGES / "lib/pq").exists() or not (PACKAGES / "jackc/pgx").exists():
        raise Skip("no Go with lib/pq and pgx: scripts/install-deps go installs them")
    BUILT.mkdir(parents=True, exist_ok=True)
    run(["go", "build", "-o", BUILT / "cases", SOURCE], timeout=220,
        env={**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOCACHE": str(BUILT / "cache"), "GOFLAGS": "-p=2"})


def _case(driver, name):
    def case(endpoint):
        ready(endpoint)
        run([BUILT / "cases", driver, name], env=endpoint.environment(), timeout=50)
    case.__name__ = f"{driver}_{name}"
    return case


def _names():
    return re.findall(r'^\t"(\w+)":', SOURCE.read_text(), re.MULTILINE)


CASES = [ready] + [_case(driver, name) for driver in DRIVERS for name in _names()]
