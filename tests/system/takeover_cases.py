"""A new process takes an old one's place (listen.takeover_socket): nobody is refused, nobody is cut off."""

import os
import re
import signal
import threading
from itertools import count

from bench import DATABASE, ONE_SERVER
from lib import messages as msg
from lib.cluster import PASSWORD
from lib.deadline import eventually
from lib.proxy import base_config
from lib.wire_client import Closed, ServerError, WireClient, send_cancel

TAKEN = "another process accepts clients"


_folders = count()


def _configuration(bench, **sections):
    folder = bench.workspace.folder(f"takeover{next(_folders)}")
    config = base_config(bench.cluster, **sections)
    config["listen"]["takeover_socket"] = str(folder / "door")
    return config


def _replace(bench, old, config):
    """A second process with this configuration, when it has taken the place of `old`."""
    successor = bench.proxy_with(config).start()
    eventually(lambda: TAKEN in old.log_text(), "the old process has been replaced")
    return successor


def _old_ends(old):
    assert old.wait() == 0, old.log_tail()
    old.process = None


class _Load:
    """Clients that come and go, and clients that stay; any error is kept."""

    def __init__(self, proxy, coming=3, staying=3):
        self.errors, self.inserted, self._leave = [], 0, threading.Event()
        self._lock, self._next = threading.Lock(), 0
        self._proxy = proxy
        self._threads = [threading.Thread(target=self._guarded, args=(work,))
                         for work in [self._come_and_go] * coming + [self._stay] * staying]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.inserted > 20, "the load runs")
        return self

    def __exit__(self, *_):
        self.leave()

    def leave(self):
        self._leave.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self):
        before = self.inserted
        eventually(lambda: self.inserted > before + 50, "the load goes on")

    def _guarded(self, work):
        try:
            while not self._leave.is_set():
                work()
        except (OSError, Closed, ServerError, AssertionError) as problem:
            self.errors.append(f"{work.__name__}: {problem!r}")

    def _come_and_go(self):
        with self._proxy.connect(DATABASE) as client:
            self._insert(client)
            client.close()

    def _stay(self):
        with self._proxy.connect(DATABASE) as client:
            while not self._leave.is_set():
                self._insert(client)
            client.close()

    def _insert(self, client):
        with self._lock:
            self._next += 1
            number = self._next
        for sql in ("begin", f"insert into t values ({number})", "commit"):
            result = client.query(sql)
            assert result.error is None, result.error
        with self._lock:
            self.inserted += 1


def nobody_notices(bench):
    config = _configuration(bench, pool={"size": 4})
    old = bench.proxy_with(config).start()
    with _Load(old) as load:
        new = _replace(bench, old, config)
        load.goes_on()
        third = _replace(bench, new, config)
        load.goes_on()
        load.leave()
        assert not load.errors, load.errors
    _old_ends(old)
    _old_ends(new)
    with third.connect(DATABASE) as client:
        assert int(client.value("select count(*) from t")) == load.inserted
    assert third.http("/readyz")[0] == 200
    third.stop()


def requests_to_cancel_find_their_clients(bench):
    """Cancel requests arrive at the new process; the client's process is the one before."""
    config = _configuration(bench, pool=ONE_SERVER)
    old = bench.proxy_with(config).start()
    with old.connect(DATABASE) as client:
        client.send(msg.query("select pg_sleep(60) /* cancelled through the successor */"))
        bench.wait_running("/* cancelled through the successor */")
        new = _replace(bench, old, config)
        send_cancel(old.address, client.pid, client.key)
        assert client.read_result().sqlstate == "57014"
        with new.connect(DATABASE) as other:
            assert other.value("select 1") == "1"
    _old_ends(old)
    new.stop()


def a_successor_that_fails_has_changed_nothing(bench):
    config = _configuration(bench)
    with bench.proxy_with(config) as old:
        broken = {**config, "listen": {**config["listen"], "tls": {"mode": "require", "cert_file": str(old.file),
                                                                  "key_file": str(old.file)}}}
        failed = bench.proxy_with(broken).start(wait=False)
        assert failed.wait() == 1
        failed.process = None
        eventually(lambda: "this one goes on" in old.log_text(), "the old process has noticed")
        with old.connect(DATABASE) as client:
            assert client.value("select 1") == "1"
        new = _replace(bench, old, config)
        _old_ends(old)
        with new.connect(DATABASE) as client:
            assert client.value("select 1") == "1"
        new.stop()


def a_place_to_meet_that_cannot_be_made_is_told(bench):
    config = _configuration(bench)
    config["listen"]["takeover_socket"] += "/nowhere/door"
    proxy = bench.proxy_with(config).start(wait=False)
    assert proxy.wait() == 1
    proxy.process = None
    assert "listen.takeover_socket" in proxy.log_text() and "No such file" in proxy.log_text(), proxy.log_text()


def a_signal_starts_the_successor(bench):
    """SIGUSR2: the program as it is on disk now."""
    config = _configuration(bench)
    old = bench.proxy_with(config).start()
    with old.connect(DATABASE) as client:
        old.signal(signal.SIGUSR2)
        eventually(lambda: TAKEN in old.log_text(), "the successor has taken over")
        process = int(re.search(r"started \S+ as process (\d+)", old.log_text())[1])
        try:
            assert client.value("select 1") == "1"
            client.close()
            _old_ends(old)
            with WireClient(old.address) as other:
                other.login("app", DATABASE, PASSWORD)
                assert other.value("select 2") == "2"
        finally:
            os.kill(process, signal.SIGTERM)
        eventually(lambda: not os.path.exists(f"/proc/{process}"), "the successor has ended")


def who_stays_for_too_long_is_told(bench):
    config = _configuration(bench, shutdown={"takeover_timeout": "500ms"})
    old = bench.proxy_with(config).start()
    with old.connect(DATABASE) as idle, old.connect(DATABASE) as busy:
        busy.query("begin; insert into t values (1)")
        new = _replace(bench, old, config)
        frames, _ = idle.read_to_end()
        assert msg.error_fields(frames[-1].body)["C"] == "57P01", frames
        assert busy.query("commit").tags == ["COMMIT"]
        busy.read_to_end()
    _old_ends(old)
    assert bench.sql("select count(*) from t") == [["1"]]
    new.stop()


def who_is_left_alone_ends(bench):
    """Nobody accepts clients once the successor has died: the process before it finishes what is open, for the service to
    begin anew. That a successor ends which was itself replaced is no reason."""
    config = _configuration(bench)
    old = bench.proxy_with(config).start()
    with old.connect(DATABASE) as idle, old.connect(DATABASE) as busy:
        second = _replace(bench, old, config)
        third = _replace(bench, second, config)
        _old_ends(second)
        assert idle.value("select 1") == "1"
        with third.connect(DATABASE) as newer:
            busy.query("begin; insert into t values (1)")
            assert newer.value("select 1") == "1"
            fourth = _replace(bench, third, config)
            newer.query("begin; insert into t values (2)")
            fourth.kill()
            assert newer.query("commit").tags == ["COMMIT"]
            newer.read_to_end()
        assert third.wait() == 1, third.log_tail()
        third.process = None
        assert "the process that accepts clients has ended" in third.log_text()
        assert busy.query("commit").tags == ["COMMIT"]
    _old_ends(old)
    assert bench.sql("select count(*) from t") == [["2"]]


def unix_sockets_as_well(bench):
    config = _configuration(bench)
    config["listen"]["unix_socket_dir"] = os.path.dirname(config["listen"]["takeover_socket"])
    path = f"{config['listen']['unix_socket_dir']}/.s.PGSQL.{config['listen']['port']}"
    old = bench.proxy_with(config).start()
    new = _replace(bench, old, config)
    _old_ends(old)
    with WireClient(path) as client:
        client.login("app", DATABASE, PASSWORD)
        assert client.value("select 1") == "1"
    new.stop()
    assert not os.path.exists(path)
    assert not os.path.exists(config["listen"]["takeover_socket"])


CASES = [nobody_notices, requests_to_cancel_find_their_clients, a_successor_that_fails_has_changed_nothing,
         a_place_to_meet_that_cannot_be_made_is_told,
         a_signal_starts_the_successor, who_is_left_alone_ends, who_stays_for_too_long_is_told, unix_sockets_as_well]
