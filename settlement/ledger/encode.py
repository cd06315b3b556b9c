"""Operations as the database reads them: one flat JSON object each. Pure.

The content of a post is remembered by its hash, so what stands here is a promise: a field that is
not set is left out, so that a later version may add one without turning replays into conflicts.
What no caller may even ask for (an amount of 0, a transfer to oneself) is an assertion here, before
it can meet the operations of others in a batch.
"""

import json
from collections.abc import Sequence
from datetime import UTC
from typing import assert_never

from settlement.ledger.accounts import InvalidAccount, describe
from settlement.ledger.operations import (
    AccountName,
    Capture,
    Charge,
    Hold,
    Operation,
    Post,
    Transfer,
    Void,
)
from settlement.money import BASIS_POINTS


def encode_batch(operations: Sequence[Operation]) -> str:
    """The array that `settlement.apply_v1` takes. AssertionError when one is malformed."""
    return f"[{','.join(encode(operation) for operation in operations)}]"


def check(operation: Operation) -> None:
    """AssertionError when an operation is malformed in itself, whoever it would travel with."""
    match operation:
        case Hold():
            assert operation.amount_microusdc > 0, "a hold sets something aside"
        case Charge():
            assert operation.gross_microusdc >= 0, "a gross is never negative"
            split = operation.split_bps
            assert 0 <= split <= BASIS_POINTS, "a split is between 0 and 10 000 basis points"
        case Void():
            assert operation.reason, "a void says why"
        case Post():
            _check_post(operation)
        case Capture():
            _check_post(operation.post)
        case _:
            assert_never(operation)


def encode(operation: Operation) -> str:
    """One operation as JSON. AssertionError when it is malformed in itself."""
    check(operation)
    return json.dumps(_fields(operation), separators=(",", ":"), ensure_ascii=False)


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
    return {
        "verb": "hold",
        "id": str(hold.hold_id),
        "account": hold.account,
        "amount": hold.amount_microusdc,
        "purpose": hold.purpose.value,
    }


def _charge(charge: Charge) -> dict[str, object]:
    return {
        "verb": "charge",
        "id": str(charge.request_id),
        "account": charge.user,
        "operator": charge.operator,
        "amount": charge.gross_microusdc,
        "split_bps": charge.split_bps,
    }


def _check_post(post: Post) -> None:
    assert post.transfers, "a post moves something"
    assert post.event_at.tzinfo is not None, "a moment knows its time zone"
    for transfer in post.transfers:
        assert transfer.amount_microusdc > 0, "a transfer moves a positive amount"
        assert transfer.debit != transfer.credit, "a transfer has two ends"
        assert _asset(transfer.debit) == _asset(transfer.credit), "two assets never meet"


def _post(post: Post) -> dict[str, object]:
    optional: dict[str, object | None] = {
        "slot": post.slot,
        "external_ref": post.external_ref,
        "reverses": None if post.reverses is None else str(post.reverses),
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


def _asset(name: AccountName) -> str:
    """The asset of an account; a name the chart lacks is left for the books to refuse."""
    try:
        return describe(name).asset
    except InvalidAccount:
        return "USDC"
