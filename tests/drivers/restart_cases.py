"""Drivers at work at the same time while PostgreSQL restarts and fails over: readers see nothing, writers the truth, nobody is lost.

One scene for all of them, since a scene costs more than a driver. Each one's program retries nothing; pools.py says what is
asked of them.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

import cpp_cases
import node_cases
import perl_cases
from lib.suite import Skip
from pools import TOLD_TO_WRITERS, Program, judge_rows, stage

HERE = Path(__file__).parent


def _sqlalchemy():
    return [sys.executable, HERE / "python" / "sqlalchemy_work.py"]


def _perl():
    perl_cases.check_installed()
    return ["perl", HERE / "perl" / "work.pl"]


def _libpqxx():
    return [cpp_cases.compiled("work")]


def _node(driver):
    node_cases.install(None)
    return ["node", node_cases.INSTALLED / "work.js", driver]


COMMANDS = {"sqlalchemy": _sqlalchemy, "perl": _perl, "libpqxx": _libpqxx,
            "postgres_js": lambda: _node("postgres_js"), "knex": lambda: _node("knex")}


def _available():
    """{driver: command} of those that are installed."""
    found = {}
    for name, command in COMMANDS.items():
        try:
            found[name] = command()
        except Skip as reason:
            print(f"      without {name}: {reason}", flush=True)
    return found


def _judge(rows, answers):
    for name, told in answers.items():
        assert not told["reads"]["errors"], (name, told)
        assert set(told["writes"]["errors"]) <= TOLD_TO_WRITERS, (name, told)
    writes = [told["writes"] for told in answers.values()]
    judge_rows(rows, {"done": sum(each["done"] for each in writes),
                      "errors": {"08007": sum(each["errors"].get("08007", 0) for each in writes)}})


def drivers_go_on_through_a_restart_and_a_failover(_):
    """F4 and F9"""
    with stage() as scene, ExitStack() as stack:
        programs = {name: stack.enter_context(Program(command, scene, node_cases.INSTALLED))
                    for name, command in _available().items()}
        for harm in (scene.restart_fast, scene.fail_over):
            for program in programs.values():
                program.goes_on()
            harm()
        for program in programs.values():
            program.goes_on()
        answers = {name: program.stop() for name, program in programs.items()}
        _judge(scene.rows(), answers)


CASES = [drivers_go_on_through_a_restart_and_a_failover]
