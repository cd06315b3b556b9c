"""What a stretch of work cost: WAL and table bytes by the server's word, CPU time by the kernel's.

The WAL holds whatever the server wrote, autovacuum's share too. After a checkpoint the first change
of a page writes all of it. No checkpoint falls into a run this short (the count is reported), but
the restart for slow syncs ends in one, so the WAL figures there are higher; and a database that has
lived longer writes more for the same work.
"""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.bench.harness import Number

_READ = """
select pg_current_wal_lsn() - '0/0'::pg_lsn as wal,
       (select num_timed + num_requested from pg_stat_checkpointer) as checkpoints,
       coalesce(sum(pg_relation_size(c.oid)) filter (where c.relkind = 'r'), 0) as heap,
       coalesce(sum(pg_relation_size(c.oid)) filter (where c.relkind = 'i'), 0) as indexes
  from pg_class c
 where c.relnamespace = $1::text::regnamespace
"""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Places in /proc/<pid>/stat after the name in parentheses: parent, and four counts of ticks.
_PARENT, _USER, _SYSTEM, _ENDED_USER, _ENDED_SYSTEM = 1, 11, 12, 13, 14


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What had been used up at one moment."""

    wal_bytes: int
    heap_bytes: int
    index_bytes: int
    checkpoints: int
    client_seconds: float
    server_seconds: float

    def per_request(self, before: "Reading", requests: int) -> dict[str, Number]:
        """What one of `requests` requests cost since `before`."""

        def of(total: float, digits: int = 0) -> Number:
            return round(total / max(requests, 1), digits or None)

        return {
            "wal_bytes_per_request": of(self.wal_bytes - before.wal_bytes),
            "heap_bytes_per_request": of(self.heap_bytes - before.heap_bytes),
            "index_bytes_per_request": of(self.index_bytes - before.index_bytes),
            "client_cpu_us_per_request": of(1e6 * (self.client_seconds - before.client_seconds)),
            "server_cpu_us_per_request": of(1e6 * (self.server_seconds - before.server_seconds)),
        }


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Reads what one schema's work costs on one server."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    server_pid: int
    schema: str

    async def read(self) -> Reading:
        """Now."""
        row = await self.connection.fetchrow(_READ, self.schema)
        assert row is not None, "an aggregate is one row"
        return Reading(
            wal_bytes=int(row["wal"]),
            heap_bytes=int(row["heap"]),
            index_bytes=int(row["indexes"]),
            checkpoints=int(row["checkpoints"]),
            client_seconds=client_seconds(),
            server_seconds=server_seconds(self.server_pid),
        )


def client_seconds() -> float:
    """CPU time of this process and of those it started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def server_seconds(pid: int) -> float:
    """CPU time of a server: the process, its children, and its children that have ended."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*"):
        fields = _stat(place)
        if place.name == str(pid):
            ticks += sum(int(fields[at]) for at in (_USER, _SYSTEM, _ENDED_USER, _ENDED_SYSTEM))
        elif fields and fields[_PARENT] == str(pid):
            ticks += int(fields[_USER]) + int(fields[_SYSTEM])
    return ticks / _TICKS_PER_SECOND


def _stat(place: Path) -> list[str]:
    """What the kernel counts of a process; nothing when it has just ended."""
    try:
        return (place / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
