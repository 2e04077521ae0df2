"""Drivers at work at the same time while PostgreSQL restarts and fails over: readers see nothing, writers the truth, nobody is lost.

One scene for all of them, since a scene costs more than a driver. Each one's program retries nothing; pools.py says what is
asked of them.
"""

import select
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2

import cpp_cases
import node_cases
import perl_cases
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.suite import Skip
from pools import DATABASE, TOLD_TO_WRITERS, Program, judge_rows, stage

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


class Listener:
    """psycopg2 with a LISTEN that shares its connection (D18): it hears again after each outage, and is told of the gap."""

    def __init__(self, scene):
        self._scene = scene
        self._connection = psycopg2.connect(host="127.0.0.1", port=scene.proxy.port, user="app", password=PASSWORD,
                                            dbname=DATABASE, sslmode="disable")
        self._connection.autocommit = True
        self._connection.cursor().execute("listen drivers")

    def close(self):
        self._connection.close()

    def hears(self, word):
        """What is notified while nobody listens is lost, so it is said until it is heard."""
        def heard():
            self._scene.primary.sql(f"notify drivers, '{word}'", DATABASE)
            select.select([self._connection], [], [], 0.1)
            self._connection.poll()
            return any(each.payload == word for each in self._connection.notifies)
        eventually(heard, f"{word} is heard", 20)

    def was_told(self):
        return any("notifications may have been lost" in each for each in self._connection.notices)


def drivers_go_on_through_a_restart_and_a_failover(_):
    """F4 and F9"""
    with stage() as scene, ExitStack() as stack:
        listener = stack.enter_context(closing(Listener(scene)))
        listener.hears("before")
        programs = {name: stack.enter_context(Program(command, scene, node_cases.INSTALLED))
                    for name, command in _available().items()}
        for harm in (scene.restart_fast, scene.fail_over):
            for program in programs.values():
                program.goes_on()
            harm()
            listener.hears(harm.__name__)
        assert listener.was_told()
        for program in programs.values():
            program.goes_on()
        answers = {name: program.stop() for name, program in programs.items()}
        _judge(scene.rows(), answers)


CASES = [drivers_go_on_through_a_restart_and_a_failover]
