"""Reports of books with archived days: each says what it said before, or that it cannot say it."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import pytest

from settlement.db.pool import ReadConn, reading
from settlement.ledger.operations import AccountName
from settlement.reports import statement as statements
from settlement.reports.export import Format, export
from settlement.reports.journal import EntriesMissing, read_cut
from settlement.reports.statement import Standing, Statement
from settlement.reports.transaction import Days
from settlement.reports.trial import TrialBalance, trial_balance, trial_balance_at
from tests.database import days
from tests.database.archiving import Past, past
from tests.database.test_partitions import connected
from tests.foreign_books import ReadBooks, read_beancount

__all__ = ["past"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What reports said before anything was archived."""

    names: list[AccountName]
    statements: dict[AccountName, Statement]
    moments: list[datetime]
    balances: dict[tuple[AccountName, datetime], Standing]
    trials: dict[datetime, TrialBalance]
    now: TrialBalance


async def before_archiving(past: Past) -> Said:
    """Two days of business that will go and one that will not; and all that can be asked."""
    for at in range(3):
        await past.trade(past.day(at), 30, seed=at)
    await past.seal()
    names = [past.books.user, past.books.host, past.books.writer.treasury]
    async with connected(past.books) as connection:
        rows = await connection.fetch("select created_at from settlement.batch order by created_at")
    moments = [datetime(2001, 1, 1, tzinfo=days.UTC), *(row["created_at"] for row in rows)]
    pool = past.pool
    cut = await read_cut(pool)
    async with reading(pool) as conn:
        told = {name: await statements.statement(conn, name, limit=1_000) for name in names}
        balances = {
            (name, moment): await statements.balance_at(conn, name, moment)
            for name in names
            for moment in moments
        }
    return Said(
        names=names,
        statements=told,
        moments=moments,
        balances=balances,
        trials={one: await trial_balance_at(pool, cut, one, lambda _: None) for one in moments},
        now=await trial_balance(pool),
    )


async def last_recorded(past: Past) -> datetime:
    """When the last of the archived charges was."""
    found = await past.books.fetchval("select max(last_at) from settlement.archived_span")
    assert isinstance(found, datetime)
    return found


@pytest.fixture
async def said(past: Past) -> Said:
    """What was said; then two days go."""
    found = await before_archiving(past)
    for at in range(2):
        await past.archive(past.day(at))
    return found


async def test_a_statement_begins_with_what_is_brought_forward(past: Past, said: Said) -> None:
    async with reading(past.pool) as conn:
        for name in said.names:
            before, after = said.statements[name], await statements.statement(conn, name, limit=999)
            assert 0 < after.after < before.last
            kept = [line for line in before.lines if line.entry > after.after]
            assert list(after.lines) == kept
            assert (after.closing, after.last) == (before.closing, before.last)
            assert after.opening == before.lines[after.after - 1].balance
            page = await statements.statement(conn, name, after=after.after + 3, limit=2)
            assert list(page.lines) == kept[3:5]
            assert await statements.balance_now(conn, name)


async def test_a_statement_until_what_was_archived_is_not_told(past: Past, said: Said) -> None:
    async with reading(past.pool) as conn:
        for name in said.names[1:]:
            with pytest.raises(EntriesMissing):
                await statements.statement(conn, name, until=said.moments[5])
            late = await statements.statement(conn, name, since=said.moments[5], limit=999)
            assert late.closing == said.statements[name].closing


async def at_entry(conn: ReadConn, name: AccountName, entry: int) -> int | None:
    """The balance after an entry; None where nothing is told."""
    try:
        return (await statements.balance_at_entry(conn, name, entry)).units
    except EntriesMissing:
        return None


async def test_a_balance_after_an_entry_is_as_before_or_not_told(past: Past, said: Said) -> None:
    async with reading(past.pool) as conn:
        for name in said.names:
            page = await statements.statement(conn, name)
            for line in said.statements[name].lines:
                now = await at_entry(conn, name, line.entry)
                assert now == line.balance or (now is None and line.entry < page.after)


async def test_a_balance_at_a_moment_is_as_before_or_not_told(past: Past, said: Said) -> None:
    silent, last = 0, await last_recorded(past)
    async with reading(past.pool) as conn:
        for (name, moment), before in said.balances.items():
            try:
                assert await statements.balance_at(conn, name, moment) == before
            except EntriesMissing:
                assert moment < last
                silent += 1
    assert silent > 10


async def test_a_trial_balance_is_as_before_or_not_told(past: Past, said: Said) -> None:
    assert await trial_balance(past.pool) == said.now
    cut, last = await read_cut(past.pool), await last_recorded(past)
    silent = 0
    for moment, before in said.trials.items():
        try:
            assert await trial_balance_at(past.pool, cut, moment, lambda _: None) == before
        except EntriesMissing:
            assert moment < last
            silent += 1
    assert 0 < silent < len(said.trials) - 5


async def exported(past: Past) -> ReadBooks:
    """The whole journal, as a program that is not ours reads it."""
    cut = await read_cut(past.pool)
    pieces = [p async for p in export(past.pool, Format.BEANCOUNT, cut, Days(), lambda _: None)]
    read = read_beancount("".join(pieces))
    assert read.errors == ()
    return read


async def test_an_export_has_an_archived_day_as_one_transaction(past: Past) -> None:
    await before_archiving(past)
    before = await exported(past)
    for at in range(2):
        await past.archive(past.day(at))
    after = await exported(past)
    assert after.balances == before.balances
    kinds = [Counter(entry.narration for entry in read.entries) for read in (before, after)]
    assert kinds[1] == kinds[0] - Counter(charge=60) + Counter(charges_archived=2)
