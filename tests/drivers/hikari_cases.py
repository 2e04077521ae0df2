"""HikariCP over pgjdbc: its connections outlive a restart and a failover, but for those it gives up on 08007 by itself.

Debian's packages; a case without a JVM or without them is left out with a line that says so. Not among the usual ones:
scripts/test --full runs them (`tests/drivers/run --jvm`).
"""

import shutil
from pathlib import Path

from lib.suite import Skip
from pools import STATES, evicts, outlives

SOURCE = Path(__file__).with_name("java")
JARS = Path("/usr/share/java")
WANTED = ("HikariCP", "postgresql", "slf4j-api", "slf4j-simple")
# What HikariCP takes for a broken connection: class 08, 57P01 to 57P03, 0A000.
EVICTING = {"08006", "08007", "57P02", "57P03", "0A000"}


def command(*options):
    jars = [JARS / f"{name}.jar" for name in WANTED]
    missing = [jar.name for jar in jars if not jar.exists()]
    if not shutil.which("javac") or missing:
        raise Skip("no JVM with HikariCP and pgjdbc: scripts/install-deps jvm installs them "
                   f"({', '.join(missing) or 'javac'} missing)")
    return ["java", "-Xmx128m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", *options, "-cp", ":".join(map(str, jars)),
            str(SOURCE / "PoolClient.java")]


def keeps_its_connections_through_a_fast_restart(_):
    """F4"""
    outlives(command(), SOURCE, "restart_fast", EVICTING)


def keeps_its_connections_through_a_failover(_):
    """F9: kill -9 of the primary and a promotion."""
    outlives(command(), SOURCE, "fail_over", EVICTING)


def keeps_its_connections_through_a_long_outage(_):
    """Longer than HikariCP's usual 5 s for a test, with the settings that the README gives for a hold_timeout of 30 s."""
    outlives(command("-Dpool.connectionTimeout=40000", "-Dpool.validationTimeout=35000"), SOURCE, "be_away", EVICTING)


def evicts_on_what_the_readme_says(_):
    """Each SQLSTATE arises once on a healthy connection."""
    assert evicts(command(), SOURCE) == {state: state in EVICTING for state in STATES}


CASES = [keeps_its_connections_through_a_fast_restart, keeps_its_connections_through_a_failover,
         keeps_its_connections_through_a_long_outage, evicts_on_what_the_readme_says]
