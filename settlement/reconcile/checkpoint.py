"""Checkpoints in the database: comparisons, stops of crediting, and how they ended.

A stop and the halt of payouts that goes with it are raised in the transaction of the comparison
that found them necessary. The database lets the indexer lift one only with a later comparison that
is equal; a person lifts it with a reason, and takes over the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog

from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.errors import Refused
from settlement.money import Slot
from settlement.payouts.halt import halt
from settlement.reconcile.verdict import Compared, Conclusion

_SQL: Final = load("settlement.reconcile", "checkpoint.sql")
_REFUSED: Final = "PL010"
_log = structlog.stdlib.get_logger()


class StopNotLifted(Refused):
    """The stop is not open, or nothing speaks for lifting it."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """A watched token account on one cluster, with the word people know it by."""

    cluster: str
    address: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Stop:
    """An account whose crediting stands still. Microunits."""

    stop_id: int
    cluster: str
    address: str
    above_slot: int  # the last good checkpoint; -1: there never was one
    up_to_slot: Slot  # where the balance was found to be another
    difference_microusdc: int
    scanned_to_slot: Slot | None
    raised_at: datetime


async def last_good(conn: ReadConn, account: Account) -> int:
    """Up to which slot the account's movements are known to be its balance; -1: never."""
    found = await conn.fetchval(_SQL["last_good"], account.cluster, account.address)
    return -1 if found is None else int(found)


async def accepted(conn: ReadConn, account: Account) -> int:
    """How much of the account's balance persons have taken over as unexplained. Microunits."""
    return int(await conn.fetchval(_SQL["accepted"], account.cluster, account.address))


async def open_stop(conn: ReadConn, account: Account) -> Stop | None:
    """Why the account stands still; None when it does not."""
    row = await conn.fetchrow(_SQL["open_stop"], account.cluster, account.address)
    return None if row is None else _stop(row)


async def open_stops(conn: ReadConn) -> tuple[Stop, ...]:
    """Every account that stands still."""
    return tuple(_stop(row) for row in await conn.fetch(_SQL["open_stops"]))


async def add(tx: Tx, account: Account, found: Conclusion, *, sources: int) -> int:
    """Keep a comparison; gives its number."""
    checkpoint_id = int(
        await tx.fetchval(
            _SQL["add_checkpoint"],
            account.cluster,
            account.address,
            found.verdict,
            found.slot,
            found.agreeing,
            sources,
            found.problem,
        )
    )
    await _add_readings(tx, checkpoint_id, found.compared)
    return checkpoint_id


async def _add_readings(tx: Tx, checkpoint_id: int, compared: Sequence[Compared]) -> None:
    for one in compared:
        await tx.execute(
            _SQL["add_reading"],
            checkpoint_id,
            one.reading.provider,
            one.reading.slot,
            one.reading.balance_microusdc,
            one.movements_microusdc,
            one.accepted_microusdc,
            one.difference_microusdc,
        )


async def raise_stop(
    tx: Tx, account: Account, found: Conclusion, *, checkpoint_id: int, above_slot: int
) -> int | None:
    """Stop the account's crediting and all payouts; None when it stood still already."""
    up_to = max(one.reading.slot for one in found.compared)
    difference = found.difference_microusdc
    reason = f"checkpoint of {account.name}"
    stop_id = await tx.fetchval(
        _SQL["raise_stop"],
        account.cluster,
        account.address,
        min(above_slot, up_to - 1),
        up_to,
        checkpoint_id,
        difference,
        reason,
    )
    if stop_id is None:
        return None
    await halt(tx, reason, f"{difference:+d} at slot {up_to}, stop {stop_id}")
    _log.error("crediting_stopped", account=account.name, slot=up_to, difference=difference)
    return int(stop_id)


async def note_difference(tx: Tx, stop: Stop, difference_microusdc: int) -> None:
    """Keep what was seen last: it is what a person would take over."""
    await tx.execute(_SQL["note_difference"], stop.stop_id, difference_microusdc)


async def scanned(tx: Tx, stop: Stop, to: Slot) -> None:
    """Blocks were read up to a slot."""
    await tx.execute(_SQL["scanned"], stop.stop_id, to)


async def remember_hidden(
    tx: Tx, stop: Stop, address: str, signature: bytes, *, slot: Slot, found_in: str
) -> None:
    """Keep that an address's listing did not show a signature, and where it was found."""
    await tx.execute(
        _SQL["remember_hidden"], stop.cluster, address, signature, slot, stop.stop_id, found_in
    )


async def lift(tx: Tx, stop_id: int, *, by: str, reason: str, checkpoint_id: int | None) -> int:
    """Credit the account again, and let payouts move that stood still for it.

    With the number of an equal comparison when nobody decided it; without, `by` is a person, and
    the difference that is returned counts as known from now on. Raises `StopNotLifted`.
    """
    try:
        taken_over = await tx.fetchval(_SQL["lift"], stop_id, by, reason, checkpoint_id)
    except asyncpg.PostgresError as error:
        if error.sqlstate != _REFUSED:
            raise
        raise StopNotLifted(stop=stop_id, problem=str(error)) from error
    _log.warning("crediting_resumed", stop=stop_id, by=by, reason=reason, taken_over=taken_over)
    return int(taken_over)


def _stop(row: asyncpg.Record) -> Stop:
    scanned_to = row["scanned_to_slot"]
    return Stop(
        stop_id=row["stop_id"],
        cluster=row["cluster"],
        address=row["address"],
        above_slot=row["above_slot"],
        up_to_slot=Slot(row["up_to_slot"]),
        difference_microusdc=int(row["difference"]),
        scanned_to_slot=None if scanned_to is None else Slot(scanned_to),
        raised_at=row["raised_at"],
    )
