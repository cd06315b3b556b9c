"""The trial balance: where every account stands, and that debits equal credits.

As things are now it is read from the balances, all in one statement. As they were at a moment it is
added up from the journal, page by page: what was recorded at or before it. The two have nothing in
common but the books.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from settlement.db import sql
from settlement.db.pool import Pool, reading, retried
from settlement.reports.amounts import decimal_text
from settlement.reports.journal import (
    EntriesMissing,
    Numbers,
    Record,
    Told,
    account_of,
    read_accounts,
    read_span,
    spans,
)
from settlement.reports.transaction import Account, Cut

_QUERIES: Final = sql.load("settlement.reports", "trial.sql")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One account: what it was debited and credited in all, in units of its asset."""

    account: Account
    dr: int
    cr: int

    @property
    def debit(self) -> int:
        """The balance, where it is a debit; else 0."""
        return max(self.dr - self.cr, 0)

    @property
    def credit(self) -> int:
        """The balance, where it is a credit; else 0."""
        return max(self.cr - self.dr, 0)


@dataclass(frozen=True, kw_only=True)
class Total:
    """The balances of one asset, added up."""

    asset: str
    debit: int
    credit: int


@dataclass(frozen=True, kw_only=True)
class TrialBalance:
    """Every account that moved, in the order of the chart; `at` is None for now."""

    at: datetime | None
    lines: tuple[Line, ...]

    @property
    def totals(self) -> tuple[Total, ...]:
        """One for each asset."""
        debits: Counter[str] = Counter()
        credits_: Counter[str] = Counter()
        for line in self.lines:
            debits[line.account.asset] += line.debit
            credits_[line.account.asset] += line.credit
        return tuple(
            Total(asset=asset, debit=debits[asset], credit=credits_[asset])
            for asset in sorted(debits)
        )

    @property
    def balanced(self) -> bool:
        """Whether debits equal credits in every asset."""
        return all(total.debit == total.credit for total in self.totals)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "at": None if self.at is None else self.at.isoformat(),
            "balanced": self.balanced,
            "lines": [_line_as_json(line) for line in self.lines],
            "totals": [
                {"asset": one.asset, "debit": one.debit, "credit": one.credit}
                for one in self.totals
            ],
        }


def _line_as_json(line: Line) -> dict[str, object]:
    account = line.account
    return {
        "account": account.name,
        "side": account.side.value,
        "gl": account.gl_code,
        "asset": account.asset,
        "dr": line.dr,
        "cr": line.cr,
        "debit": line.debit,
        "credit": line.credit,
        "balance": decimal_text(account.natural(line.dr, line.cr), account.asset),
    }


async def trial_balance(pool: Pool) -> TrialBalance:
    """As things stand now. Raises `DatabaseUnavailable` when the database stays away."""

    async def read() -> list[Record]:
        async with reading(pool) as conn:
            return await conn.fetch(_QUERIES["standings"])

    rows = await retried(read)
    return _in_order(
        None, (Line(account=account_of(row), dr=row["dr"], cr=row["cr"]) for row in rows)
    )


async def trial_balance_at(pool: Pool, cut: Cut, at: datetime, told: Told) -> TrialBalance:
    """As things stood at a moment, by what the cut holds.

    Raises `EntriesMissing`, and `DatabaseUnavailable` when the database stays away.
    """
    debits: Counter[int] = Counter()
    credits_: Counter[int] = Counter()
    numbers = Numbers()
    if await _archived_around(pool, at):
        raise EntriesMissing(moment=at)
    for head in cut:
        async with aclosing(spans(pool, head)) as pages:
            async for span in pages:
                for row in await read_span(pool, _QUERIES["turnovers"], span, at):
                    numbers.saw(row["account_id"], row["entries"], row["newest"])
                    if row["moved"]:
                        debits[row["account_id"]] += row["dr"]
                        credits_[row["account_id"]] += row["cr"]
                told(span.last - span.first + 1)
    numbers.check()
    named = await read_accounts(pool, debits)
    return _in_order(
        at, (Line(account=one, dr=debits[key], cr=credits_[key]) for key, one in named.items())
    )


async def _archived_around(pool: Pool, at: datetime) -> bool:
    """Whether the moment is in the middle of what is only known as the sums of a day."""

    async def read() -> bool:
        async with reading(pool) as conn:
            return bool(await conn.fetchval(_QUERIES["archived_around"], at))

    return await retried(read)


def _in_order(at: datetime | None, lines: Iterable[Line]) -> TrialBalance:
    ordered = sorted(lines, key=lambda line: (line.account.gl_code, line.account.name))
    return TrialBalance(at=at, lines=tuple(ordered))
