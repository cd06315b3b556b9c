"""Programs that know nothing of us add our books up again and come to the same trial balance.

A day of random business is exported and given to beancount and to hledger. Each parses the text,
checks that every transaction balances, and says what every account ends with; that must be what our
balances say and what our journal adds up to, account by account, to the last unit.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from settlement.db.pool import Pool, open_pool
from settlement.reports import beancount, hledger
from settlement.reports.amounts import decimal_text
from settlement.reports.export import Format, export
from settlement.reports.journal import read_cut
from settlement.reports.transaction import Cut, Days
from settlement.reports.trial import TrialBalance, trial_balance, trial_balance_at
from tests.conftest import Database
from tests.database.traffic import random_day
from tests.foreign_books import Balances, hledger_balances, read_beancount

_SEED = int(os.environ.get("POD_SEED", "1"))
_SEEDS = [
    pytest.param(1, id="1"),
    *(pytest.param(_SEED + n, id=f"more{n}", marks=pytest.mark.nightly) for n in range(10)),
]
# All that a day must have had in it to mean something.
_HAPPENED = {
    *("deposit_credited", "deposit_suspended", "bond_received", "bond_funded", "bond_posted"),
    *("bond_released", "bond_handed_over", "bond_seized", "vaults_moved", "outflow_unexplained"),
    *("movement_quarantined", "payer_funded", "network_fee_paid", "rent_paid", "rent_returned"),
    *("drawings_paid", "withdrawal_paid", "suspense_assigned", "card_topped_up", "reversal"),
    *("Hold", "Void", "charge to lease", "charge to hold", "charge to nothing"),
    *("charge of nothing", "request given up"),
}
_LATER = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Pool]:
    """Connections that may only read."""
    opened = await open_pool(database.dsn, role="pod_finance", application="test")
    yield opened
    await opened.close()


async def lived(database: Database, reader: Pool, seed: int) -> Cut:
    """A day of everything, and the cut after it; what we say ourselves is the same twice."""
    day = await random_day(database, seed=seed, steps=120)
    assert set(day.done) >= _HAPPENED, _HAPPENED - set(day.done)
    cut = await read_cut(reader)
    added_up = await trial_balance_at(reader, cut, _LATER, lambda _: None)
    assert added_up.lines == (await trial_balance(reader)).lines
    assert {total.asset for total in added_up.totals} == {"USDC", "SOL"}
    return cut


async def written(reader: Pool, cut: Cut, format_: Format) -> str:
    return "".join([piece async for piece in export(reader, format_, cut, Days(), lambda _: None)])


def ours(found: TrialBalance) -> Balances:
    """By our own names, debits positive; accounts at zero are left out."""
    return {
        (line.account.name, line.account.asset): Decimal(
            decimal_text(line.dr - line.cr, line.account.asset)
        )
        for line in found.lines
        if line.dr != line.cr
    }


@pytest.mark.parametrize("seed", _SEEDS)
async def test_beancount_adds_up_the_same(seed: int, database: Database, reader: Pool) -> None:
    cut = await lived(database, reader, seed)
    read = read_beancount(await written(reader, cut, Format.BEANCOUNT))
    assert read.errors == ()
    assert by_our_names_of_beancount(read.balances) == ours(await trial_balance(reader))


@pytest.mark.foreign
@pytest.mark.parametrize("seed", _SEEDS)
async def test_hledger_and_beancount_add_up_the_same(
    seed: int, database: Database, reader: Pool
) -> None:
    cut = await lived(database, reader, seed)
    theirs = hledger_balances(await written(reader, cut, Format.HLEDGER))
    read = read_beancount(await written(reader, cut, Format.BEANCOUNT))
    told = ours(await trial_balance(reader))
    assert len(told) > 15
    assert {(hledger.book_name(name), asset): n for (name, asset), n in theirs.items()} == told
    assert by_our_names_of_beancount(read.balances) == told


def by_our_names_of_beancount(balances: Balances) -> Balances:
    return {
        (beancount.book_name(name), asset): number for (name, asset), number in balances.items()
    }
