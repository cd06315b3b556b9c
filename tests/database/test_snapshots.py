"""Where an account stood, from a snapshot and what came since: as the whole history says."""

import json
from collections.abc import AsyncIterator
from typing import cast

import asyncpg
import pytest

from settlement.db.pool import Pool, open_pool, reading
from settlement.ledger import snapshots
from settlement.ledger.seal import make_seal
from settlement.ledger.snapshots import EntriesGone, standing_at_entry
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.traffic import random_day

_FULL = (
    "select coalesce(sum(dr), 0)::bigint, coalesce(sum(cr), 0)::bigint from settlement.entry"
    " where account_id = $1 and entry <= $2"
)


@pytest.fixture
async def sealer(database: Database) -> AsyncIterator[Pool]:
    """Connections of the role that may seal."""
    opened = await open_pool(database.dsn, role="pod_settlement", application="test")
    yield opened
    await opened.close()


async def test_it_is_the_sum_of_all_entries(database: Database, sealer: Pool) -> None:
    """Every account at every entry, through seals and beyond the last."""
    for seed in (1, 2, 3):
        await random_day(database, seed, steps=12)
        assert await make_seal(sealer) is not None
    await random_day(database, 4, steps=12)
    async with reading(sealer) as conn:
        accounts = await conn.fetch("select account_id, version from settlement.balance")
        for account_id, newest in accounts:
            for entry in range(newest + 1):
                whole = await conn.fetchrow(_FULL, account_id, entry)
                assert whole is not None
                found = await standing_at_entry(conn, account_id, entry)
                assert found == tuple(whole), (account_id, entry)
            with pytest.raises(EntriesGone):
                await standing_at_entry(conn, account_id, newest + 1)


async def test_nothing_is_read_whole(books: Books, sealer: Pool) -> None:
    """Not with statistics of large tables, nor by plans made without knowing the arguments."""
    await make_seal(sealer)
    await books.apply(factories.deposit(books.user, 5))
    connection = await asyncpg.connect(books.database.dsn)
    try:
        await connection.execute(
            "set enable_seqscan = off; set plan_cache_mode = force_generic_plan"
        )
        for name, arguments in (
            ("around", "1, 1"), ("since", "1, 1, 9"), ("treasury_since", "1, 1, 9, 1, 2"),
        ):  # fmt: skip
            await connection.execute(f"prepare {name} as {snapshots._QUERIES[name]}")
            plan = await connection.fetchval(f"explain (format json) execute {name}({arguments})")
            scanned = [node for node in _nodes(json.loads(plan)[0]["Plan"])
                       if node["Node Type"] == "Seq Scan"]  # fmt: skip
            # Writers are a handful, and have no index by their treasury.
            assert {node["Relation Name"] for node in scanned} <= {"writer"}, name
            for node in _nodes(json.loads(plan)[0]["Plan"]):
                if str(node.get("Relation Name", "")).startswith("charge_"):
                    assert "Index Cond" in node, name
    finally:
        await connection.close()


def _nodes(plan: dict[str, object]) -> list[dict[str, object]]:
    children = cast("list[dict[str, object]]", plan.get("Plans", []))
    return [plan, *(node for child in children for node in _nodes(child))]
