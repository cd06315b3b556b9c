"""The journal in the words of another program: text, a piece at a time."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from settlement.db.pool import Pool
from settlement.reports import beancount, hledger, jsonl
from settlement.reports.journal import Told, open_journal, transactions
from settlement.reports.transaction import Cut, Days, Opening, Transaction

# How often a reading of the cut's batches is told: once for the opening, once for what follows.
READINGS: Final = 2


class Format(StrEnum):
    """What the text is for."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"
    JSONL = "jsonl"


@dataclass(frozen=True, kw_only=True)
class _Pen:
    """How a format writes."""

    head: Callable[[Opening], str]
    transaction: Callable[[Transaction], str]


_PENS: Final = {
    Format.BEANCOUNT: _Pen(head=beancount.head, transaction=beancount.transaction),
    Format.HLEDGER: _Pen(head=hledger.head, transaction=hledger.transaction),
    Format.JSONL: _Pen(head=jsonl.head, transaction=jsonl.transaction),
}


async def export(
    pool: Pool, format_: Format, cut: Cut, days: Days, told: Told
) -> AsyncGenerator[str]:
    """The text, a head and then a piece for each transaction: the same bytes for the same cut.

    Days restrict what is told; what was before the first of them is one opening entry.
    Raises `DatabaseUnavailable` when the database stays away.
    """
    pen = _PENS[format_]
    opening = await open_journal(pool, cut, days, told)
    yield pen.head(opening)
    async with aclosing(transactions(pool, opening, told)) as found:
        async for one in found:
            yield pen.transaction(one)
