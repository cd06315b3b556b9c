"""The plain design, pushed by `pgbench` with prepared statements.

That client costs next to nothing, so what is measured is the design: a Python client would make
the plain figures worse, and ours look better beside them.
"""

import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from localnet import postgres
from tests.bench.harness import Number
from tests.bench.ledger_meter import Meter
from tests.bench.load import Answers

SCHEMA = "plain"
TREASURIES = 64
_SQL = Path(__file__).with_name("ledger_plain.sql")
_BALANCE = 10**12
# Treasuries are 1 to 64, then come the users, then the operators.
_FILL = """
insert into plain.account (account_id, balance, floored)
select n, case when n > $1 and n <= $1 + $2 then $4::bigint else 0 end, n > $1
  from generate_series(1, $1::bigint + $2::bigint + $3::bigint) as n
"""
_SETTLED = "select count(*) from plain.charge"
_RATE = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)", re.MULTILINE)
_SCRIPT = """\\set payer {treasuries} + random(1, {users})
\\set operator {treasuries} + {users} + random(1, {hosts})
\\set treasury random(1, {rows})
\\set gross random(1, 1000)
select plain.settle(gen_random_uuid(), :payer, :operator, :treasury, :gross)
"""


@dataclass(frozen=True, kw_only=True)
class PlainBooks:
    """The plain design's tables in one database, filled for so many users and operators."""

    cluster: postgres.Cluster
    database: str
    users: int
    hosts: int

    async def fill(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Make the tables."""
        await connection.execute(_SQL.read_text())
        await connection.execute(_FILL, TREASURIES, self.users, self.hosts, _BALANCE)
        await connection.execute("vacuum analyze plain.account")

    async def push(
        self, meter: Meter, *, connections: int, treasuries: int, seconds: int
    ) -> dict[str, Number]:
        """Settle over so many connections, each one request at a time."""
        settled = await self._settled(meter)
        before = await meter.read()
        answers = self._pgbench(connections, treasuries, seconds)
        after = await meter.read()
        settled = await self._settled(meter) - settled
        requests = len(answers.taken)
        return {
            **replace(answers, failed=requests - settled).figures(),
            **after.per_request(before, requests),
        }

    async def _settled(self, meter: Meter) -> int:
        return int(await meter.connection.fetchval(_SETTLED))

    def _pgbench(self, connections: int, treasuries: int, seconds: int) -> Answers:
        """Run it; its own rate leaves out the time that connecting took."""
        directory = self.cluster.directory
        script, log = directory / "plain.pgbench", directory / "plain.log"
        script.write_text(
            _SCRIPT.format(
                treasuries=TREASURIES, users=self.users, hosts=self.hosts, rows=treasuries
            )
        )
        told = subprocess.run(
            [
                *(str(postgres.binaries() / "pgbench"), "--no-vacuum", "--protocol=prepared"),
                *("-h", "127.0.0.1", "-p", str(self.cluster.port), "-U", "postgres"),
                *("-c", str(connections), "-j", str(min(connections, 2)), "-T", str(seconds)),
                *("-f", str(script), "--log", f"--log-prefix={log}", self.database),
            ],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PGPASSFILE": str(self.cluster.password_file.absolute())},
        )
        taken: list[float] = []
        for part in directory.glob(f"{log.name}.*"):
            # Client, number of the transaction, microseconds, ...
            taken += [int(line.split()[2]) / 1e6 for line in part.read_text().splitlines()]
            part.unlink()
        rate = _RATE.search(told.stdout)
        assert rate is not None, "pgbench says how quick it was"
        return Answers(seconds=len(taken) / float(rate[1]), taken=taken, failed=0)
