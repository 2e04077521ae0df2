"""Where the drivers connect to, in every form that they want it, and what they do the same way."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable
from urllib.parse import quote

from lib.deadline import eventually
from lib.proxy import clean_environment

DATABASE = "drivers"
SECOND_DATABASE = "restored"

SCHEMA = """
create table if not exists items (id int primary key, name text, price numeric);
truncate items;
insert into items values (1, 'one', 1.5), (2, 'two', 2.5), (3, 'three', null);
create table if not exists counter (n bigint);
truncate counter;
insert into counter values (0);
alter table items owner to app;
alter table counter owner to app;
"""


@dataclass
class Endpoint:
    """An address with the credentials of user app, and SQL behind its back."""
    host: str
    port: int
    password: str
    ca_file: Path
    folder: Path
    admin_sql: Callable
    user: str = "app"
    database: str = DATABASE

    @property
    def address(self):
        return (self.host, self.port)

    def keywords(self, **more):
        """For libpq's drivers: TLS with verification unless said otherwise."""
        return {"host": self.host, "port": self.port, "user": self.user, "password": self.password,
                "dbname": self.database, "sslmode": "verify-full", "sslrootcert": str(self.ca_file),
                "gssencmode": "disable", **more}

    def environment(self, **more):
        """For programs: the same as PG variables."""
        return {**clean_environment(), "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user,
                "PGPASSWORD": self.password, "PGDATABASE": self.database, "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": str(self.ca_file), "PATH": "/usr/lib/postgresql/15/bin:" + os.environ["PATH"],
                **{key: str(value) for key, value in more.items()}}

    def url(self):
        return (f"postgresql://{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}/{self.database}")

    def reset_schema(self):
        self.admin_sql(SCHEMA, self.database)

    def wait_for_running(self, text):
        """Until a server executes a statement that contains `text`."""
        eventually(lambda: int(self.admin_sql(
            "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() "
            f"and query like '%{text}%'")[0][0]), f"{text} is running")

    def wait_until_not_running(self, text):
        eventually(lambda: not int(self.admin_sql(
            "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() "
            f"and query like '%{text}%'")[0][0]), f"{text} has ended")
