"""The check that begins at a seal: what came since is checked in full, what was before is its own.

Books with archived days can only be checked so: their rows are in files.
"""

from collections.abc import AsyncIterator

import pytest

from localnet import postgres
from settlement.db.pool import Pool, open_pool
from settlement.ledger import verify_read, verify_state
from settlement.ledger.operations import Void
from settlement.ledger.seal import make_seal
from settlement.ledger.seal_read import SealMissing
from settlement.ledger.verify import Step, Verdict, verify
from settlement.ledger.verify_chain import Wrong
from settlement.ledger.verify_state import Progress
from tests import conftest, factories
from tests.conftest import Database
from tests.database.archiving import Past, past, settling
from tests.database.conftest import Books
from tests.database.damages import LEASE, OPEN, lived

__all__ = ["past"]  # a fixture


@pytest.fixture
async def loose(
    postgres_cluster: postgres.Cluster, migrated_template: str
) -> AsyncIterator[Database]:
    """A database that may be left damaged."""
    async for database in conftest._database(postgres_cluster, template=migrated_template):
        yield database


def ignored(step: Step) -> None:
    """Nobody watches."""


async def checked(pool: Pool, from_seal: int = 0) -> Verdict:
    """A check from the beginning, or from a seal."""
    return await verify(pool, Progress(books="b"), ignored, from_seal=from_seal, page_size=3)


async def gone_on(database: Database, pool: Pool, sealer: Pool) -> Books:
    """Sealed books in which holds of before the seal are spent and given back after it."""
    books = await lived(database, pool)
    await make_seal(sealer)
    part = factories.charge(factories.request_id(), books.user, books.host, 70, hold_id=LEASE)
    late = factories.hold(books.user, 40)
    await books.apply(part, late, Void(hold_id=OPEN, reason="late"))
    await books.apply(factories.charge(late.hold_id, books.user, books.host, 39))
    await make_seal(sealer)
    await books.apply(factories.deposit(books.user, 5))
    return books


async def test_from_each_seal_the_books_are_right(database: Database, pool: Pool) -> None:
    async with settling(database) as sealer:
        books = await gone_on(database, pool, sealer)
        whole = await checked(sealer)
        assert (whole.wrong, whole.rows, whole.seals) == (None, 23, 2)
        first, second = await checked(sealer, 1), await checked(sealer, 2)
        assert (first.wrong, first.rows, first.seals, first.from_seal) == (None, 5, 2, 1)
        assert (second.wrong, second.rows, second.seals, second.from_seal) == (None, 1, 2, 2)
        assert whole.accounts == first.accounts == second.accounts
        with pytest.raises(SealMissing):
            await checked(sealer, 3)
        await books.apply(Void(hold_id=LEASE, reason="over"))
        for seal_no in (1, 2):
            assert (await checked(sealer, seal_no)).wrong is None


async def test_it_can_be_stopped(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_read, "_BATCHES_PER_PAGE", 1)
    async with settling(database) as sealer:
        await gone_on(database, pool, sealer)
        told = await checked(sealer, 1)
        progress, stops = Progress(books="b"), 0
        while True:
            left = [3]

            def watch(step: Step, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise InterruptedError

            try:
                again = await verify(sealer, progress, watch, from_seal=1)
                break
            except InterruptedError:
                stops += 1
                progress = verify_state.load(verify_state.dump(progress), books="b")
        assert again == told
        assert stops > 2


SINCE = {
    "a charge": ("charge set user_balance_after = 1 where gross = 70", "balance after"),
    "a hold of before": (f"hold set captured = 60 where hold_id = '{LEASE}'", "hold is its events"),
    "a hold of before that is open again": (
        f"hold set state = 'open', released = 0 where hold_id = '{OPEN}'",
        "hold is its events",
    ),
    "what is held": ("balance set held = held + 1 where held > 0", "balance is its entries"),
    "a balance that did not move": (
        "balance b set version = version + 1 from settlement.account a"
        " where a.account_id = b.account_id and a.name = 'bad-debt'",
        "balance is its entries",
    ),
    "a snapshot": ("snapshot set dr = dr + 1 where seal_no = 1 and dr > 0", "seal"),
    "a cut": ("seal_cut set hash = sha256(hash) where seal_no = 1", "seal"),
    "peaks": ("seal set peaks = peaks[2:] where seal_no = 1", "seal"),
    "the next seal": ("seal set root = sha256(root) where seal_no = 2", "seal"),
}


@pytest.mark.parametrize("name", SINCE)
async def test_what_is_wrong_since_then_is_named(name: str, loose: Database) -> None:
    statement, rule = SINCE[name]
    (wrong,) = await _wrong_after(loose, f"update settlement.{statement}", 1)
    assert wrong is not None
    assert wrong.rule == rule, wrong


async def test_what_was_before_is_not_looked_at(loose: Database) -> None:
    statement = "update settlement.txn set actor = 'x' where batch_seq = 1 and writer_id = 1"
    before, since = await _wrong_after(loose, statement, 0, 1)
    assert before is not None
    assert since is None


async def _wrong_after(database: Database, statement: str, *seals: int) -> list[Wrong | None]:
    """What checks from these seals find once this was done to the books."""
    pool = await open_pool(database.dsn, role="pod_coordinator", application="test")
    async with settling(database) as sealer:
        books = await gone_on(database, pool, sealer)
        await books.execute(f"set session_replication_role = replica; {statement}")
        found = [(await checked(sealer, seal_no)).wrong for seal_no in seals]
    await pool.close()
    return found


async def test_books_with_archived_days_are_checked_from_their_seal(past: Past) -> None:
    await past.trade(past.day(), 5)
    await past.trade(past.day(1), 5)
    await past.seal()
    await past.archive(past.day())
    await past.trade(past.day(2), 5)
    verdict = await checked(past.pool)
    assert (verdict.wrong, verdict.from_seal) == (None, 1)
