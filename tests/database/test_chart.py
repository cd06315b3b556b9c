"""The chart in the database works as the one in the code: names, assets, floors, parents."""

import pytest

from settlement.db.pool import reading
from settlement.ledger.accounts import CHART, describe, parent_of
from settlement.ledger.operations import AccountName
from tests.database.conftest import Books
from tests.pure.test_accounts import NAMES

FIXED = [name for name in NAMES if describe(name).pattern == f"^{name}$"]


async def test_accounts_there_is_one_of_are_open_from_the_start(books: Books) -> None:
    for name in FIXED:
        assert (await books.balance(name)).version == 0


@pytest.mark.parametrize("name", NAMES)
async def test_an_account_of_each_kind_is_what_the_chart_says(
    books: Books, name: AccountName
) -> None:
    await books.open(name)
    async with reading(books.pool) as conn:
        row = await conn.fetchrow(
            """select kind, a.asset, a.floored, regexp_replace(name, pattern, parent) as parent
                 from settlement.account a join settlement.account_kind k using (kind)
                where name = $1""",
            name,
        )
    assert row is not None
    spec = describe(name)
    assert tuple(row.values()) == (spec.kind, spec.asset, spec.floored, parent_of(name))


async def test_no_kind_is_missing(books: Books) -> None:
    async with reading(books.pool) as conn:
        found = await conn.fetchval("select count(*) from settlement.account_kind")
    assert found == len(CHART)
