"""What people decide is posted by a writer that ends its own other lives, and by no service."""

import pytest

from settlement import finance
from settlement.db.pool import Pool, open_pool
from settlement.finance import WRITER, FinanceBusy, as_finance
from settlement.ledger import store
from settlement.ledger.operations import Writer
from tests.conftest import Database


async def test_a_step_whose_life_was_ended_is_done_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finance, "_PAUSE_SECONDS", 0)
    pool = await open_pool(database.dsn, role="pod_settlement", application="test", size=2)
    lives: list[int] = []

    async def step(writer: Writer) -> str:
        lives.append(writer.epoch)
        if len(lives) < 3:
            raise store.WriterFenced(writer=writer.name, epoch=writer.epoch)
        return writer.name

    assert await as_finance(pool, step) == WRITER
    assert lives == [1, 2, 3]
    await pool.close()


async def test_it_gives_up_when_others_post_all_the_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finance, "_PAUSE_SECONDS", 0)
    pool = await open_pool(database.dsn, role="pod_settlement", application="test", size=2)

    async def fenced(writer: Writer) -> None:
        raise store.WriterFenced(writer=writer.name, epoch=writer.epoch)

    with pytest.raises(FinanceBusy):
        await as_finance(pool, fenced)
    await pool.close()


async def test_no_service_posts_as_finance(database: Database) -> None:
    settlement = await open_pool(database.dsn, role="pod_settlement", application="test", size=1)
    await store.open_writer(settlement, WRITER)
    others: list[Pool] = [
        await open_pool(database.dsn, role=role, application="test", size=1)
        for role in ("pod_coordinator", "pod_indexer")
    ]
    for pool in others:
        with pytest.raises(store.WriterNotOurs):
            await store.open_writer(pool, WRITER)
    for pool in (settlement, *others):
        await pool.close()
