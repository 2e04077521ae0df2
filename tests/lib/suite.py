"""The runner that all system suites share: named cases, a deadline for each, one line per case, a last line for CI.

    suite = Suite("system", sys.argv)
    @suite.case
    def cancel_while_running(): ...
    sys.exit(suite.run())
"""

import argparse
import faulthandler
import os
import select
import signal
import sys
import time
import traceback

from .deadline import Timeout

CASE_SECONDS = 60
GRACE_SECONDS = 10
SKIPPED = "skipped: "                                              # how a fork says so


class Skip(Exception):
    """The case cannot apply here; it counts neither way and its reason is printed."""


class Suite:
    """Collects cases and cleanups. Cleanups run in reverse order, also after failures and signals.

    With `isolate` every case runs in a fork, which can be killed: drivers may block where no signal reaches them.
    """

    def __init__(self, name, argv, options=None, isolate=False):
        parser = argparse.ArgumentParser(prog=f"tests/{name}/run")
        parser.add_argument("-k", metavar="TEXT", action="append", default=[], help="only cases whose name has TEXT")
        parser.add_argument("--list", action="store_true", help="print the names and stop")
        if options:
            options(parser)
        self.options = parser.parse_args(argv[1:])
        self.name = name
        self._isolate = isolate
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
                        self._attempt(name, _forked(function) if self._isolate else function)
        finally:
            self._clean_up()
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0

    def _attempt(self, name, function, count=True):
        started = time.monotonic()
        signal.alarm(CASE_SECONDS)
        faulthandler.dump_traceback_later(CASE_SECONDS + 2 * GRACE_SECONDS, exit=True)
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
            faulthandler.cancel_dump_traceback_later()
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


def _forked(function):
    """The case as a child process whose failure text comes back through a pipe."""
    def case():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _in_child(function, writer)
        os.close(writer)
        signal.alarm(CASE_SECONDS + GRACE_SECONDS)
        try:
            text = _read_all(reader, CASE_SECONDS + GRACE_SECONDS / 2)
        finally:
            os.close(reader)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if text.startswith(SKIPPED):
            raise Skip(text.removeprefix(SKIPPED))
        if text != "passed":
            raise Report(text or "the case died without a word")
    return case


def _in_child(function, writer):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(CASE_SECONDS)
    try:
        function()
        text = "passed"
    except Skip as reason:
        text = f"{SKIPPED}{reason}"
    except BaseException as problem:                               # noqa: the parent reports it
        text = _describe(problem)
    os.write(writer, text.encode(errors="replace")[:60000])
    os._exit(0)


def _read_all(reader, seconds):
    if not select.select([reader], [], [], seconds)[0]:
        return "the case hangs and was killed"
    return os.read(reader, 65536).decode(errors="replace")


def _describe(problem):
    if isinstance(problem, Report):
        return str(problem)
    return "".join(traceback.format_exception(problem)).rstrip()


class Report(AssertionError):
    """A failure whose text says everything; no stack trace is printed."""


def _indent(text):
    return "\n".join("      " + line for line in str(text).splitlines())
