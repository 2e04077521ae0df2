"""What a case is given: a primary with a standby, a proxy in front of them, a browser, and work that keeps the curves busy."""

import contextlib
import threading

from chromium import Chromium
from lib.cluster import Cluster
from lib.processes import Workspace
from lib.proxy import Proxy, base_config
from lib.wire_client import Closed, ServerError

DATABASE = "shop"
TOKEN = "operate-token-0123456789abcdef"
READ_TOKEN = "read-token-0123456789abcdef"


class Stage:
    def __init__(self, suite):
        self._suite = suite
        self._proxy, self._page, self._count = None, None, 0
        suite.on_failure(lambda: self._proxy.log_tail() if self._proxy else "")

    def prepare(self):
        self.workspace = Workspace("browser")
        self._suite.cleanup(self.workspace.remove)
        self.primary = Cluster(self.workspace, "primary")
        self._suite.cleanup(lambda: self.primary.stop())
        self.primary.create_database(DATABASE)
        self.primary.sql("create table items (id int primary key, price int); alter table items owner to app; "
                         "insert into items select i, i from generate_series(1, 1000) i", DATABASE)
        self.standby = Cluster(self.workspace, "standby", copy_of=self.primary)
        self._suite.cleanup(lambda: self.standby.stop())
        self._leave = contextlib.ExitStack()
        self._suite.cleanup(self._leave.close)
        self.browser = self._leave.enter_context(Chromium(self.workspace))

    def play(self, case):
        for cluster in (self.primary, self.standby):
            if not cluster.is_running():
                cluster.start()
        try:
            case(self)
        finally:
            if self._page:
                self.browser.close(self._page)
                self._page = None

    @contextlib.contextmanager
    def proxy(self, **sections):
        """A running proxy in front of both servers, with an operate token."""
        self._count += 1
        settings = {"admin": {"operate_token": TOKEN},
                    "backends": {"hosts": [f"127.0.0.1:{each.port}" for each in (self.primary, self.standby)]},
                    "pool": {"size": 6, "max_overflow": 4}}
        config = base_config(self.primary, **settings)
        for name, section in sections.items():
            config[name] = {**config.get(name, {}), **section}
        self._proxy = Proxy(self.workspace.path, config, None, f"proxy{self._count}")
        with self._proxy as running:
            yield running

    def open(self, proxy, **look):
        self._page = self.browser.open(f"http://127.0.0.1:{proxy.admin_port}/", **look)
        return self._page

    @contextlib.contextmanager
    def work(self, proxy, clients=6):
        """Clients that read and write without pause, and take what comes."""
        stop = threading.Event()
        threads = [threading.Thread(target=_work, args=(proxy, stop, at), daemon=True) for at in range(clients)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            stop.set()
            for each in threads:            # one that is held ends with its proxy
                each.join(2)


def _work(proxy, stop, number):
    while not stop.is_set():
        try:
            with proxy.connect(DATABASE) as client:
                while not stop.is_set():
                    client.query("select price from items where id = 7", 60)
                    if number % 2:
                        client.query("begin", 60)
                        client.query("update items set price = price + 1 where id = %d" % number, 60)
                        client.query("commit", 60)
                    stop.wait(0.01)
        except (OSError, Closed, ServerError):
            stop.wait(0.2)
