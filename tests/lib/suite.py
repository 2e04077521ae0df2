"""The runner that all system suites share: named cases, a deadline for each, one line per case, a last line for CI.

    suite = Suite("system", sys.argv)
    @suite.case
    def cancel_while_running(): ...
    sys.exit(suite.run())
"""

import argparse
import os
import signal
import sys
import time
import traceback

from .deadline import Timeout

CASE_SECONDS = 90


class Skip(Exception):
    """The case cannot apply here; it counts neither way and its reason is printed."""


class Suite:
    """Collects cases and cleanups. Cleanups run in reverse order, also after failures and signals."""

    def __init__(self, name, argv, options=None):
        parser = argparse.ArgumentParser(prog=f"tests/{name}/run")
        parser.add_argument("-k", metavar="TEXT", action="append", default=[], help="only cases whose name has TEXT")
        parser.add_argument("--list", action="store_true", help="print the names and stop")
        if options:
            options(parser)
        self.options = parser.parse_args(argv[1:])
        self.name = name
        self._cases, self._cleanups, self._on_failure = [], [], []
        self.passed, self.failed = 0, 0

    def case(self, function, name=None):
        self._cases.append((name or function.__name__, function))
        return function

    def cleanup(self, function):
        self._cleanups.append(function)

    def on_failure(self, function):
        """`function()` returns text to print below each failure, for example the tail of a log."""
        self._on_failure.append(function)

    def wanted(self, name):
        return not self.options.k or any(text in name for text in self.options.k)

    def run(self, prepare=None):
        """Runs everything; returns the exit code."""
        if self.options.list:
            print("\n".join(name for name, _ in self._cases))
            return 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._interrupted)
        signal.signal(signal.SIGALRM, self._too_long)
        try:
            if prepare:
                self._attempt("prepare", prepare, count=False)
            if not self.failed:
                for name, function in self._cases:
                    if self.wanted(name):
                        self._attempt(name, function)
        finally:
            self._clean_up()
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0

    def _attempt(self, name, function, count=True):
        started = time.monotonic()
        signal.alarm(CASE_SECONDS)
        try:
            function()
            problem = None
        except Skip as reason:
            print(f"skip  {name}: {reason}", flush=True)
            return
        except Exception as caught:                                # noqa: every failure of a case is its result
            problem = caught
        finally:
            signal.alarm(0)
        took = time.monotonic() - started
        if problem is None:
            self.passed += count
            if count:
                print(f"ok    {name} ({took:.2f} s)", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {name} ({took:.2f} s)", flush=True)
            self._explain(problem)

    def _explain(self, problem):
        print(_indent(_describe(problem)))
        for more in self._on_failure:
            try:
                text = more()
            except Exception as caught:                            # noqa: a log that is gone must not hide the failure
                text = f"({caught})"
            if text:
                print(_indent(text))
        sys.stdout.flush()

    def _clean_up(self):
        signal.alarm(0)
        for function in reversed(self._cleanups):
            try:
                function()
            except Exception as problem:                           # noqa: the other cleanups must still run
                self.failed += 1
                print(f"FAIL  cleanup\n{_indent(_describe(problem))}", flush=True)

    def _interrupted(self, number, _):
        for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        print(f"interrupted by {signal.Signals(number).name}", flush=True)
        self._clean_up()
        os._exit(1)

    @staticmethod
    def _too_long(*_):
        raise Timeout(f"the case took longer than {CASE_SECONDS} s")


def _describe(problem):
    if isinstance(problem, Report):
        return str(problem)
    return "".join(traceback.format_exception(problem)).rstrip()


class Report(AssertionError):
    """A failure whose text says everything; no stack trace is printed."""


def _indent(text):
    return "\n".join("      " + line for line in str(text).splitlines())
