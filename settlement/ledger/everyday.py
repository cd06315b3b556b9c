"""The everyday road of paid requests: holds, charges and voids, settled by sets.

`settlement.settle_v1` takes columns instead of a list of operations and decides a whole batch at
once, at a fraction of the cost. It answers exactly what `store.apply` would, or declines a batch
that is not of the everyday kind and has then written nothing: that one goes by the other road.

Accounts are handed over by their ids, remembered from their names: no account is ever renamed or
removed. Whether one is closed, and what kind it is, the database looks up each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard
from uuid import UUID

import asyncpg

from settlement.db import sql
from settlement.db.pool import Tx
from settlement.ledger.operations import (
    AccountName,
    Charge,
    Code,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Void,
    Writer,
)
from settlement.ledger.store import apply, stop_if_told

Everyday = Hold | Charge | Void

_QUERIES: Final = sql.load("settlement.ledger", "ledger.sql")
_HOLD, _CHARGE, _VOID = 1, 2, 3
# Beyond it settle_v1 declines, and on the way there its sums may not fit a number.
_LARGEST_MICROUSDC: Final = 10**15


def is_everyday(operation: Operation) -> TypeGuard[Everyday]:
    """Whether this one operation may take the everyday road."""
    match operation:
        case Hold():
            # Users pay for requests. An account without a floor could be held far below zero.
            paid = operation.purpose is HoldPurpose.REQUEST and operation.account[:5] == "user:"
            return paid and operation.amount_microusdc <= _LARGEST_MICROUSDC
        case Charge():
            return operation.gross_microusdc <= _LARGEST_MICROUSDC
        case Void():
            return True
        case _:
            return False


class EverydayRoad:
    """Settles batches for one writer; remembers the ids of the accounts it has met."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._ids: dict[AccountName, int] = {}

    async def apply(self, tx: Tx, operations: Sequence[Operation]) -> list[Outcome]:
        """What `store.apply` does and raises, by this road where it leads there."""
        everyday = [operation for operation in operations if is_everyday(operation)]
        if everyday and len(everyday) == len(operations):
            settled = await self.settle(tx, everyday)
            if settled is not None:
                return settled
        return await apply(tx, self._writer, operations)

    async def settle(self, tx: Tx, operations: Sequence[Everyday]) -> list[Outcome] | None:
        """One outcome each, in order; None when the batch must take `apply`: nothing was done.

        Raises `WriterFenced`, after which the transaction is dead.
        """
        columns = _Columns.of(operations)
        await self._learn(tx, {*columns.accounts, *columns.operators} - {None})
        try:
            row = await tx.fetchrow(
                _QUERIES["settle"],
                self._writer.writer_id,
                self._writer.epoch,
                columns.verbs,
                columns.ids,
                [self._id(name) for name in columns.accounts],
                [self._id(name) for name in columns.operators],
                columns.amounts,
                columns.bps,
                columns.reasons,
            )
        except asyncpg.PostgresError as error:
            stop_if_told(error, self._writer)
            raise
        if row is None:
            return None
        return [
            Outcome(code=Code(code), available_microusdc=available)
            for code, available in zip(row["codes"], row["available"], strict=True)
        ]

    def _id(self, name: AccountName | None) -> int | None:
        return None if name is None else self._ids.get(name)

    async def _learn(self, tx: Tx, names: set[AccountName | None]) -> None:
        unknown = [name for name in names if name not in self._ids]
        if unknown:
            for row in await tx.fetch(_QUERIES["account_ids"], unknown):
                self._ids[AccountName(row["name"])] = row["account_id"]


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """A batch as the database takes it; what a verb does not have is null."""

    verbs: list[int]
    ids: list[UUID]
    accounts: list[AccountName | None]
    operators: list[AccountName | None]
    amounts: list[int | None]
    bps: list[int | None]
    reasons: list[str | None]

    @classmethod
    def of(cls, operations: Sequence[Everyday]) -> "_Columns":
        verbs, ids, accounts, operators, amounts, bps, reasons = zip(
            *(_row(operation) for operation in operations), strict=True
        )
        return cls(
            verbs=list(verbs),
            ids=list(ids),
            accounts=list(accounts),
            operators=list(operators),
            amounts=list(amounts),
            bps=list(bps),
            reasons=list(reasons),
        )


_Row = tuple[int, UUID, AccountName | None, AccountName | None, int | None, int | None, str | None]


def _row(operation: Everyday) -> _Row:
    match operation:
        case Hold():
            amount = operation.amount_microusdc
            return _HOLD, operation.hold_id, operation.account, None, amount, None, None
        case Charge():
            return (
                _CHARGE,
                operation.request_id,
                operation.user,
                operation.operator,
                operation.gross_microusdc,
                operation.split_bps,
                None,
            )
        case Void():
            return _VOID, operation.hold_id, None, None, None, None, operation.reason
