"""Operations as the database reads them: one flat JSON object each. Pure.

The content of a post is remembered by its hash, so what stands here is a promise: a field that is
not set is left out, so that a later version may add one without turning replays into conflicts.
What no caller may even ask for (an amount of 0, a transfer to oneself) is refused here, before it
can meet the operations of others in a batch; the database refuses it too, in raw SQL.
"""

import json
from collections.abc import Sequence
from datetime import UTC
from functools import lru_cache
from typing import Final, assert_never

import msgspec

from settlement.errors import Refused
from settlement.ledger.accounts import InvalidAccount, describe
from settlement.ledger.operations import (
    AccountName,
    Capture,
    Charge,
    Hold,
    HoldPurpose,
    Operation,
    Post,
    Transfer,
    Void,
)
from settlement.money import BASIS_POINTS

# Metadata is for people; what is larger belongs where the transaction's reference leads.
LARGEST_META_BYTES: Final = 16_384
# JSON in ASCII and with spaces is at most so many times as long as the shortest.
_PLAINLY_SMALL: Final = 4


class OperationMalformed(Refused):
    """The operation cannot be booked as it is, whatever the books say."""


def encode_batch(operations: Sequence[Operation]) -> str:
    """The array that `settlement.apply_v2` takes. Raises `OperationMalformed`."""
    return f"[{','.join(encode(operation) for operation in operations)}]"


def check(operation: Operation) -> None:
    """Raise `OperationMalformed` when it is wrong in itself, whoever it would travel with."""
    match operation:
        case Charge():
            _demand(operation.gross_microusdc >= 0, "gross", "a gross is never negative")
            within = 0 <= operation.split_bps <= BASIS_POINTS
            _demand(within, "split_bps", "a split is between 0 and 10 000 basis points")
        case Hold():
            _demand(operation.amount_microusdc > 0, "amount", "a hold sets something aside")
            told = (operation.purpose is HoldPurpose.LEASE) == (operation.expires_at is not None)
            _demand(told, "expires_at", "a lease expires, and nothing else does")
            zoned = operation.expires_at is None or operation.expires_at.tzinfo is not None
            _demand(zoned, "expires_at", "a moment knows its time zone")
        case Void():
            _demand(bool(operation.reason), "reason", "a void says why")
        case Post():
            _check_post(operation)
        case Capture():
            _check_post(operation.post)
        case _:
            assert_never(operation)


def _demand(holds: bool, field: str, rule: str) -> None:
    if not holds:
        raise OperationMalformed(field=field, rule=rule)


def encode(operation: Operation) -> str:
    """One operation as JSON. Raises `OperationMalformed`."""
    check(operation)
    return msgspec.json.encode(_fields(operation)).decode()


def _fields(operation: Operation) -> dict[str, object]:
    match operation:
        case Hold():
            return _hold(operation)
        case Charge():
            return _charge(operation)
        case Void():
            return {"verb": "void", "id": str(operation.hold_id), "reason": operation.reason}
        case Post():
            return {"verb": "post", **_post(operation)}
        case Capture():
            held = str(operation.hold_id)
            return {"verb": "capture", "hold": held, **_post(operation.post)}
        case _:
            assert_never(operation)


def _hold(hold: Hold) -> dict[str, object]:
    expires = {} if hold.expires_at is None else {"expires_at": hold.expires_at.isoformat()}
    return {
        "verb": "hold",
        "id": str(hold.hold_id),
        "account": hold.account,
        "amount": hold.amount_microusdc,
        "purpose": hold.purpose.value,
        **expires,
    }


def _charge(charge: Charge) -> dict[str, object]:
    held = {} if charge.hold_id is None else {"hold": str(charge.hold_id)}
    return {
        "verb": "charge",
        "id": str(charge.request_id),
        "account": charge.user,
        "operator": charge.operator,
        "amount": charge.gross_microusdc,
        "split_bps": charge.split_bps,
        **held,
    }


def _check_post(post: Post) -> None:
    _demand(bool(post.transfers), "transfers", "a post moves something")
    _demand(post.event_at.tzinfo is not None, "event_at", "a moment knows its time zone")
    for transfer in post.transfers:
        positive = transfer.amount_microusdc > 0
        _demand(positive, "amount", "a transfer moves a positive amount")
        _demand(transfer.debit != transfer.credit, "credit", "a transfer has two ends")
        same = _asset(transfer.debit) == _asset(transfer.credit)
        _demand(same, "credit", "two assets never meet")
    # Only what could be too large is written out to be measured.
    if post.meta:
        meta = dict(post.meta)
        small = _PLAINLY_SMALL * len(msgspec.json.encode(meta)) <= LARGEST_META_BYTES
        small = small or len(json.dumps(meta)) <= LARGEST_META_BYTES
        _demand(small, "meta", f"no more than {LARGEST_META_BYTES} bytes of JSON")


def _post(post: Post) -> dict[str, object]:
    optional: dict[str, object | None] = {
        "slot": post.slot,
        "external_ref": post.external_ref,
        "reverses": None if post.reverses is None else str(post.reverses),
        "refunds": None if post.refunds is None else str(post.refunds),
        "reason": post.reason,
        "meta": dict(post.meta) or None,
    }
    return {
        "id": str(post.transaction_id),
        "kind": post.kind.value,
        "event_at": post.event_at.astimezone(UTC).isoformat(),
        "effective_on": post.effective_on.isoformat(),
        "actor": post.actor,
        "transfers": [_transfer(transfer) for transfer in post.transfers],
        **{name: value for name, value in optional.items() if value is not None},
    }


def _transfer(transfer: Transfer) -> dict[str, object]:
    return {
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount": transfer.amount_microusdc,
    }


@lru_cache(maxsize=10_000)
def _asset(name: AccountName) -> str:
    """The asset of an account; a name the chart lacks is left for the books to refuse."""
    try:
        return describe(name).asset
    except InvalidAccount:
        return "USDC"
