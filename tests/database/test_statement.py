"""Statements: pages chain, also beside writers; balances at an entry, at a moment, at a slot."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from settlement.chain.movement import ChainMoment, Vault
from settlement.db.pool import Pool, ReadConn, open_pool, reading
from settlement.errors import NotFound
from settlement.ledger import accounts, postings, store
from settlement.ledger.accounts import InvalidAccount
from settlement.ledger.operations import AccountName
from settlement.ledger.store import AccountMissing
from settlement.money import MicroUsdc, Slot
from settlement.reports.statement import (
    EntryUnknown,
    Line,
    SlotUnknown,
    Statement,
    balance_at,
    balance_at_entry,
    balance_at_slot,
    balance_now,
    statement,
)
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.traffic import random_day


@pytest.fixture
async def conn(database: Database) -> AsyncIterator[ReadConn]:
    """A connection that may only read."""
    opened = await open_pool(database.dsn, role="pod_finance", application="test")
    async with reading(opened) as connection:
        yield connection
    await opened.close()


async def paged(conn: ReadConn, name: AccountName, limit: int) -> list[Statement]:
    """All pages there are."""
    pages = [await statement(conn, name, limit=limit)]
    while pages[-1].more:
        pages.append(await statement(conn, name, after=pages[-1].last, limit=limit))
    return pages


def chained(pages: list[Statement]) -> list[Line]:
    """The lines of all pages, which follow each other without a gap and add up."""
    assert (pages[0].after, pages[0].opening) == (0, 0)
    for one, next_one in pairwise(pages):
        assert (next_one.after, next_one.opening) == (one.last, one.closing)
    lines = [line for page in pages for line in page.lines]
    assert [line.entry for line in lines] == list(range(1, len(lines) + 1))
    balance = 0
    for line in lines:
        balance += pages[0].account.natural(line.dr, line.cr)
        assert line.balance == balance
    return lines


async def test_pages_of_every_account_chain(database: Database, conn: ReadConn) -> None:
    await random_day(database, seed=21)
    names = await conn.fetch("select name from settlement.account order by name")
    counted = 0
    for row in names:
        name = AccountName(row["name"])
        now = await balance_now(conn, name)
        pages = await paged(conn, name, 7)
        lines = chained(pages)
        assert pages[-1].closing == now.units
        assert len(lines) == now.turnover.entries
        assert [one.recorded_at for one in lines] == sorted(one.recorded_at for one in lines)
        counted += len(lines)
    assert counted == await conn.fetchval("select count(*) from settlement.entry")


async def test_pages_beside_a_writer_neither_skip_nor_repeat(books: Books, conn: ReadConn) -> None:
    other = await store.open_writer(books.pool, "other")

    async def deposits() -> None:
        for _ in range(60):
            await books.apply(factories.deposit(books.user, 3), writer=other)

    async def charges() -> None:
        for _ in range(40):
            holds = [factories.hold(books.user, 10) for _ in range(3)]
            await books.apply(*holds)
            await books.apply(
                *(factories.charge(one.hold_id, books.user, books.host, 7) for one in holds)
            )

    writing = asyncio.gather(deposits(), charges())
    pages = [await statement(conn, books.user, limit=4)]
    while not (writing.done() and pages[-1].last == 181):
        pages.append(await statement(conn, books.user, after=pages[-1].last, limit=4))
        again = await statement(conn, books.user, after=pages[-1].after, limit=4)
        assert again.lines[: len(pages[-1].lines)] == pages[-1].lines
        assert again.opening == pages[-1].opening
    await writing
    lines = chained(pages)
    assert len({line.cause_id for line in lines}) == len(lines) == 181
    assert pages[-1].closing == 25_000_000 + 60 * 3 - 120 * 7


async def test_a_line_says_what_happened(books: Books, conn: ReadConn) -> None:
    held = factories.hold(books.user, 10)
    await books.apply(held)
    await books.apply(factories.charge(held.hold_id, books.user, books.host, 7))
    [deposit, charge] = (await statement(conn, books.user)).lines
    assert (deposit.kind, deposit.cr, deposit.slot) == ("deposit_credited", 25_000_000, 100)
    assert (charge.kind, charge.dr, charge.cause_id) == ("charge", 7, held.hold_id)
    assert (charge.balance, charge.slot) == (24_999_993, None)
    [till] = (await statement(conn, factories.TILL)).lines
    assert (till.dr, till.balance) == (25_000_000, 25_000_000)


async def test_a_time_cuts_a_whole_piece_out(books: Books, conn: ReadConn) -> None:
    for amount in (1, 2, 3, 4):
        await books.apply(factories.deposit(books.user, amount))
    whole = (await statement(conn, books.user)).lines
    for first in whole:
        for last in whole[first.entry - 1 :]:
            part = await statement(
                conn, books.user, since=first.recorded_at, until=last.recorded_at
            )
            assert part.lines == whole[first.entry - 1 : last.entry]
            assert (part.opening, part.closing) == (first.balance - first.cr, last.balance)
    paged_part = await statement(conn, books.user, since=whole[1].recorded_at, after=3, limit=1)
    assert ([line.entry for line in paged_part.lines], paged_part.more) == ([4], True)
    tick = timedelta(microseconds=1)
    nothing = await statement(conn, books.user, until=whole[0].recorded_at - tick)
    assert (nothing.lines, nothing.opening, nothing.closing) == ((), 0, 0)
    nothing = await statement(conn, books.user, since=whole[-1].recorded_at + tick)
    assert (nothing.lines, nothing.opening, nothing.last) == ((), 25_000_010, 5)


async def test_a_balance_after_an_entry(books: Books, conn: ReadConn) -> None:
    await books.apply(factories.deposit(books.user, 1), factories.deposit(books.user, 2))
    told = [(await balance_at_entry(conn, books.user, entry)).units for entry in range(4)]
    assert told == [0, 25_000_000, 25_000_001, 25_000_003]
    for entry in (-1, 4):
        with pytest.raises(EntryUnknown):
            await balance_at_entry(conn, books.user, entry)
        with pytest.raises(EntryUnknown):
            await statement(conn, books.user, after=entry)


async def test_a_balance_at_a_moment(books: Books, conn: ReadConn) -> None:
    await books.apply(factories.deposit(books.user, 1))
    first, second = (await statement(conn, books.user)).lines
    tick = timedelta(microseconds=1)
    for moment, units, entries in (
        (first.recorded_at - tick, 0, 0),
        (first.recorded_at, 25_000_000, 1),
        (second.recorded_at - tick, 25_000_000, 1),
        (second.recorded_at, 25_000_001, 2),
        (second.recorded_at + timedelta(days=400), 25_000_001, 2),
    ):
        found = await balance_at(conn, books.user, moment)
        assert (found.units, found.turnover.entries) == (units, entries)


async def test_now_knows_what_is_set_aside(books: Books, conn: ReadConn) -> None:
    await books.apply(factories.hold(books.user, 10))
    now = await balance_now(conn, books.user)
    assert (now.units, now.held) == (25_000_000, 10)
    assert (await balance_at_entry(conn, books.user, 1)).held is None


async def test_accounts_are_in_the_chart_and_in_the_books(books: Books, conn: ReadConn) -> None:
    with pytest.raises(InvalidAccount):
        await statement(conn, AccountName("purse:1"))
    missing = accounts.user(uuid4())
    for slot in (1, 100):
        with pytest.raises(AccountMissing) as raised:
            await balance_at_slot(conn, missing, Slot(slot))
        assert isinstance(raised.value, NotFound)


class Chain:
    """Movements of a user at slots and times of their own, and adjustments without a slot."""

    def __init__(self, books: Books) -> None:
        self.books = books

    async def deposit(self, slot: int, minute: int, amount: int) -> None:
        moment = ChainMoment(slot=Slot(slot), block_time=self.at(minute))
        await self.books.apply(
            postings.deposit_credited(
                factories.movement(), moment, Vault.TILL, self.books.user, MicroUsdc(amount)
            )
        )

    async def adjust(self, minute: int, amount: int) -> None:
        moved = factories.transfer(accounts.SUSPENSE, self.books.user, amount)
        arrived = factories.transfer(factories.TILL, accounts.SUSPENSE, amount)
        posts = factories.post(arrived), factories.post(moved)
        await self.books.apply(*(replace(one, event_at=self.at(minute)) for one in posts))

    @staticmethod
    def at(minute: int) -> datetime:
        return factories.NOW + timedelta(minutes=minute)


async def test_a_balance_at_a_slot(database: Database, pool: Pool, conn: ReadConn) -> None:
    books = Books(
        database=database,
        pool=pool,
        writer=await store.open_writer(pool, "coordinator"),
        user=accounts.user(uuid4()),
        host=accounts.host(uuid4()),
    )
    await books.open(books.user)
    with pytest.raises(SlotUnknown):
        await balance_at_slot(conn, books.user, Slot(2**63 - 1))
    chain = Chain(books)
    await chain.deposit(slot=10, minute=10, amount=1)
    await chain.adjust(minute=5, amount=20)
    await chain.adjust(minute=10, amount=300)
    await chain.adjust(minute=11, amount=4_000)
    await chain.deposit(slot=30, minute=30, amount=50_000)
    await chain.deposit(slot=20, minute=20, amount=600_000)  # seen late, counted where it belongs
    with pytest.raises(SlotUnknown):
        await balance_at_slot(conn, books.user, Slot(9))
    told = {
        slot: (await balance_at_slot(conn, books.user, Slot(slot))).units
        for slot in (10, 19, 20, 29, 30, 31)
    }
    assert told == {10: 321, 19: 321, 20: 604_321, 29: 604_321, 30: 654_321, 31: 654_321}
    till = await balance_at_slot(conn, factories.TILL, Slot(20))
    assert till.units == 604_321
    suspense = await balance_at_slot(conn, accounts.SUSPENSE, Slot(10))
    assert (suspense.units, suspense.turnover.entries) == (0, 4)
    assert (await balance_at_slot(conn, accounts.TREASURY, Slot(10))).turnover.entries == 0


async def test_vaults_at_a_slot_are_what_reconciliation_compares(
    database: Database, conn: ReadConn
) -> None:
    await random_day(database, seed=22, steps=20)
    slots = await conn.fetch(
        "select distinct slot from settlement.entry where slot is not null order by slot limit 9"
    )
    bond = accounts.chain_vault(Vault.BOND)
    for row in slots:
        slot = Slot(row["slot"])
        compared = await store.balance_at_slot(conn, bond, slot)
        told = await balance_at_slot(conn, bond, slot)
        without_slot = told.turnover.entries - compared.version
        assert without_slot >= 0
        if not without_slot:
            assert told.units == -compared.net_microusdc
