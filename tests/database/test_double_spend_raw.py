"""One lease or one request charged by several at the same moment, in raw SQL as the role.

Past all of our code: what the database itself promises about money that was set aside.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from settlement.ledger.operations import Charge, HoldPurpose
from tests import factories
from tests.database.conftest import Books
from tests.database.contention import at_once

_RAW = """
select codes, balances from settlement.settle_v2($1, $2, null, null, $3, $4, $5, $6, $7, $8,
  '{}', '{}', '{}', '{}', '{}', '{}', '{}')
"""
Settle = Callable[[Sequence[Charge]], Coroutine[Any, Any, str]]


@pytest.fixture
async def raw(books: Books) -> Settle:
    """Asks `settle_v2` as the role, each time on a connection of its own; "" or the SQLSTATE."""
    names = [books.user, books.host]
    user, host = [
        await books.fetchval("select account_id from settlement.account where name = $1", name)
        for name in names
    ]

    async def settle(charges: Sequence[Charge]) -> str:
        connection = await asyncpg.connect(
            books.database.dsn, server_settings={"role": "pod_coordinator"}
        )
        n = len(charges)
        try:
            await connection.execute(
                _RAW,
                *(books.writer.writer_id, books.writer.epoch),
                *([c.request_id for c in charges], [c.hold_id for c in charges]),
                *([user] * n, [host] * n, [c.gross_microusdc for c in charges], [2000] * n),
            )
        except asyncpg.PostgresError as error:
            return error.sqlstate or "?"
        finally:
            await connection.close()
        return ""

    return settle


async def test_one_lease_is_charged_at_once_by_raw_sql(books: Books, raw: Settle) -> None:
    """As the role, past all of our code: no more is spent than is set aside."""
    for amounts, expected in (
        ((600, 600), ["", "PL011"]),
        ((500, 500), ["", ""]),
        ((400, 400, 400), ["", "", "PL011"]),
        ((1_000, 1), ["", "PL011"]),
    ):
        lease = factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE)
        await books.apply(lease)
        charges = [
            factories.charge(
                factories.request_id(), books.user, books.host, n, hold_id=lease.hold_id
            )
            for n in amounts
        ]
        before = await books.balance(books.user)
        told = await at_once(books, books.user, [raw([charge]) for charge in charges])
        after = await books.balance(books.user)
        done = [n for n, answer in zip(amounts, told, strict=True) if answer == ""]
        assert sorted(told) == expected
        assert after.debits_microusdc == before.debits_microusdc + sum(done)
        assert after.held_microusdc == before.held_microusdc - sum(done)


async def test_one_request_is_charged_at_once_by_raw_sql(books: Books, raw: Settle) -> None:
    lease = factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE)
    await books.apply(lease)
    charge = factories.charge(
        factories.request_id(), books.user, books.host, 10, hold_id=lease.hold_id
    )
    before = await books.balance(books.user)
    told = await at_once(books, books.user, [raw([charge]) for _ in range(4)])
    assert sorted(told) == ["", *["23505"] * 3]
    assert await raw([charge]) == "23505"
    assert (
        await raw(
            [factories.charge(factories.request_id(), books.user, books.host, 10, hold_id=None)]
        )
        == "PL011"
    )
    twice = replace(charge, request_id=factories.request_id())
    assert await raw([twice, twice]) == "23505"
    after = await books.balance(books.user)
    assert after.debits_microusdc == before.debits_microusdc + 10
