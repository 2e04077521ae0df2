"""What a system case is given: one cluster for the run, and proxies in front of it as the case wants them."""

from lib.cluster import Cluster
from lib.deadline import eventually
from lib.processes import Workspace
from lib.proxy import Proxy, base_config
from lib.wire_client import Closed, ServerError

DATABASE = "system"
OTHER_DATABASE = "system2"


class Bench:
    def __init__(self, suite):
        self._suite = suite
        self._proxies, self._count = [], 0
        self.workspace = self.cluster = None
        suite.on_failure(lambda: "\n".join(proxy.log_tail() for proxy in self._proxies))

    def prepare(self):
        self.workspace = Workspace("system")
        self._suite.cleanup(self.workspace.remove)
        self.cluster = Cluster(self.workspace)
        self._suite.cleanup(self.cluster.stop)
        for name in (DATABASE, OTHER_DATABASE):
            self.cluster.create_database(name)
        self.sql("create table t (id int primary key); alter table t owner to app")

    def play(self, case):
        """Runs one case; whatever proxies it leaves behind are ended."""
        self._proxies = []
        if not self.cluster.is_running():
            self.cluster.start()
        self._end_sessions()
        self.sql("truncate t")
        try:
            case(self)
        finally:
            for proxy in self._proxies:
                proxy.kill()

    def _end_sessions(self):
        """What an earlier case left running must not be counted in this one, nor a crash of its making be met in it."""
        eventually(self._is_open, "the server is back")
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename like 'app%'")
        eventually(lambda: not self.server_pids(), "earlier sessions have ended")

    def _is_open(self):
        try:
            return self.sql("select 1")
        except (ServerError, Closed):
            return False

    def proxy(self, environment=None, **sections):
        """A proxy for the cluster, not yet started; use it with `with`."""
        return self.proxy_with(base_config(self.cluster, **sections), environment)

    def proxy_with(self, config, environment=None):
        self._count += 1
        proxy = Proxy(self.workspace.path, config, environment, f"proxy{self._count}")
        self._proxies.append(proxy)
        return proxy

    def sql(self, text):
        return self.cluster.sql(text, DATABASE)

    def running(self, text):
        """How many servers execute a statement with this text."""
        return int(self.sql("select count(*) from pg_stat_activity where state = 'active' "
                            f"and pid <> pg_backend_pid() and query like '%{text}%'")[0][0])

    def wait_running(self, text):
        eventually(lambda: self.running(text), f"{text} is running")

    def wait_not_running(self, text):
        eventually(lambda: not self.running(text), f"{text} has ended")

    def server_pids(self):
        """The pids of app's sessions, whatever they do."""
        return {row[0] for row in self.sql("select pid from pg_stat_activity where usename like 'app%'")}

    def tls(self):
        """Settings that offer TLS to clients."""
        certificates = self.cluster.certificates
        return {"mode": "allow", "cert_file": str(certificates.certificate), "key_file": str(certificates.key)}


ONE_SERVER = {"size": 1, "max_overflow": 0, "min_size": 0}
