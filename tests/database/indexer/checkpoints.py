"""What tests of checkpoints ask of the books, and the deposits they make."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from indexer.checkpoint import CheckpointPace
from indexer.rescan import Effort
from settlement.db.pool import reading
from settlement.reconcile import checkpoint
from settlement.reconcile.checkpoint import Account, Stop
from tests.database.indexer.conftest import Desk
from tests.database.indexer.vaults import OFTEN, Life, VaultNode, life
from tests.pure.transactions import (
    ALICE_ATA,
    BOND,
    TILL,
    WATCH,
    Answer,
    answer,
    deposit,
    signature,
    transfer,
)

TILL_ACCOUNT = Account(cluster=WATCH.cluster, address=str(TILL), name="till vault")
MISMATCH = "the balance is not the sum of the movements"
STOPPED_TILL = "checkpoint of till vault"


def coded(number: int, desk: Desk, *, slot: int, amount: int = 5) -> Answer:
    made = answer(deposit(desk.user_code, amount), till=amount)
    made.signature, made.slot = signature(number), slot
    return made


def stray(number: int, *, slot: int, amount: int = 7) -> Answer:
    made = answer(transfer(ALICE_ATA, BOND, amount), bond=amount)
    made.signature, made.slot = signature(number), slot
    return made


def begin(
    desk: Desk,
    found: list[VaultNode],
    *,
    pace: CheckpointPace = OFTEN,
    effort: Effort | None = None,
) -> Life:
    """A new life of the indexer over these nodes."""
    return life(found, desk.pool, desk.writer, pace=pace, effort=effort)


async def verdicts(desk: Desk, address: str = str(TILL)) -> list[tuple[str, int | None, int, int]]:
    """What came of each comparison, without saying the same twice in a row."""
    rows = await desk.rows(
        "select verdict, slot, agreeing, sources from settlement.checkpoint where address = $1"
        " order by checkpoint_id",
        address,
    )
    return [(row["verdict"], row["slot"], row["agreeing"], row["sources"]) for row in rows]


async def stop_of(desk: Desk) -> Stop | None:
    async with reading(desk.pool) as conn:
        return await checkpoint.open_stop(conn, TILL_ACCOUNT)


async def open_incidents(desk: Desk) -> list[str]:
    rows = await desk.rows("select kind from indexer.incident where closed_at is null")
    return [row["kind"] for row in rows]


async def is_calm(desk: Desk) -> bool:
    """Nothing is stopped, and nobody has to look."""
    return await stop_of(desk) is None and not await open_incidents(desk) + [*await desk.halts()]


@asynccontextmanager
async def tampering(desk: Desk) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """A superuser whom no trigger stops."""
    connection = await asyncpg.connect(desk.database.dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        yield connection
    finally:
        await connection.close()
