"""W5: a session's settings against a shadow of them; and a session that is pinned by what cannot be restored."""

from clients import DriverClient, RawClient, StatementError

VALUES = {"work_mem": ("5MB", "6MB", "7MB"), "datestyle": ("ISO, DMY", "ISO, MDY", "ISO, YMD"),
          "timezone": ("UTC", "Europe/Berlin", "Asia/Tokyo"), "extra_float_digits": ("0", "1", "2")}
NAMES = sorted(VALUES)


class SessionState(DriverClient):
    """What was acknowledged must hold in every later statement; what was rolled back must not."""
    kind = "state"

    def on_connected(self):
        self.shadow = {}

    def step(self):
        self.chance.choice((self._set, self._look, self._look, self._local, self._set_and_roll_back))()

    def _pick(self):
        name = self.chance.choice(NAMES)
        return name, self.chance.choice(VALUES[name])

    def _set(self):
        name, value = self._pick()
        answer, _ = self.attempt("set", None, lambda: self.execute(f"set {name} to '{value}'"))
        if not answer.error or answer.outcome == "committed":
            self.shadow[name] = value
        elif answer.outcome == "unknown":
            self.shadow.pop(name, None)

    def _local(self):
        """SET LOCAL ends with its transaction."""
        name, value = self._pick()
        self._in_transaction(f"set local {name} to '{value}'", name, value, "commit")

    def _set_and_roll_back(self):
        name, value = self._pick()
        self._in_transaction(f"set {name} to '{value}'", name, value, "rollback")

    def _in_transaction(self, text, name, value, end):
        def work():
            self.execute("begin")
            self.execute(text)
            inside = self.execute(f"show {name}")[0][0]
            self.execute(end)
            return inside
        answer, inside = self.attempt("state-tx", None, work)
        if answer.error and self.connection is not None:
            self.attempt("rollback", None, lambda: self.execute("rollback"))
        elif not answer.error and inside != value:
            self.history.violation("I8", self.name, f"{name} is {inside} after {text} in the same transaction")
        self._look()

    def _look(self):
        if self.connection is None or not self.shadow:
            return
        names = sorted(self.shadow)
        text = "select " + ", ".join(f"current_setting('{name}')" for name in names)
        answer, rows = self.attempt(self.kind, None, lambda: self.execute(text))
        if answer.error:
            return
        for name, value in zip(names, rows[0]):
            if value != self.shadow[name]:
                self.history.violation("I8", self.name, f"{name} is {value}, and {self.shadow[name]} was acknowledged")


class PinnedSession(RawClient):
    """A temporary table and an advisory lock: lost with the server, so the session must end, never go on without."""
    kind = "pinned"

    def on_connected(self):
        self.ready = False

    def step(self):
        if not self.ready:
            answer, _ = self.attempt("pin", None, lambda: self._ask(
                "create temporary table mine as select 7 as seven; select pg_advisory_lock(hashtext(current_user) + 1)"))
            self.ready = not answer.error
            if answer.error:
                self.drop()              # half of it may be there: begin again on a fresh session
            return
        answer, rows = self.attempt(self.kind, None, lambda: self._ask(
            "select seven, (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) "
            "from mine"))
        if answer.sqlstate == "42P01":
            self.history.violation("I8", self.name, "the session lives on without its temporary table")
        elif not answer.error and rows != [["7", "1"]]:
            self.history.violation("I8", self.name, f"the pinned session has {rows}")

    def _ask(self, text):
        result = self.connection.query(text, 90)
        if result.error:
            raise StatementError(result.error)
        return result.rows
