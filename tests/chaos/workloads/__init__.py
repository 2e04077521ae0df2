"""What the clients do. Each module is one of the workloads W1 to W10; SCHEMA is what they need in the database."""

from .bank import BankReader, BankTeller
from .copying import Bulk, BulkIn, BulkOut, CopyIn, CopyOut
from .exactly_once import LogAutocommit, LogTransaction
from .lists import KEYS_PER_LEVEL, LEVELS, ListAppender
from .listening import Listener
from .many import Idlers
from .own_writes import OwnWrites
from .pipelines import Pipeliner
from .protocol import Deferred, Portals
from .reading import HEAP_ROWS, ReadLarge, ReadSmall, ReadUnordered
from .scripts import Scripter
from .standby import SlowRead, Snapshot
from .state import PinnedSession, SessionState

ACCOUNTS, START_BALANCE = 20, 1000
FACTS = 12_000

FILLER = "filler"                    # a client of chaos_log that is none: its rows are there to take room
STEPS_PROCEDURE = """create procedure chaos_steps(who text, number int, steps int) language plpgsql as $$
begin
  for step in 1..steps loop
    insert into chaos_log values (who, number, step);
    commit;
  end loop;
end $$;
"""
SCHEMA = f"""
create table chaos_log (client text, seq int, part int, pad text);
alter table chaos_log alter pad set storage plain;
create table chaos_once (client text, seq int, part int, unique (client, seq, part) deferrable initially deferred);
create table accounts (id int primary key, balance bigint not null);
insert into accounts select i, {START_BALANCE} from generate_series(1, {ACCOUNTS}) i;
create table lists (k int primary key, v text[] not null default '{{}}');
insert into lists select level * 10 + number from generate_series(1, {len(LEVELS)}) level, generate_series(0, {KEYS_PER_LEVEL - 1}) number;
create table chaos_bulk (client text, seq int, part int, pad text);
create table facts (i int primary key, pad text);
insert into facts select i, repeat(md5(i::text), 3) from generate_series(1, {FACTS}) i;
create table heap (i int, pad text);
insert into heap select i, repeat(md5(i::text), 3) from generate_series(1, {HEAP_ROWS}) i;
{STEPS_PROCEDURE}analyze;
grant all on all tables in schema public to app;
grant create on schema public to app;
"""
CLEAN = f"truncate chaos_log, chaos_once, chaos_bulk; update lists set v = '{{}}' where v <> '{{}}'; update accounts set balance = {START_BALANCE} where balance <> {START_BALANCE}"

# kind: what it is. Reads of up to 64 KiB have to pass every outage that is bridged without an error.
SMALL_READS = {"read", "sum", "state", "own-read"}

# (class, how many) of one run with all workloads together.
MIX = [(LogAutocommit, 2), (LogTransaction, 2), (BankTeller, 2), (BankReader, 1), (ReadSmall, 2), (ReadLarge, 1), (ReadUnordered, 2),
       (SessionState, 1), (PinnedSession, 1), (Listener, 1), (CopyIn, 1), (CopyOut, 1), (Pipeliner, 2), (Deferred, 1), (Portals, 1), (Scripter, 1),
       (Idlers, 1), (ListAppender, 3), (OwnWrites, 1)]
BULK = [(BulkIn, 1), (BulkOut, 1)]

__all__ = ["ACCOUNTS", "BULK", "CLEAN", "FACTS", "FILLER", "MIX", "SCHEMA", "SMALL_READS", "START_BALANCE", "STEPS_PROCEDURE", "BankReader", "BankTeller", "Bulk",
           "CopyIn", "CopyOut", "Deferred", "Idlers", "ListAppender", "Listener", "LogAutocommit", "LogTransaction", "OwnWrites", "PinnedSession", "Pipeliner", "Portals",
           "ReadLarge", "ReadSmall", "ReadUnordered", "Scripter", "SessionState", "SlowRead", "Snapshot"]
