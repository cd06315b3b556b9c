"""The everyday road of deposits: what was seen on chain, booked by sets.

`settlement.book_deposits_v1` takes columns instead of a list of operations and writes a whole run
at once, at a fraction of what `apply` costs. It writes exactly the rows that `apply` would write
for the same posts, hashes included, or declines: then the transaction is dead, nothing is written,
and the run goes by the other road in a new one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from settlement.chain.movement import ChainMoment
from settlement.db import sql
from settlement.db.pool import Tx
from settlement.errors import Conflict
from settlement.ledger.operations import AccountName, Post, TransactionKind, Writer
from settlement.ledger.postings.entry import move, seen_as, transaction_id_for
from settlement.ledger.store import stop_if_told
from settlement.money import MicroUsdc, Slot

_QUERIES: Final = sql.load("settlement.ledger", "deposit_road.sql")
_NOT_EVERYDAY: Final = "PL011"


class NotEveryday(Conflict):
    """The books want to decide these deposits one by one: nothing of them is booked."""


class PlainDeposit(NamedTuple):
    """One deposit of one movement, as it will stand in the books."""

    kind: TransactionKind
    debit: AccountName
    credit: AccountName
    amount_microusdc: MicroUsdc
    slot: Slot
    event_at: datetime
    reference: str  # of the movement: what it is booked under
    source: str | None  # the paying token account
    code: str | None  # in hex

    def post(self) -> Post:
        """The same for the other road."""
        told = {"source": self.source, "code": self.code}
        return seen_as(
            self.reference,
            ChainMoment(slot=self.slot, block_time=self.event_at),
            self.kind,
            (move(self.debit, self.credit, self.amount_microusdc),),
            {name: text for name, text in told.items() if text is not None},
        )


async def book(tx: Tx, writer: Writer, deposits: Sequence[PlainDeposit]) -> None:
    """Book all of them, in their order.

    Raises `NotEveryday`, or `WriterFenced` (`WriterNotOurs`); after both the transaction is dead.
    """
    if not deposits:
        return
    kinds, debits, credits, amounts, slots, times, references, sources, codes = zip(
        *deposits, strict=True
    )
    places = {name: at for at, name in enumerate(dict.fromkeys((*debits, *credits)), 1)}
    try:
        await tx.fetchrow(
            _QUERIES["book_deposits"],
            *(writer.writer_id, writer.epoch, None, None, list(places)),
            [transaction_id_for(reference) for reference in references],
            *(kinds, [places[name] for name in debits], [places[name] for name in credits]),
            *(amounts, slots, times, references, sources, codes),
        )
    except asyncpg.UniqueViolationError as error:
        raise NotEveryday(problem=error.constraint_name) from error
    except asyncpg.PostgresError as error:
        if error.sqlstate == _NOT_EVERYDAY:
            raise NotEveryday from error
        stop_if_told(error, writer)
        raise
