"""Every query in a `.sql` file is good SQL, may be run by a role that has it, and is used.

Each is prepared against the migrated database (a misspelt column or a wrong type fails) and then
explained as the role, which checks its rights without running it.
"""

import re
from importlib import resources
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from settlement.db import sql
from tests.conftest import PACKAGES, Database

ROOT = Path(__file__).parents[2]
# A statement that was prepared outlives the transaction that is rolled back: each has its own name.
_numbers = count()
# Whose connections the queries of a package run on; each must be allowed to at least one of them.
ROLES = {
    "settlement": ("pod_settlement", "pod_indexer", "pod_coordinator", "pod_signer"),
    "indexer": ("pod_indexer",),
    "coordinator": ("pod_coordinator",),
}
# Where it is exactly known, a role of its own that must be enough for the whole file.
ROLE_OF_FILE = {
    "indexer/explain.sql": "pod_finance",
    "indexer/replay.sql": "pod_finance",
    "indexer/audit.sql": "pod_indexer",
    "indexer/evidence.sql": "pod_indexer",
    "indexer/overview.sql": "pod_finance",
    "settlement/assignments.sql": "pod_settlement",
    "settlement/deposits.sql": "pod_coordinator",
    "settlement/bonds/bonds.sql": "pod_indexer",
    "settlement/cases/crediting.sql": "pod_settlement",
    "settlement/cases/lists.sql": "pod_settlement",
    "settlement/cases/opening.sql": "pod_settlement",
    "settlement/cases/reading.sql": "pod_coordinator",
    "settlement/charges/charges.sql": "pod_coordinator",
    "settlement/cranks/cranks.sql": "pod_settlement",
    "settlement/cranks/sign.sql": "pod_signer",
    "settlement/ledger/deposit_road.sql": "pod_indexer",
    "settlement/ledger/feed.sql": "pod_finance",
    "settlement/ledger/ledger.sql": "pod_coordinator",
    "settlement/ledger/names.sql": "pod_coordinator",
    "settlement/ledger/upkeep.sql": "pod_settlement",
    "settlement/ledger/verify.sql": "pod_finance",
    "settlement/payouts/bond_refund.sql": "pod_coordinator",
    "settlement/payouts/decide.sql": "pod_finance",
    "settlement/payouts/gate.sql": "pod_settlement",
    "settlement/payouts/life.sql": "pod_settlement",
    "settlement/payouts/messages.sql": "pod_settlement",
    "settlement/payouts/nudge.sql": "pod_settlement",
    "settlement/payouts/outcome.sql": "pod_indexer",
    "settlement/payouts/payouts.sql": "pod_settlement",
    "settlement/payouts/policy.sql": "pod_signer",
    "settlement/payouts/queue.sql": "pod_finance",
    "settlement/payouts/sign.sql": "pod_signer",
    "settlement/reports/journal.sql": "pod_finance",
    "settlement/reports/statement.sql": "pod_finance",
    "settlement/reports/trial.sql": "pod_finance",
    "settlement/schedules/schedules.sql": "pod_coordinator",
    "settlement/schedules/ticks.sql": "pod_settlement",
    "settlement/withdrawals/withdrawals.sql": "pod_coordinator",
}


def query_files() -> list[str]:
    return sorted(
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.sql")
        if path.name != "schema.sql" and path.parent.name != "migrations"
    )


def load(file: str) -> sql.Queries:
    path = Path(file)
    return sql.load(".".join(path.parent.parts), path.name)


async def test_every_query_can_be_run_by_its_role(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn)
    problems: list[str] = []
    try:
        for file in query_files():
            queries = load(file)
            problems += [
                f"{file} {name}: {problem}"
                for name in queries.names()
                if (problem := await _problem(connection, file, queries[name]))
            ]
    finally:
        await connection.close()
    assert not problems, "\n".join(problems)


async def _problem(
    connection: "asyncpg.Connection[asyncpg.Record]", file: str, query: str
) -> str | None:
    """Why nobody can run the query; None when somebody who should can."""
    known = ROLE_OF_FILE.get(file)
    roles = (known,) if known else ROLES[Path(file).parts[0]]
    problem: str | None = None
    for role in roles:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"set local role {role}")
            await _explain(connection, query)
        except asyncpg.PostgresError as error:
            problem = f"as {role}: {error}"
        else:
            return None
        finally:
            await transaction.rollback()
    return problem


async def _explain(connection: "asyncpg.Connection[asyncpg.Record]", query: str) -> None:
    """Plan it and start it, which checks rights, without running it."""
    parameters = len((await connection.prepare(query)).get_parameters())
    arguments = f"({', '.join(['null'] * parameters)})" if parameters else ""
    name = f"checked_{next(_numbers)}"
    await connection.execute(f"prepare {name} as {query.rstrip().rstrip(';')}")
    await connection.execute(f"explain execute {name}{arguments}")


@pytest.mark.parametrize("file", query_files())
def test_every_query_is_used(file: str) -> None:
    package = Path(file).parts[0]
    python = "\n".join(path.read_text() for path in (ROOT / package).rglob("*.py"))
    for name in load(file).names():
        assert re.search(rf"""\[\s*["']{name}["']\s*\]""", python), f"{file}: {name} is not used"


def test_the_files_with_queries_are_known() -> None:
    files = query_files()
    assert set(ROLE_OF_FILE) <= set(files)
    for file in files:
        package = ".".join(Path(file).parent.parts)
        assert resources.files(package).joinpath(Path(file).name).is_file(), file
