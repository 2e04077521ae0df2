"""W8: clients that sleep through the outage and ask something afterwards. One thread for all of them."""

from clients import RawClient
from lib.wire_client import Closed, ServerError

COUNT = 40


class Idlers(RawClient):
    """Each step wakes one of them, in turn; none may have lost its connection."""
    kind = "idler"
    count = COUNT

    def connect(self):
        self.sleepers = [self.target.connect_wire() for _ in range(self.count)]
        self.next = 0
        return self.sleepers[0]

    def step(self):
        self.next = (self.next + 1) % len(self.sleepers)
        client = self.sleepers[self.next]

        def wake():
            result = client.query("select 'awake'", 90)
            if result.error:
                raise ServerError(result.error)
            if result.rows != [["awake"]]:
                self.history.violation("I7", self.name, f"a sleeper was told {result.rows}")
        self.attempt(self.kind, None, wake)

    def judge(self, problem):
        answer = super().judge(problem)
        if isinstance(problem, ServerError):
            alive = self.sleepers[self.next].is_silent()
            return answer._replace(disconnected=not alive)
        return answer

    def drop(self):
        """Only the one that was lost is replaced."""
        sleepers = getattr(self, "sleepers", None)
        if not sleepers or self.stopping.is_set():
            for client in sleepers or []:
                client.abandon()
            self.connection = None
            return
        self.sleepers[self.next].abandon()
        try:
            self.sleepers[self.next] = self.target.connect_wire()
        except (ServerError, Closed, AssertionError, OSError) as problem:
            self.history.sign_in_error(self.name, str(problem))
            for client in self.sleepers:
                client.abandon()
            self.connection, self.sleepers = None, []

    def leave(self):
        for client in self.sleepers or []:
            client.close()
        self.sleepers, self.connection = [], None
