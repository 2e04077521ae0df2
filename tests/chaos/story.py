"""One run of one fault: the clients start, the harm is done, the clients must recover, the judge looks.

Everything drawn comes from the seed. What happened when is kept and printed with a failure.
"""

import json
import os
import random
import shutil
import time

from clients import Crowd
from executions import Executions, judge_executions
from history import History
from invariants import judge_all, shown
from lib.deadline import eventually
from lib.processes import REPOSITORY
from lib.suite import Report
from modes import STATUS, ModeWatch
from rig import Rig
from workloads import MIX

START_SECONDS = 60
MEMORY_SLACK = 4096          # KiB: the allocator keeps pages


class Story:
    """Owns the rig of a suite run."""

    def __init__(self, suite):
        self.suite, self.rig = suite, None

    def prepare(self):
        self.rig = Rig()
        self.rig.patience = self.suite.options.patience
        self.suite.cleanup(self.rig.close)

    def hold(self, case):
        try:
            case(self.rig)
        finally:
            self.rig.end_run()

    def play(self, fault, seed, mix=MIX):
        options = self.suite.options
        run = Run(self.rig, fault, seed, options.size, options.seconds)
        try:
            verdict = run.tell(mix)
        except BaseException:
            self.rig.end_run()
            raise
        proxy = self.rig.proxy
        if proxy.obituary():
            verdict.say(proxy.obituary())
        log = proxy.obituary() + told(proxy, 25)
        try:
            self.rig.end_run(cleanly=True)
        except AssertionError as problem:
            verdict.say(f"the proxy did not end well: {problem}")
        if options.tell:
            print(run.timeline(), flush=True)
        if verdict.problems:
            kept = keep(proxy, f"{fault.name}.seed{seed}.log")
            raise Report(f"{fault.text} (seed {seed}, size {options.size})\n{run.timeline()}\n"
                         f"{shown(verdict.problems)}\n{log}\n--- all of it: {kept}")


class Run:
    def __init__(self, rig, fault, seed, size, seconds):
        self.rig, self.fault, self.seed, self.size, self.seconds = rig, fault, seed, size, seconds
        self.chance = random.Random(f"{seed}/{fault.name}")
        self.history = History()
        self.marks = []

    def mark(self, text):
        self.marks.append((time.monotonic() - self.history.began, text))

    def timeline(self):
        errors = ", ".join(f"{count} x {error}" for error, count in self.history.errors().most_common(8))
        return "\n".join(f"  {at:6.2f} s  {text}" for at, text in self.marks) \
            + f"\n  {self.history.count()} operations; errors: {errors or 'none'}"

    def tell(self, mix):
        rig, fault = self.rig, self.fault
        rig.ready()
        proxy = rig.begin_run(fault.gated, fault.tls, **fault.config)
        target = rig.target(fault.tls)
        crowd = rig.crowd = Crowd([kind(f"{kind.__name__}-{number}", target, self.history, self.seed)
                                   for kind, count in mix for number in range(1, count + 1)], self.history)
        self.history.began = time.monotonic()
        crowd.start()
        if not crowd.wait_for_progress(self.history.began, START_SECONDS):
            raise Report(f"never served, without any harm: {crowd.waiting_for(self.history.began)}\n"
                         f"{self.history.sign_in_errors[:3]}\n{shown(self.history.violations)}\n{proxy.log_tail()}")
        time.sleep(self.seconds)
        descriptors = descriptor_count(proxy)
        self.mark("harm begins")
        resident = proxy.memory_kib()
        with ModeWatch(proxy) as watch:
            usable = fault.inject(rig, self.chance, self.size) or time.monotonic()
        self.mark(f"harm has ended; the status has shown {', '.join(watch.seen) or 'nothing'}")
        recovered = crowd.wait_for_progress(usable, fault.expect.within + 2 * self.seconds + rig.patience)
        late = crowd.waiting_for(usable)
        self.mark("all are served" if recovered else f"not served: {crowd.what_keeps(late)}")
        if recovered:
            time.sleep(self.seconds)
        elif not crowd.wait_for_progress(usable, 35):
            self.mark(f"still not served: {crowd.what_keeps(crowd.waiting_for(usable))}")
        hung = crowd.stop(5 + rig.patience)
        self.mark("clients have ended")
        rig.settle()
        verdict = judge_all(rig, self.history, fault.expect)
        self.mark(judge_executions(self.history, Executions(rig.server_lines()), verdict, fault.counts_connects,
                                   fault.logs_all, fault.connects))
        if not recovered:
            verdict.say(f"I10 not served within {fault.expect.within} s after the harm (and {rig.patience} s of patience): "
                        f"{', '.join(late)}")
        for text in hung:
            verdict.say(f"I10 {text}")
        if fault.shows and watch.misses(fault.shows):
            verdict.say(f"I11 {watch.misses(fault.shows)}")
        self._judge_memory(proxy, resident, verdict)
        if not fault.name.startswith("f23"):
            self._judge_leaks(proxy, descriptors, verdict)
        self._judge_status(proxy, verdict)
        return verdict

    def _judge_status(self, proxy, verdict):
        """I11: the status says by itself, soon after the harm, that all is well, and every breaker is closed."""
        def shown():
            document = json.loads(proxy.http(STATUS)[2])
            return document["mode"], [each["scope"] for each in document["circuit_breaker"] if each["open"]]
        try:
            eventually(lambda: shown() == ("normal", []), "the status says normal", 5 + self.rig.patience)
        except AssertionError:
            verdict.say(f"I11 the status says {shown()} when all is well again")

    def _judge_memory(self, proxy, before, verdict):
        """I12: what an outage made it remember has been given back."""
        now = proxy.memory_kib()
        self.mark(f"{before} KiB resident before the harm, {now} KiB now")
        if now > before * 1.05 + MEMORY_SLACK:
            verdict.say(f"I12 {now} KiB are resident without clients, {before} KiB were with them before the harm")

    def _judge_leaks(self, proxy, before, verdict):
        """I12: without clients there are no more descriptors than servers of the pool explain."""
        try:
            eventually(lambda: descriptor_count(proxy) <= before, "descriptors return", 3 + self.rig.patience)
        except AssertionError:
            verdict.say(f"I12 {descriptor_count(proxy)} descriptors are open without clients, {before} with them")


def descriptor_count(proxy):
    return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))


def keep(proxy, name):
    """The proxy's whole log where it outlives the run."""
    folder = REPOSITORY / "build/test-logs/chaos"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(proxy.log, folder / name)
    return (folder / name).relative_to(REPOSITORY)


def told(proxy, lines):
    """The end of the proxy's log without the ends of clients that left by themselves."""
    text = [line for line in proxy.log_text().splitlines() if "ended: client_" not in line]
    return "--- the proxy's log\n" + "\n".join(text[-lines:])
