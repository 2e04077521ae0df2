"""The gate's process: passes bytes between clients and a target, and does harm to them when told to.

Commands are JSON lines on standard input, each answered by one on standard output; it ends with its input. One
thread and one epoll set. `up` is from the client to the target. Trouble that is set applies to connections of now and
of later, until `heal`. TLS passes as it is: rules about messages then never match.
"""

import errno
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import time

if __package__:
    from .frames import Track
else:
    from frames import Track

CHUNK = 65536
BUFFER_MAX = 1 << 18
UP, DOWN = "up", "down"


class Lane:
    """One direction of one connection: what was read from `source` and not yet written to `sink`."""

    def __init__(self, pair, name, source, sink):
        self.pair, self.name, self.source, self.sink = pair, name, source, sink
        self.track = Track(name == UP)
        self.queue = []                   # [due, bytes], in order
        self.buffered = 0
        self.passed = 0                   # bytes since the last `cut_after`
        self.ended = False                # the source has said FIN
        self.shut = False                 # we have passed it on, or cut this direction
        self.stalled = False
        self.free_at = 0.0                # when `rate` or `slice` lets the next bytes go
        self.next_due = 0.0


class Pair:
    """A client and the target's side of it."""

    def __init__(self, number, client, server):
        self.number = number
        self.client, self.server = client, server
        self.up = Lane(self, UP, client, server)
        self.down = Lane(self, DOWN, server, client)
        self.up.track.answer, self.down.track.answer = self.down.track, self.up.track
        self.connected = False
        self.closed = False

    def lanes(self, direction="both"):
        return [lane for lane in (self.up, self.down) if direction in ("both", lane.name)]


class Relay:
    def __init__(self, target):
        self.target = target
        self.epoll = select.epoll()
        self.pairs, self.by_fd, self.silent = {}, {}, []
        self.timers, self.order = [], itertools.count()
        self.chance = random.Random(0)
        self.accepted_at, self.count = [], 0
        self.fired = 0
        self.reset_trouble()
        self.port = 0
        self.listener = None
        self.listen()

    def reset_trouble(self):
        self.silence = False
        self.black = {UP: False, DOWN: False}
        self.delays, self.rates, self.slices = {}, {}, {}
        self.cut_after, self.cut_on = None, None

    # ---- the listener ----------------------------------------------------------------------------------------------

    def listen(self):
        if self.listener:
            return
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.epoll.register(self.listener, select.EPOLLIN)

    def refuse(self):
        if self.listener:
            self.epoll.unregister(self.listener)
            self.listener.close()
            self.listener = None

    def accept(self):
        while self.listener:
            try:
                client, _ = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self.count += 1
            self.accepted_at.append(time.time())
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.silence:
                self.silent.append(client)
            else:
                self.connect(client)

    def connect(self, client):
        server = socket.socket()
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(self.count, client, server)
        problem = server.connect_ex(tuple(self.target))
        if problem not in (0, errno.EINPROGRESS):
            self.abort(client)
            server.close()
            return
        self.pairs[pair.number] = pair
        for side in (client, server):
            self.by_fd[side.fileno()] = pair
        self.epoll.register(server, select.EPOLLOUT)
        self.epoll.register(client, 0)

    # ---- moving bytes -----------------------------------------------------------------------------------------------

    def run(self):
        os.set_blocking(0, False)
        self.epoll.register(0, select.EPOLLIN)
        commands = b""
        while True:
            pause = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None
            for fd, events in self.epoll.poll(pause):
                if fd == 0:
                    chunk = os.read(0, CHUNK)
                    if not chunk:
                        return
                    *lines, commands = (commands + chunk).split(b"\n")
                    for line in lines:
                        self.obey(json.loads(line))
                elif self.listener and fd == self.listener.fileno():
                    self.accept()
                elif fd in self.by_fd:
                    self.on_event(self.by_fd[fd], fd, events)
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                lane = heapq.heappop(self.timers)[2]
                if not lane.pair.closed:
                    self.flush(lane)

    def on_event(self, pair, fd, events):
        if not pair.connected:
            self.on_connected(pair, fd, events)
            return
        try:
            reading = pair.up if fd == pair.client.fileno() else pair.down
            writing = pair.down if reading is pair.up else pair.up
            if events & select.EPOLLOUT:
                self.flush(writing)
            if pair.closed:
                return
            if events & select.EPOLLERR:
                self.end(pair, reset=True)
            elif events & (select.EPOLLIN | select.EPOLLHUP):
                self.read(reading, hung_up=events & select.EPOLLHUP)
        except OSError:
            self.end(pair, reset=True)

    def on_connected(self, pair, fd, events):
        if fd == pair.client.fileno():
            if events & (select.EPOLLHUP | select.EPOLLERR):
                self.end(pair, reset=True)
            return
        if pair.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.end(pair, reset=True)
            return
        pair.connected = True
        self.watch(pair)

    def read(self, lane, hung_up=False):
        if not self.wants(lane):
            if hung_up:                    # both directions are gone; a black lane says nothing of it
                self.mute(lane.source)
            return
        try:
            chunk = lane.source.recv(CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            lane.ended = True
            self.flush(lane)
            if not lane.pair.closed:
                self.watch(lane.pair)
            return
        self.feed(lane, chunk)

    def mute(self, side):
        """Nothing more of this socket interests us: an end that nobody is to notice."""
        self.epoll.modify(side, 0)
        try:
            self.epoll.unregister(side)
        except OSError:
            pass

    def feed(self, lane, chunk):
        """Applies the rules that cut at a byte or a message, then queues."""
        harm = None
        keep = len(chunk)
        rule = self.cut_on
        if not lane.track.opaque:
            for letter, began, size in lane.track.feed(chunk):
                if rule and rule["direction"] == lane.name and letter == rule["type"] and not harm:
                    rule["nth"] -= 1
                    if rule["nth"] == 0:
                        keep = max(0, min(keep, began + (size if rule["after"] else rule["bytes"])))
                        harm, self.cut_on = rule["how"], None
        rule = self.cut_after
        if rule and rule["direction"] == lane.name and not harm:
            if lane.passed + len(chunk) >= rule["bytes"]:
                keep, harm = max(0, rule["bytes"] - lane.passed), rule["how"]
                if rule["once"]:
                    self.cut_after = None
        lane.passed += len(chunk)
        self.enqueue(lane, chunk[:keep])
        if harm:
            self.fired += 1
            self.flush(lane, at_once=True)
            if not lane.pair.closed:
                self.harm(lane, harm)
        else:
            self.flush(lane)

    def enqueue(self, lane, data):
        if not data:
            return
        delay, jitter = self.delays.get(lane.name, (0.0, 0.0))
        due = time.monotonic() + delay + jitter * self.chance.random() if delay or jitter else 0.0
        lane.next_due = max(due, lane.next_due)             # bytes never overtake each other
        lane.queue.append([lane.next_due, data])
        lane.buffered += len(data)

    def flush(self, lane, at_once=False):
        pair = lane.pair
        if not pair.connected or pair.closed or lane.shut or (lane.stalled or self.black[lane.name]):
            return
        now = time.monotonic()
        try:
            while lane.queue:
                due = max(lane.queue[0][0], lane.free_at)
                if due > now and not at_once:
                    heapq.heappush(self.timers, (due, next(self.order), lane))
                    break
                if not self.write(lane, now):
                    break
        except BlockingIOError:
            pass
        except OSError:
            self.end(pair, reset=True)
            return
        if lane.ended and not lane.queue and not lane.shut:
            self.finish(lane)
        if not pair.closed:
            self.watch(pair)

    def write(self, lane, now):
        """Sends from the queue's head; False when the sink is full."""
        data = lane.queue[0][1]
        step = len(data)
        pieces, pause = self.slices.get(lane.name, (0, 0.0))
        if pieces:
            step = min(step, pieces)
        rate = self.rates.get(lane.name)
        if rate:
            step = min(step, max(1, int(rate / 20)))
        sent = lane.sink.send(data[:step])
        lane.buffered -= sent
        if sent == len(data):
            lane.queue.pop(0)
        else:
            lane.queue[0][1] = data[sent:]
        if pieces:
            lane.free_at = now + pause
        if rate:
            lane.free_at = max(lane.free_at, now) + sent / rate
        return sent == step

    def wants(self, lane):
        return not (lane.ended or lane.shut or lane.stalled or self.black[lane.name]
                    or lane.buffered >= BUFFER_MAX)

    def watch(self, pair):
        now = time.monotonic()
        for side, reading, writing in ((pair.client, pair.up, pair.down), (pair.server, pair.down, pair.up)):
            events = select.EPOLLIN if self.wants(reading) else 0
            blocked = writing.queue and not (writing.stalled or self.black[writing.name] or writing.shut)
            if blocked and max(writing.queue[0][0], writing.free_at) <= now:
                events |= select.EPOLLOUT
            try:
                self.epoll.modify(side, events)
            except OSError:
                pass

    # ---- harm -------------------------------------------------------------------------------------------------------

    def finish(self, lane):
        """Passes the end of one direction on."""
        lane.shut = True
        try:
            lane.sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if lane.pair.up.shut and lane.pair.down.shut:
            self.end(lane.pair)

    def harm(self, lane, how):
        if how == "rst":
            self.end(lane.pair, reset=True)
        elif how == "fin":
            self.end(lane.pair)
        elif how == "halfclose":
            lane.queue.clear()
            self.finish(lane)
            if not lane.pair.closed:
                self.watch(lane.pair)
        elif how == "stall":
            lane.stalled = True
            self.watch(lane.pair)
        elif how == "black":
            lane.pair.up.stalled = lane.pair.down.stalled = True
            self.watch(lane.pair)

    def end(self, pair, reset=False):
        if pair.closed:
            return
        pair.closed = True
        self.pairs.pop(pair.number, None)
        for side in (pair.client, pair.server):
            self.by_fd.pop(side.fileno(), None)
            try:
                self.epoll.unregister(side)
            except OSError:
                pass
            self.abort(side) if reset else side.close()

    @staticmethod
    def abort(side):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.close()

    # ---- commands ---------------------------------------------------------------------------------------------------

    def obey(self, command):
        try:
            answer = getattr(self, "do_" + command.pop("do"))(**command) or {}
        except Exception as problem:                    # noqa: whoever gave the command is told
            answer = {"problem": f"{type(problem).__name__}: {problem}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    def _all(self, share, fresh):
        chosen = sorted(self.pairs.values(), key=lambda pair: pair.number)
        if fresh:
            return chosen[-fresh:]
        return [pair for pair in chosen if share >= 1 or self.chance.random() < share]

    def do_end(self, how, share=1.0, newest=0, seed=None):
        """Ends connections: all of them, a share of them, or the newest ones."""
        if seed is not None:
            self.chance.seed(seed)
        chosen = self._all(share, newest)
        for pair in chosen:
            self.end(pair, reset=how == "rst")
        return {"ended": len(chosen)}

    def do_halfclose(self, direction, share=1.0):
        chosen = self._all(share, 0)
        for pair in chosen:
            for lane in pair.lanes(direction):
                if not pair.closed:
                    self.harm(lane, "halfclose")
        return {"ended": len(chosen)}

    def do_blackhole(self, direction="both"):
        """Bytes stop; new connections are accepted by the kernel and hear nothing."""
        for name in (UP, DOWN):
            self.black[name] = self.black[name] or direction in ("both", name)
        self.silence = True
        self._watch_all()

    def do_silence(self):
        self.silence = True

    def do_refuse(self):
        self.refuse()

    def do_delay(self, seconds, jitter=0.0, direction="both"):
        for name in (UP, DOWN):
            if direction in ("both", name):
                self.delays[name] = (seconds, jitter)

    def do_rate(self, bytes_per_second, direction="both"):
        for name in (UP, DOWN):
            if direction in ("both", name):
                self.rates[name] = bytes_per_second

    def do_slice(self, size, pause, direction="both"):
        for name in (UP, DOWN):
            if direction in ("both", name):
                self.slices[name] = (size, pause)

    def do_cut_after(self, direction, bytes, how, once=True):
        """Counts from now, per connection."""
        for pair in self.pairs.values():
            pair.up.passed = pair.down.passed = 0
        self.cut_after = {"direction": direction, "bytes": bytes, "how": how, "once": once}

    def do_cut_on(self, direction, type, nth, how, after=False, bytes=0):
        """At the nth message of a type from now, over all connections: before it, `bytes` into it, or after it."""
        self.cut_on = {"direction": direction, "type": type, "nth": nth, "how": how, "after": after, "bytes": bytes}

    def do_heal(self):
        """No trouble for anybody from now on; what was held flows again, who heard nothing is reset."""
        self.reset_trouble()
        self.listen()
        for client in self.silent:
            self.abort(client)
        self.silent.clear()
        for pair in list(self.pairs.values()):
            for lane in pair.lanes():
                lane.stalled, lane.free_at = False, 0.0
                for each in lane.queue:
                    each[0] = 0.0
                lane.next_due = 0.0
                self.flush(lane)

    def do_retarget(self, host, port):
        self.target = (host, port)

    def do_stats(self, since=0.0):
        passed = {name: max((lane.passed for pair in self.pairs.values() for lane in pair.lanes(name)), default=0)
                  for name in (UP, DOWN)}
        return {"accepted": self.count, "open": len(self.pairs), "fired": self.fired, "silent": len(self.silent),
                "passed": passed,
                "accepted_at": [at for at in self.accepted_at if at >= since] if since else []}

    def _watch_all(self):
        for pair in self.pairs.values():
            if pair.connected:
                self.watch(pair)


def main():
    relay = Relay((sys.argv[1], int(sys.argv[2])))
    print(json.dumps({"port": relay.port}), flush=True)
    relay.run()


if __name__ == "__main__":
    main()
