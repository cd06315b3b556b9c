"""The everyday road of paid requests: charges, holds and voids, settled by sets.

`settlement.settle_v2` takes columns instead of a list of operations and writes a whole batch at
once, at a fraction of the cost: the charges first, then holds and voids, for what a charge gives
back can be set aside again. It answers exactly what `apply` would for the same operations in that
order, or declines a batch that is not of the everyday kind and has then written nothing: that one
goes by the other road.

Accounts are handed over by their ids, remembered from their names: no account is ever renamed or
removed. Whether one is closed, and what kind it is, the database looks up each time.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeGuard
from uuid import UUID

import asyncpg

from settlement.db import sql
from settlement.db.pool import CallConn
from settlement.ledger.operations import (
    AccountName,
    Charge,
    Code,
    Head,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Void,
    Writer,
)
from settlement.ledger.store import Applied, apply_after, stop_if_told

Everyday = Hold | Charge | Void

_QUERIES: Final = sql.load("settlement.ledger", "ledger.sql")
_HOLD, _VOID = 1, 3
# Beyond it settle_v2 declines, and on the way there its sums may not fit a number.
_LARGEST_MICROUSDC: Final = 10**15
_NOT_EVERYDAY: Final = "PL011"


def is_everyday(operation: Operation) -> TypeGuard[Everyday]:
    """Whether this one operation may take the everyday road."""
    if isinstance(operation, Charge):
        return operation.hold_id is not None and operation.gross_microusdc <= _LARGEST_MICROUSDC
    if isinstance(operation, Hold):
        paid = operation.purpose is not HoldPurpose.PAYOUT
        return paid and operation.amount_microusdc <= _LARGEST_MICROUSDC
    return isinstance(operation, Void)


class EverydayRoad:
    """Settles batches for one writer; remembers the ids of the accounts it has met."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._ids: dict[AccountName, int] = {}
        self._seen = writer.head

    async def apply(self, conn: CallConn, operations: Sequence[Operation]) -> list[Outcome]:
        """Commit a batch: charges first where all of it is everyday, else in the order given.

        One outcome each, in the order given. Raises what `store.apply` raises.
        """
        everyday = [operation for operation in operations if is_everyday(operation)]
        if len(everyday) < len(operations):
            return await self._apply(conn, operations)
        charges = [operation for operation in everyday if isinstance(operation, Charge)]
        others = [operation for operation in everyday if not isinstance(operation, Charge)]
        settled = await self.settle(conn, charges, others)
        if settled is None:
            settled = await self._apply(conn, [*charges, *others])
        if not (charges and others):
            return settled
        first, then = iter(settled[: len(charges)]), iter(settled[len(charges) :])
        return [next(first if isinstance(o, Charge) else then) for o in operations]

    async def settle(
        self, conn: CallConn, charges: Sequence[Charge], others: Sequence[Hold | Void]
    ) -> list[Outcome] | None:
        """One outcome each, in order; None when the batch must go by `apply`: nothing was done.

        Raises `WriterFenced`.
        """
        await self._learn(conn, charges, others)
        try:
            row = await conn.fetchrow(
                _QUERIES["settle"],
                *(self._writer.writer_id, self._writer.epoch, self._seen.seq, self._seen.hash),
                *self._charge_columns(charges),
                *self._hold_columns(others),
            )
        except asyncpg.UniqueViolationError:
            return None
        except asyncpg.PostgresError as error:
            if error.sqlstate == _NOT_EVERYDAY:
                return None
            stop_if_told(error, self._writer)
            raise
        assert row is not None, "a batch is answered"
        self._see(Head(seq=row["head_seq"], hash=row["head_hash"]))
        outcomes = [
            Outcome(code=Code.APPLIED, balance_microusdc=balance)
            for balance in row["balances"] or ()
        ]
        if others:
            told = zip(row["codes"], row["available"], strict=True)
            outcomes += [Outcome(code=Code(c), available_microusdc=left) for c, left in told]
        return outcomes

    async def _apply(self, conn: CallConn, operations: Sequence[Operation]) -> list[Outcome]:
        applied: Applied = await apply_after(conn, self._writer, self._seen, operations)
        self._see(applied.head)
        return applied.outcomes

    def _see(self, head: Head) -> None:
        """The newest the books have told; answers of two batches may come in any order."""
        if head.seq > self._seen.seq:
            self._seen = head

    def _charge_columns(self, charges: Sequence[Charge]) -> tuple[list[Any], ...]:
        return (
            [charge.request_id for charge in charges],
            [charge.hold_id for charge in charges],
            # An account nobody knows is left to `apply` to name.
            [self._ids.get(charge.user) for charge in charges],
            [self._ids.get(charge.operator) for charge in charges],
            [charge.gross_microusdc for charge in charges],
            [charge.split_bps for charge in charges],
        )

    def _hold_columns(self, others: Sequence[Hold | Void]) -> tuple[list[Any], ...]:
        rows = [self._hold_row(operation) for operation in others]
        return tuple([row[at] for row in rows] for at in range(7))

    def _hold_row(self, operation: Hold | Void) -> tuple[int, UUID, Any, Any, Any, Any, Any]:
        if isinstance(operation, Void):
            return _VOID, operation.hold_id, None, None, None, None, operation.reason
        return (
            _HOLD,
            operation.hold_id,
            self._ids.get(operation.account),
            operation.amount_microusdc,
            operation.purpose.value,
            operation.expires_at,
            None,
        )

    async def _learn(
        self, conn: CallConn, charges: Sequence[Charge], others: Sequence[Hold | Void]
    ) -> None:
        known = self._ids
        unknown = {charge.user for charge in charges if charge.user not in known}
        unknown |= {charge.operator for charge in charges if charge.operator not in known}
        unknown |= {o.account for o in others if isinstance(o, Hold) and o.account not in known}
        if unknown:
            for row in await conn.fetch(_QUERIES["account_ids"], list(unknown)):
                known[AccountName(row["name"])] = row["account_id"]
