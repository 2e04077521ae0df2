"""What goes wrong: F1 to F26. Each fault does its harm and undoes it; what is left when it returns is a working server.

A fault is a function of (rig, chance, size); `size` scales durations. It returns the moment at which the server could
be used again, when that is earlier than its own end. What must hold all the same is in `Expect`.
"""

import http.client
import os
import resource
import signal
import subprocess
import time
from typing import Callable, NamedTuple

from lib import messages as msg
from lib.cluster import PASSWORD
from lib.deadline import Timeout, eventually
from lib.processes import as_owner
from lib.wire_client import Closed, ServerError, WireClient, send_cancel

from executions import MOST_CONNECTS
from modes import longest
from rig import DATABASE, start_again
from workloads import FILLER, STEPS_PROCEDURE, SlowRead, Snapshot


class Expect(NamedTuple):
    """What this fault must not cost. The safety rules (I1 to I4, I6 to I8) hold always and are not listed."""
    clean_reads: bool = True          # reads of up to 64 KiB outside of transactions see no error
    clean_sign_ins: bool = True
    keeps_clients: bool = True        # nobody but pinned sessions is disconnected
    within: float = 3.0               # seconds after the end of the harm until every client is served again
    may_cancel: bool = False          # 57014 is part of the fault
    errors_allowed: tuple = ()        # SQLSTATEs that reads may see
    cut_reads: int = 0                # small reads whose answer had begun, and whose rest nobody missed in result_hold_time (R06)


class Fault(NamedTuple):
    name: str
    text: str
    inject: Callable
    expect: Expect = Expect()
    gated: tuple = ()
    tls: bool = False
    quick: bool = True
    config: dict = {}
    logs_all: bool = True            # false where the servers' logs cannot take everything
    connects: int = MOST_CONNECTS    # that one second may bring
    counts_connects: bool = True      # false where the fault itself connects without end
    shows: str = ""                   # the mode that the status must show while the harm lasts (I11)


# ---- the server ----------------------------------------------------------------------------------------------------

def terminate_backends(rig, chance, size):
    for _ in range(int(8 * size)):
        pids = rig.backends()
        if pids:
            rig.sql(f"select pg_terminate_backend({chance.choice(pids)})")
        time.sleep(chance.uniform(0.02, 0.15))


def kill_a_backend(rig, chance, size):
    pids = rig.backends("state = 'active'") or rig.backends()
    os.kill(chance.choice(pids), signal.SIGKILL)
    time.sleep(0.05)
    eventually(lambda: answers(rig.primary), "the server has recovered", 30)


def kill_the_postmaster(rig, chance, size):
    os.kill(rig.primary.pid, signal.SIGKILL)
    rig.primary.stop()
    time.sleep(chance.uniform(0, 0.5) * size)
    start_again(rig.primary)


def restart_fast(rig, chance, size):
    rig.primary.stop(signal.SIGINT)
    time.sleep(chance.uniform(0, 0.5) * size)
    start_again(rig.primary)


def restart_immediately(rig, chance, size):
    rig.primary.stop(signal.SIGQUIT)
    time.sleep(chance.uniform(0, 0.5) * size)
    start_again(rig.primary)


def stop_the_postmaster(rig, chance, size):
    """SIGSTOP: the kernel accepts connections and nobody answers. Some sessions are lost just then."""
    os.kill(rig.primary.pid, signal.SIGSTOP)
    try:
        for pid in chance.sample(rig_pids(rig), min(4, len(rig_pids(rig)))):
            os.kill(pid, signal.SIGTERM)
        time.sleep(1.0 * size)
    finally:
        os.kill(rig.primary.pid, signal.SIGCONT)


_seen = {}


def rig_pids(rig):
    """Sessions of the application as the kernel sees them: the server cannot be asked while it is stopped."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{name}/cmdline") as file:
                    title = file.read()
            except OSError:
                continue
            if parent == rig.primary.pid and f": app {DATABASE}" in title:
                found.append(int(name))
    return sorted(found)


def stop_one_backend(rig, chance, size):
    """A slow query is not a dead server: its client waits, everybody else goes on."""
    pids = rig.backends("state = 'active'") or rig.backends()
    pid = chance.choice(pids)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(1.5 * size)
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def switch_over(rig, chance, size):
    rig.primary.stop(signal.SIGINT)
    rig.fail_over()
    moment = time.monotonic()
    time.sleep(chance.uniform(0.2, 1.0))
    rig.rejoin()
    return moment


def fail_over(rig, chance, size):
    os.kill(rig.primary.pid, signal.SIGKILL)
    rig.primary.stop()
    time.sleep(chance.uniform(0, 0.3) * size)
    rig.fail_over()
    moment = time.monotonic()
    time.sleep(chance.uniform(0.2, 1.0))
    rig.rejoin()
    return moment


def lose_an_unreplicated_primary(rig, chance, size):
    """F8, T2: the standby hears nothing any more, the primary goes on acknowledging, and then the standby is promoted. What was
    acknowledged meanwhile is lost by the choice of asynchronous replication; nothing else may be, and nobody may be told that
    the successor has what it does not have."""
    rig.primary.configure(synchronous_standby_names=None)
    eventually(lambda: rig.sql("show synchronous_standby_names") == [[""]], "nobody waits for the standby", 20)
    since = time.monotonic()
    rig.sql("alter system set primary_conninfo = ''", rig.standby)
    rig.sql("select pg_reload_conf()", rig.standby)
    eventually(lambda: not rig.sql("select 1 from pg_stat_replication"), "the standby is cut off", 20)
    time.sleep(chance.uniform(0.3, 0.7) * size)
    rig.primary.stop(signal.SIGQUIT)
    eventually(lambda: longest("holding", rig.proxy.log_text().splitlines()) is not None, "the proxy knows that it is lost", 30)
    time.sleep(0.2)                    # who was acknowledged before has written that down: whoever is now waits for the promotion
    rig.crowd.history.unreplicated = (since, time.monotonic())
    rig.fail_over()
    moment = time.monotonic()
    time.sleep(chance.uniform(0.2, 1.0))
    rig.rejoin()
    return moment


def fail_over_to_a_stranger(rig, chance, size):
    """F25: the successor does not let the application in until somebody has mended its rules."""
    rules = rig.standby.host_rules
    before = rules.read_text()
    rules.write_text("host all app 127.0.0.1/32 reject\n" + before)
    rig.sql("select pg_reload_conf()", rig.standby)
    rig.primary.stop(signal.SIGINT)
    rig.fail_over()
    time.sleep(1.0 * size)
    rules.write_text(before)
    rig.sql("select pg_reload_conf()")
    moment = time.monotonic()
    rig.rejoin()
    return moment


def restart_with_another_schema(rig, chance, size):
    """F26, T32: what clients have prepared means something else afterwards."""
    rig.primary.stop(signal.SIGINT)
    start_again(rig.primary)
    for kind in ("varchar", "text"):      # without a rewrite, after which an older snapshot sees an empty table
        rig.sql(f"alter table facts alter column pad type {kind}; alter table accounts add extra int; "
                "alter table accounts drop extra; drop procedure chaos_steps; " + STEPS_PROCEDURE)
        time.sleep(chance.uniform(0.1, 0.5) * size)


ROOM = (16 << 20) + 4096         # bytes that a file may have: the segments of the WAL fit, and half a page more
FILLED_PAGES = 2040


def fill_the_disk(rig, chance, size):
    """F18: files of the server do not grow beyond a limit, as on a full disk, and the table that clients write to is near it."""
    rig.begin_log_anew()
    try:
        limit_files(rig, ROOM)
        try:
            rig.sql(f"insert into chaos_log select '{FILLER}', i, 1, repeat('x', 1000) from generate_series(1, {7 * FILLED_PAGES}) i")
        except ServerError:                # clients have written meanwhile: it is full already
            pass
        until = time.monotonic() + 1.5 * size + 3 + 2 * rig.patience
        while not rig.crowd.history.errors()["53100"] and time.monotonic() < until:
            time.sleep(0.05)
        if not rig.crowd.history.errors()["53100"]:
            rig.crowd.history.violation("harness", "f18", "nobody has met the full disk: nothing was shown")
        time.sleep(1.5 * size)
    finally:
        limit_files(rig, "unlimited")


def limit_files(rig, size):
    """What the application's sessions, now and later, may make of a file. Asked for by their owner: root itself may lack the right."""
    for pid in (rig.primary.pid, *rig_pids(rig)):
        subprocess.run(as_owner(["prlimit", "--pid", pid, f"--fsize={size}:"]), stderr=subprocess.DEVNULL)


def promote_beside_the_primary(rig, chance, size):
    """D27: two nodes take writes. The old primary is synchronous, so it acknowledges nothing from now on."""
    rig.fail_over()
    time.sleep(1.5 * size)
    rig.standby.stop(signal.SIGQUIT)
    moment = time.monotonic()
    rig.rejoin()
    return moment


def exhaust_connections(rig, chance, size):
    """Others take every slot, and the pool's own sessions are lost: 53300 is overload, not a dead host."""
    others = []
    try:
        until = time.monotonic() + 1.0 * size
        while time.monotonic() < until:
            try:
                client = WireClient(rig.primary.address, 5)
                others.append(client)
                client.login("app_md5", DATABASE, PASSWORD)
            except (ServerError, Closed, OSError):
                time.sleep(0.05)
                rig.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app' "
                        f"and pid % 7 = {chance.randrange(7)}")
    finally:
        for client in others:
            client.abandon()


def pause_replay(rig, chance, size):
    rig.sql("select pg_wal_replay_pause()", rig.standby)
    time.sleep(1.5 * size)
    rig.sql("select pg_wal_replay_resume()", rig.standby)


def conflict_with_replay(rig, chance, size):
    """An operator holds, so that reads are on the standby, where replay ends those that stand in its way (D22)."""
    rig.standby.configure(max_standby_streaming_delay="0")
    rig.order("POST", "/api/v1/hold")
    before = conflicts(rig)
    crowd = [kind(f"{kind.__name__}-f16", rig.target(), rig.crowd.history, chance.random()) for kind in (SlowRead, Snapshot)]
    try:
        for client in crowd:
            client.start()
        began = time.monotonic()
        while time.monotonic() < began + 2.0 * size \
                or (conflicts(rig) == before and time.monotonic() < began + 2.0 * size + 2 * rig.patience):
            rig.sql(f"update facts set pad = pad where i % 50 = {chance.randrange(50)}")
            rig.sql("vacuum facts")
            time.sleep(0.05)
    finally:
        for client in crowd:
            client.stopping.set()
        rig.order("POST", "/api/v1/resume")
        for client in crowd:
            client.join(20)
        rig.standby.configure(max_standby_streaming_delay=None)
    if conflicts(rig) == before:
        rig.crowd.history.violation("harness", "f16", "no statement was in replay's way: nothing was shown")


def conflicts(rig):
    return int(rig.sql(f"select confl_snapshot from pg_stat_database_conflicts where datname = '{DATABASE}'", rig.standby)[0][0])


def lose_the_synchronous_standby(rig, chance, size):
    """COMMIT hangs; some waiters are cancelled and some terminated: durable here, and the client must not be told no."""
    rig.standby.stop(signal.SIGQUIT)
    for _ in range(3):
        time.sleep(0.3 * size)
        waiting = rig.backends("wait_event = 'SyncRep'")
        for pid in chance.sample(waiting, min(2, len(waiting))):
            rig.sql(f"select {chance.choice(('pg_cancel_backend', 'pg_terminate_backend'))}({pid})")
    start_again(rig.standby)
    eventually(rig._is_following, "the standby follows", 20)


def forbid_writes(rig, chance, size):
    rig.primary.configure(default_transaction_read_only="on")
    time.sleep(1.0 * size)
    rig.primary.configure(default_transaction_read_only=None)
    time.sleep(0.1)


# ---- the network ----------------------------------------------------------------------------------------------------

def reset_connections(rig, chance, size):
    for _ in range(int(4 * size)):
        rig.gate().rst(share=chance.choice((0.3, 1.0)), seed=chance.randrange(1 << 30))
        time.sleep(chance.uniform(0.05, 0.4))


def cut_mid_message(rig, chance, size):
    """The exact byte is drawn: in requests, in results, at COMMIT's answer."""
    gate = rig.gate()
    for _ in range(int(8 * size)):
        if chance.random() < 0.5:
            gate.cut_on(*chance.choice((("up", "Q"), ("up", "S"), ("up", "E"), ("down", "C"), ("down", "Z"), ("down", "D"))),
                        nth=chance.randint(1, 30), how=chance.choice(("rst", "fin")), after=chance.random() < 0.4,
                        count=chance.randint(0, 5))
        else:
            gate.cut_after(chance.choice(("up", "down")), chance.randint(1, 4000), chance.choice(("rst", "fin")))
        time.sleep(chance.uniform(0.1, 0.25))
    gate.heal()


def black_hole(rig, chance, size):
    rig.gate().blackhole()
    time.sleep(3.0 * size)
    rig.gate().heal()


def black_hole_and_promotion(rig, chance, size):
    """The primary is unreachable, not dead, and the standby is promoted: everybody is served while the hole lasts (T5)."""
    hole = rig.gate()
    hole.blackhole()
    time.sleep(0.5)
    rig.fail_over()
    moment = time.monotonic()
    if not rig.crowd.wait_for_progress(moment, 7.0 + rig.patience):
        names = ", ".join(rig.crowd.waiting_for(moment))
        rig.crowd.history.violation("I10", "during the hole", f"{7 + rig.patience} s after the promotion not served: {names}")
    rig.standby.stop(signal.SIGQUIT)
    hole.heal()
    rig.rejoin()
    return moment


def black_hole_downwards(rig, chance, size):
    """What is asked arrives and is executed; no answer returns."""
    rig.gate().blackhole("down")
    time.sleep(2.0 * size)
    rig.gate().heal()


def half_close(rig, chance, size):
    for direction in ("up", "down"):
        rig.gate().halfclose(direction, share=0.5)
        time.sleep(0.5 * size)


def slow_network(rig, chance, size):
    gate = rig.gate()
    for delay in (0.005, 0.05, 0.2):
        gate.delay(delay, delay / 2)
        time.sleep(0.5 * size)
    gate.heal()
    gate.slice(40, 0.002)
    time.sleep(0.5 * size)
    gate.heal()


def reset_clients(rig, chance, size):
    """Clients vanish in every phase; nothing of theirs may stay behind."""
    for _ in range(int(5 * size)):
        gate = rig.gates["clients"]
        chance.choice((gate.rst, gate.fin))(share=0.4, seed=chance.randrange(1 << 30))
        time.sleep(chance.uniform(0.1, 0.3))


def half_close_clients(rig, chance, size):
    for direction in ("up", "down"):
        rig.gates["clients"].halfclose(direction, share=0.3)
        time.sleep(0.4 * size)


def storm_of_cancels(rig, chance, size):
    until = time.monotonic() + 1.5 * size
    while time.monotonic() < until:
        client = chance.choice(rig.crowd.clients)
        try:
            connection = client.connection
            if isinstance(connection, WireClient):
                send_cancel(rig.proxy.address, connection.pid, connection.key)
            elif connection is not None:
                connection.cancel()
        except Exception:                                 # noqa: the connection may end or change under our hands
            pass
        time.sleep(0.01)


def cut_tls(rig, chance, size):
    """In the handshake, in a record, with and without a goodbye; on both legs."""
    for _ in range(int(8 * size)):
        gate = chance.choice((rig.gate(), rig.gates["clients"]))
        gate.cut_after(chance.choice(("up", "down")), chance.choice((1, 8, 9, 100, 700, 1500, 4000)) + chance.randrange(50),
                       chance.choice(("rst", "fin")))
        if chance.random() < 0.5:
            rig.gate().rst(share=0.3)
        time.sleep(chance.uniform(0.1, 0.25))
    rig.gate().heal()
    rig.gates["clients"].heal()


# ---- the proxy ------------------------------------------------------------------------------------------------------

def restart_the_proxy(rig, chance, size):
    rig.proxy.signal(signal.SIGTERM)
    try:
        rig.proxy.wait(20)
    finally:
        rig.proxy.kill()
    rig.proxy.start()


def kill_the_proxy(rig, chance, size):
    rig.proxy.kill()
    rig.proxy.start()


def exhaust_descriptors(rig, chance, size):
    """No descriptor is left for new connections in either direction; those that exist go on."""
    pid = rig.proxy.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 2, before[1]))
    others = []
    try:
        until = time.monotonic() + 1.0 * size
        while time.monotonic() < until:
            try:
                others.append(WireClient(rig.proxy.address, 2))
            except OSError:
                pass
            time.sleep(0.02)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for client in others:
            client.abandon()


HOG = 60_000                  # bytes of a text that is kept


def exhaust_memory(rig, chance, size):
    """The proxy gets no more memory while clients make it remember more and more. It may refuse them; should it die, it is
    started again, as a service would be. Whatever it does, nobody may be told anything false."""
    pid = rig.proxy.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (data_size(pid) + (6 << 20), before[1]))
    hogs, refused = [], 0
    try:
        began = time.monotonic()
        while not rig.proxy.obituary() and (time.monotonic() < began + 2.0 * size
                                            or (not refused and time.monotonic() < began + 2.0 * size + 2 * rig.patience)):
            try:
                hogs.append(rig.target().connect_wire(2))
                for number in range(30):
                    text = f"select {number} as n /* {len(hogs)} {'x' * HOG} */"
                    hogs[-1].send(msg.parse(f"hog{number}", text) + msg.sync(), 2)
                    hogs[-1].read_until("Z", seconds=2)
            except (ServerError, Closed, Timeout, OSError):
                refused += 1
                time.sleep(0.02)
    finally:
        for client in hogs:
            client.abandon()
        died = relieved(rig.proxy, pid, before)
        if died:
            rig.proxy.kill()
            told = rig.proxy.log.rename(rig.proxy.log.with_suffix(".died")).read_text(errors="replace")
            rig.proxy.start()
    if died and "bad_alloc" not in told:
        rig.crowd.history.violation("I12", "the proxy", f"{died}of something else than want of memory: {told[-600:]}")
    if not died and not refused:
        rig.crowd.history.violation("harness", "f24", "memory was never short: nothing was shown")


def relieved(proxy, pid, before):
    """It gets memory again. An obituary if it has died, or was about to."""
    try:
        resource.prlimit(pid, resource.RLIMIT_DATA, before)
        proxy.http("/healthz")
        return proxy.obituary()
    except (OSError, http.client.HTTPException):
        return eventually(proxy.obituary, "the proxy answers, or has died")


def data_size(pid):
    """Bytes that RLIMIT_DATA counts."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData")) << 10


def nothing(rig, chance, size):
    """No harm at all: the suite's own check that it complains of nothing."""
    time.sleep(0.5 * size)


def answers(node):
    try:
        with node.superuser():
            return True
    except (OSError, Closed, ServerError):
        return False


LOST_BY_DESIGN = Expect(clean_reads=False, clean_sign_ins=False, keeps_clients=False)
SERVERS, CLIENTS, BOTH = ("servers",), ("clients",), ("servers", "clients")

FAULTS = [
    Fault("f0_nothing", "no fault", nothing),
    Fault("f1_terminate", "pg_terminate_backend of random sessions", terminate_backends),
    Fault("f2_kill_backend", "kill -9 of a session; the server restarts itself", kill_a_backend),
    Fault("f3_kill_postmaster", "kill -9 of the postmaster, then a start", kill_the_postmaster, shows="holding"),
    Fault("f4_restart_fast", "restart -m fast", restart_fast, shows="holding"),
    Fault("f5_restart_immediate", "restart -m immediate", restart_immediately, shows="holding"),
    Fault("f6_stop_postmaster", "SIGSTOP of the postmaster, sessions lost meanwhile", stop_the_postmaster,
          Expect(within=4.0)),
    Fault("f7_stop_backend", "SIGSTOP of one session in the middle of a statement", stop_one_backend),
    Fault("f8_async_loss", "the standby cut off, then promoted in place of a primary that went on", lose_an_unreplicated_primary,
          shows="holding"),
    Fault("f9_switchover", "fast stop, promotion, the old primary returns as standby", switch_over, shows="holding"),
    Fault("f9_failover", "kill -9, promotion, the old primary returns as standby", fail_over, shows="holding"),
    Fault("f10_split", "promotion while the primary lives", promote_beside_the_primary, Expect(within=5.0),
          shows="read_only"),
    Fault("f11_reset", "RST of server connections", reset_connections, gated=SERVERS, connects=2 * MOST_CONNECTS),  # all, several times
    Fault("f11_cut_bytes", "server connections cut at drawn bytes and messages", cut_mid_message, gated=SERVERS),
    Fault("f12_black_hole", "nothing passes to or from the primary", black_hole, Expect(within=4.0), gated=SERVERS),
    Fault("f12_black_hole_down", "nothing returns from the primary", black_hole_downwards, Expect(within=4.0),
          gated=SERVERS),
    Fault("f12_black_hole_promotion", "the primary unreachable, the standby promoted", black_hole_and_promotion,
          Expect(within=4.0, cut_reads=2), gated=SERVERS),
    Fault("f13_half_close", "half-closed server connections", half_close, gated=SERVERS),
    Fault("f13_half_close_clients", "half-closed client connections", half_close_clients, LOST_BY_DESIGN, gated=CLIENTS),
    Fault("f14_slow", "delay up to 300 ms, then 40 bytes at a time", slow_network, gated=SERVERS),
    Fault("f15_no_slots", "every connection slot taken by others", exhaust_connections, counts_connects=False),
    Fault("f16_replay_paused", "the standby stops replaying", pause_replay),
    Fault("f16_conflict", "replay on the standby ends the reads there, by an operator's hold", conflict_with_replay,
          Expect(errors_allowed=("40001",)), shows="holding"),
    Fault("f17_sync_stall", "the synchronous standby is lost; waiters cancelled and terminated",
          lose_the_synchronous_standby),
    Fault("f18_disk_full", "no file of the server may grow", fill_the_disk, logs_all=False),
    Fault("f19_read_only", "default_transaction_read_only by reload", forbid_writes),
    Fault("f20_clients_vanish", "RST and FIN of client connections", reset_clients, LOST_BY_DESIGN, gated=CLIENTS),
    Fault("f21_cancels", "a cancel every 10 ms for somebody", storm_of_cancels,
          Expect(may_cancel=True, errors_allowed=("57014",))),
    Fault("f22_tls", "TLS cut in handshakes and records on both legs", cut_tls, LOST_BY_DESIGN, gated=BOTH, tls=True),
    Fault("f23_restart_proxy", "SIGTERM of the proxy, then a start", restart_the_proxy, LOST_BY_DESIGN,
          config={"shutdown": {"drain_timeout": "1s"}}),
    Fault("f23_kill_proxy", "T33: kill -9 of the proxy, then a start", kill_the_proxy, LOST_BY_DESIGN),
    Fault("f24_descriptors", "the proxy has no descriptors left", exhaust_descriptors, Expect(clean_sign_ins=False)),
    Fault("f24_memory", "the proxy gets no more memory", exhaust_memory, LOST_BY_DESIGN, counts_connects=False),
    Fault("f25_stranger", "the successor lets nobody in for a while", fail_over_to_a_stranger,
          Expect(clean_reads=False, clean_sign_ins=False, within=5.0), shows="holding"),
    Fault("f26_other_schema", "restart, and tables, columns and procedures are others", restart_with_another_schema,
          Expect(errors_allowed=("0A000",))),
]
