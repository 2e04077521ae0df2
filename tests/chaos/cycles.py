"""I5: do the transactions of W3 admit an order? A checker for lists that are only appended to, after Elle (Kingsbury, Alvaro).

Each value is appended once, so the list that there is in the end says in which order its appends were made. From that follow the
dependencies between transactions: ww (appended behind), wr (read what the other appended last), rw (read a state that the
other's append ended). Cycles of these are anomalies: of ww alone G0, with wr G1c, with one rw G-single, with several G2.
G1a is a read of what was rolled back, G1b of the middle of somebody's transaction. What each level forbids: FORBIDDEN.
"""

from collections import defaultdict
from typing import NamedTuple

APPEND, READ = "append", "read"
FORBIDDEN = {"read committed": {"G0", "G1c"}, "repeatable read": {"G0", "G1c", "G-single"},
             "serializable": {"G0", "G1c", "G-single", "G2"}}


class Transaction(NamedTuple):
    """What one client did in one transaction, in order: (APPEND, key, value) and (READ, key, values)."""
    name: str
    level: str
    steps: tuple
    outcome: str                  # as in history.py


def judge_lists(transactions, final):
    """Sentences about what cannot be; `final` is {key: values} as the database has them in the end."""
    return _Judge(transactions, final).problems()


class _Judge:
    def __init__(self, transactions, final):
        self.transactions, self.final = transactions, final
        self.found = []
        self.writer = {}                         # value: its transaction
        self.last_of = {}                        # (transaction, key): the value that it appended last
        for each in transactions:
            for step, key, value in each.steps:
                if step == APPEND:
                    self.writer[value] = each
                    self.last_of[each.name, key] = value

    def problems(self):
        self._effects()
        self._reads()
        self._cycles()
        return self.found

    def _effects(self):
        """I1 to I3 for appends."""
        for key, values in self.final.items():
            for value in sorted({each for each in values if values.count(each) > 1}):
                self.found.append(f"I3 doubled: {value} stands {values.count(value)} times in list {key}")
            for value in values:
                if value not in self.writer:
                    self.found.append(f"I3 {value} stands in list {key}, and nobody asked for it")
        there = {value for values in self.final.values() for value in values}
        for value, owner in self.writer.items():
            if owner.outcome in ("ok", "committed") and value not in there:
                self.found.append(f"I1 lost: {value} of {owner.name}, which was told {owner.outcome}")
            elif owner.outcome in ("rolled_back", "not_executed") and value in there:
                self.found.append(f"I2 wrong: {value} of {owner.name}, which was told {owner.outcome}")

    def _reads(self):
        for each in self.transactions:
            if each.outcome != "ok":
                continue
            own = defaultdict(list)
            for step, key, value in each.steps:
                if step == APPEND:
                    own[key].append(value)
                    continue
                mine = own[key]
                if mine and list(value[-len(mine):]) != mine:
                    self.found.append(f"I5 internal: {each.name} appended {mine} to {key} and read {list(value)}")
                    continue
                self._read(each, key, list(value[:len(value) - len(mine)]))

    def _read(self, reader, key, values):
        for value in values:
            writer = self.writer.get(value)
            if writer and writer.outcome in ("rolled_back", "not_executed"):
                self.found.append(f"I5 G1a: {reader.name} read {value} of {writer.name}, which was rolled back")
        order = list(self.final.get(key, ()))
        if values != order[:len(values)]:
            self.found.append(f"I5 {reader.name} read {values} from {key}, which is no beginning of {tuple(order[:len(values) + 3])}")
        if values:
            last = values[-1]
            writer = self.writer.get(last)
            if writer and writer is not reader and self.last_of[writer.name, key] != last:
                self.found.append(f"I5 G1b: {reader.name} read {last} from {key}, the middle of {writer.name}")

    # ---- cycles -----------------------------------------------------------------------------------------------------

    def _edges(self):
        """{kind: {transaction: {transactions}}} by name."""
        edges = {kind: defaultdict(set) for kind in ("ww", "wr", "rw")}

        def add(kind, left, right):
            if left and right and left.name != right.name:
                edges[kind][left.name].add(right.name)
        for values in self.final.values():
            for before, after in zip(values, values[1:]):
                add("ww", self.writer.get(before), self.writer.get(after))
        for each in self.transactions:
            if each.outcome != "ok":
                continue
            own = defaultdict(int)
            for step, key, value in each.steps:
                if step == APPEND:
                    own[key] += 1
                    continue
                seen = len(value) - own[key]
                order = self.final.get(key, ())
                if seen > 0:
                    add("wr", self.writer.get(value[seen - 1]), each)
                behind = next((self.writer.get(later) for later in order[seen:]
                               if self.writer.get(later) is not each), None)
                add("rw", each, behind)
        return edges

    def _cycles(self):
        edges = self._edges()
        level = {each.name: each.level for each in self.transactions}
        hard = merge(edges["ww"], edges["wr"])
        for kind, cycle in (("G0", any_cycle(edges["ww"])), ("G1c", any_cycle(hard)),
                            ("G-single", self._single(edges["rw"], hard, level)),
                            ("G2", self._any_forbidden(merge(hard, edges["rw"]), level))):
            if cycle and all(kind in FORBIDDEN[level[name]] for name in cycle):
                self.found.append(f"I5 {kind}: {' -> '.join(cycle)} -> {cycle[0]}")
                return                           # weaker ones contain it

    @staticmethod
    def _single(rw, hard, level):
        """A cycle with exactly one rw."""
        for left, rights in rw.items():
            for right in rights:
                path = way(hard, right, left)
                if path and all("G-single" in FORBIDDEN[level[name]] for name in path):
                    return path
        return None

    @staticmethod
    def _any_forbidden(graph, level):
        strict = {name for name, its in level.items() if "G2" in FORBIDDEN[its]}
        return any_cycle({left: rights & strict for left, rights in graph.items() if left in strict})


def merge(*graphs):
    whole = defaultdict(set)
    for graph in graphs:
        for left, rights in graph.items():
            whole[left] |= rights
    return whole


def way(graph, start, goal):
    """The names from start to goal, both included; None: there is no way."""
    before, line = {start: None}, [start]
    while line:
        name = line.pop(0)
        if name == goal:
            path = [name]
            while before[path[-1]] is not None:
                path.append(before[path[-1]])
            return path[::-1]
        for right in graph.get(name, ()):
            if right not in before:
                before[right] = name
                line.append(right)
    return None


def any_cycle(graph):
    """The names of a cycle, in order; None without any."""
    done = set()
    for start in graph:
        if start in done:
            continue
        on_path, stack = {start: iter(graph.get(start, ()))}, [start]
        while stack:
            right = next(on_path[stack[-1]], None)
            if right is None:
                done.add(stack[-1])
                del on_path[stack.pop()]
            elif right in on_path:
                return stack[stack.index(right):]
            elif right not in done:
                on_path[right] = iter(graph.get(right, ()))
                stack.append(right)
    return None
