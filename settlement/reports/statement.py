"""An account's statement, and what its balance was: at an entry, at a moment, at a slot.

An account's entries are numbered without a gap, in the order they were committed, and never change.
So a page is named by the number of the last entry before it: pages read while others write neither
skip nor repeat a line, and the opening balance of one is the closing balance of the one before it.

Of entries that were archived only what a day of them adds up to is there: a statement begins with
the balance after the last of them, and where it stood among them is not told (`EntriesMissing`).

Times are those of recording (`recorded_at`), which grow with the numbers: a statement from a moment
on begins with the first entry recorded then, one until a moment ends with the last, and what lies
between is told whole, so that running balances chain.

At a slot an entry counts by its own slot where it has one. A charge or an adjustment has none: it
counts when it happened (`event_at`) no later than the newest event that the books know of at or
below that slot. So the balances of a slot are those of one moment of the chain, as far as the books
have seen it by then.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from settlement.db import sql
from settlement.db.pool import ReadConn
from settlement.errors import NotFound
from settlement.ledger.accounts import describe
from settlement.ledger.operations import AccountName
from settlement.ledger.store import AccountMissing
from settlement.money import Slot
from settlement.reports.journal import EntriesMissing, Record, account_of
from settlement.reports.transaction import Account

_QUERIES: Final = sql.load("settlement.reports", "statement.sql")
LINES_PER_PAGE: Final = 100
MOST_LINES: Final = 10_000


class EntryUnknown(NotFound):
    """The account has no entry of that number yet."""


class SlotUnknown(NotFound):
    """The books know of nothing at or below that slot."""


@dataclass(frozen=True, kw_only=True)
class Turnover:
    """What some of an account's entries add up to, and how many they are."""

    dr: int
    cr: int
    entries: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an account stands. What is set aside is known of now only: holds leave no entries."""

    account: Account
    turnover: Turnover
    held: int | None = None

    @property
    def units(self) -> int:
        """The balance as the account's side counts it."""
        return self.account.natural(self.turnover.dr, self.turnover.cr)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One entry and where the account stood after it, as its side counts."""

    entry: int
    dr: int
    cr: int
    balance: int
    kind: str
    cause_id: UUID
    external_ref: str | None
    slot: Slot | None
    event_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A page: where the account stood, what happened, where it stands then."""

    account: Account
    after: int  # the number of the last entry before it
    opening: int
    lines: tuple[Line, ...]
    more: bool  # whether there are further lines, as far as is known

    @property
    def closing(self) -> int:
        """Where the account stood after the last line."""
        return self.lines[-1].balance if self.lines else self.opening

    @property
    def last(self) -> int:
        """What the next page comes after."""
        return self.lines[-1].entry if self.lines else self.after


@dataclass(frozen=True, kw_only=True)
class _Found:
    now: Standing

    @property
    def account(self) -> Account:
        return self.now.account

    @property
    def key(self) -> int:
        return self.now.account.account_id

    @property
    def newest(self) -> int:
        """The number of its newest entry."""
        return self.now.turnover.entries


async def statement(
    conn: ReadConn,
    name: AccountName,
    *,
    after: int = 0,
    limit: int = LINES_PER_PAGE,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Statement:
    """The entries after number `after`, recorded at or between the two moments.

    Raises `InvalidAccount`, `AccountMissing`, `EntriesMissing`, and `EntryUnknown` when `after` is
    not reached yet.
    """
    assert 0 < limit <= MOST_LINES, "a page is not empty, and not everything"
    found = await _find(conn, name)
    _check_entry(found, after)
    # Of what is in the archive only sums are told: a statement begins after it.
    archived: int = await conn.fetchval(_QUERIES["brought_forward"], found.key)
    after, last = max(after, archived), found.newest
    if since is not None:
        first: int | None = await conn.fetchval(_QUERIES["first_since"], found.key, since)
        after = max(after, last if first is None else first - 1)
    if until is not None:
        last = await conn.fetchval(_QUERIES["last_until"], found.key, until) or 0
        if last < archived:
            raise EntriesMissing(account=name, archived=archived)
    before = await balance_before(conn, found.key, after)
    rows = await conn.fetch(_QUERIES["lines"], found.key, after, last, limit + 1)
    return Statement(
        account=found.account,
        after=after,
        opening=found.account.natural(before.dr, before.cr),
        lines=_lines(found.account, before, rows[:limit]),
        more=len(rows) > limit,
    )


def _lines(account: Account, before: Turnover, rows: list[Record]) -> tuple[Line, ...]:
    dr, cr, entry = before.dr, before.cr, before.entries
    lines: list[Line] = []
    for row in rows:
        entry += 1
        _check_all_there(seen=entry, newest=row["entry"])
        dr, cr = dr + row["dr"], cr + row["cr"]
        lines.append(Line(**dict(row), balance=account.natural(dr, cr)))
    return tuple(lines)


async def balance_before(conn: ReadConn, account_id: int, entry: int) -> Turnover:
    """What an account's entries up to and including this number add up to.

    Every opening balance comes from here, so this is the one place to begin at a stored sum.
    Raises `EntriesMissing`.
    """
    row = await conn.fetchrow(_QUERIES["before"], account_id, entry)
    assert row is not None, "a sum is one row"
    _check_all_there(seen=row["entries"], newest=entry)
    return _turnover(row)


async def balance_now(conn: ReadConn, name: AccountName) -> Standing:
    """Where the account stands, and what of it is set aside.

    Raises `InvalidAccount`, `AccountMissing`.
    """
    return (await _find(conn, name)).now


async def balance_at_entry(conn: ReadConn, name: AccountName, entry: int) -> Standing:
    """Where the account stood after its entry of this number; 0 is before the first.

    Raises `InvalidAccount`, `AccountMissing`, `EntriesMissing`, `EntryUnknown`.
    """
    found = await _find(conn, name)
    _check_entry(found, entry)
    turnover = await balance_before(conn, found.key, entry)
    return Standing(account=found.account, turnover=turnover)


async def balance_at(conn: ReadConn, name: AccountName, moment: datetime) -> Standing:
    """Where the account stood by what was recorded at or before the moment.

    Raises `InvalidAccount`, `AccountMissing`, `EntriesMissing`.
    """
    found = await _find(conn, name)
    await _check_not_within(conn, found, moment)
    row = await conn.fetchrow(_QUERIES["recorded"], found.key, moment)
    assert row is not None, "a sum is one row"
    _check_all_there(seen=row["seen"], newest=max(row["newest"], found.newest))
    return Standing(account=found.account, turnover=_turnover(row))


async def balance_at_slot(conn: ReadConn, name: AccountName, slot: Slot) -> Standing:
    """Where the account stood at a slot, by the rule above.

    Raises `InvalidAccount`, `AccountMissing`, `EntriesMissing`, `SlotUnknown`.
    """
    found = await _find(conn, name)
    row = await conn.fetchrow(_QUERIES["at_slot"], found.key, slot)
    if row is None or row["known_at"] is None:
        raise SlotUnknown(slot=slot)
    await _check_not_within(conn, found, row["known_at"])
    _check_all_there(seen=row["seen"], newest=max(row["newest"], found.newest))
    return Standing(account=found.account, turnover=_turnover(row))


async def _find(conn: ReadConn, name: AccountName) -> _Found:
    row = await conn.fetchrow(_QUERIES["account"], name)
    if row is None:
        describe(name)  # one that cannot be is told apart from one that is not yet
        raise AccountMissing(account=name)
    now = Standing(account=account_of(row), turnover=_turnover(row), held=row["held"])
    return _Found(now=now)


def _turnover(row: Record) -> Turnover:
    return Turnover(dr=row["dr"], cr=row["cr"], entries=row["entries"])


def _check_all_there(*, seen: int, newest: int) -> None:
    # Numbers begin at 1 and have no gap.
    if seen != newest:
        raise EntriesMissing(seen=seen, newest=newest)


async def _check_not_within(conn: ReadConn, found: _Found, moment: datetime) -> None:
    if await conn.fetchval(_QUERIES["archived_around"], found.key, moment):
        raise EntriesMissing(account=found.account.name, moment=moment)


def _check_entry(found: _Found, entry: int) -> None:
    # A number that is not given yet would be a promise about what comes.
    if not 0 <= entry <= found.newest:
        raise EntryUnknown(account=found.account.name, entry=entry, newest=found.newest)
