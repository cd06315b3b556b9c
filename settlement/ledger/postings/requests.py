"""Paid requests, as entries: the split, what comes too late, what is given back. Pure."""

from dataclasses import dataclass
from uuid import UUID

from settlement.errors import Refused
from settlement.ledger.accounts import BAD_DEBT, RECOVERY
from settlement.ledger.operations import AccountName, Charge, Post, TransactionKind, Transfer
from settlement.ledger.postings.entry import Voucher, move, moves, vouched
from settlement.money import TREASURY_SPLIT_BPS, MicroUsdc, split_gross


class RefundTooLarge(Refused):
    """Refunds of a request, all together, stay within what was paid for it."""


@dataclass(frozen=True, kw_only=True)
class Refund:
    """How much of a paid request is given back, and what was before."""

    request_id: UUID
    user: AccountName
    operator: AccountName | None  # None: the treasury bears all of it
    gross_microusdc: MicroUsdc
    refunded_before_microusdc: MicroUsdc  # by all earlier refunds of this request
    amount_microusdc: MicroUsdc
    split_bps: int = TREASURY_SPLIT_BPS


def charge_transfers(charge: Charge, treasury: AccountName) -> tuple[Transfer, ...]:
    """The transfers that the compact row of a charge stands for; none for a gross of 0."""
    shared = split_gross(charge.gross_microusdc, charge.split_bps)
    return moves(
        (charge.user, charge.operator, shared.operator_microusdc),
        (charge.user, treasury, shared.treasury_microusdc),
    )


def late_capture(
    voucher: Voucher, charge: Charge, treasury: AccountName, borne_by_user_microusdc: MicroUsdc
) -> Post:
    """A request that is settled after its hold was given back; the operator is paid all the same.

    The user pays `borne_by_user_microusdc` (what they have left, at most the gross); the rest is
    bad debt. A gross of 0 needs no post.
    """
    shared = split_gross(charge.gross_microusdc, charge.split_bps)
    borne = borne_by_user_microusdc
    assert 0 <= borne <= charge.gross_microusdc, "a user bears some of the gross, or all"
    to_operator = min(borne, shared.operator_microusdc)
    to_treasury = borne - to_operator
    moved = moves(
        (charge.user, charge.operator, to_operator),
        (charge.user, treasury, to_treasury),
        (BAD_DEBT, charge.operator, shared.operator_microusdc - to_operator),
        (BAD_DEBT, treasury, shared.treasury_microusdc - to_treasury),
    )
    assert moved, "a gross of 0 needs no post"
    reference = request_reference(charge.request_id)
    name = charge.request_id  # as a charge would: the books take only one of the two
    return vouched(reference, voucher, TransactionKind.LATE_CAPTURE, moved, transaction_id=name)


def debt_collected(
    voucher: Voucher,
    request_id: UUID,
    debtor: AccountName,
    *,
    collected_before_microusdc: MicroUsdc,
    amount_microusdc: MicroUsdc,
) -> Post:
    """A user who has money again pays what a late capture left unpaid, or a part of it.

    Named by what was collected before: of two that start from the same sum, one is booked.
    """
    moved = move(debtor, RECOVERY, amount_microusdc)
    reference = f"debt:{request_id}:{collected_before_microusdc}"
    return vouched(reference, voucher, TransactionKind.DEBT_COLLECTED, (moved,))


def request_refunded(voucher: Voucher, refund: Refund, treasury: AccountName) -> Post:
    """A user gets back a request's price, or a part of it.

    Operator and treasury each give back so much that they keep their share of what stays paid, so
    a request refunded in any number of parts is refunded without a rest. Named by what was refunded
    before: of two that start from the same sum, one is booked. Raises `RefundTooLarge`.
    """
    before, amount = refund.refunded_before_microusdc, refund.amount_microusdc
    paid = refund.gross_microusdc - before
    if amount > paid:
        raise RefundTooLarge(amount_microusdc=amount, left_microusdc=paid)
    if refund.operator is None:
        moved: tuple[Transfer, ...] = (move(treasury, refund.user, amount),)
    else:
        then = split_gross(MicroUsdc(paid), refund.split_bps)
        now = split_gross(MicroUsdc(paid - amount), refund.split_bps)
        moved = moves(
            (refund.operator, refund.user, then.operator_microusdc - now.operator_microusdc),
            (treasury, refund.user, then.treasury_microusdc - now.treasury_microusdc),
        )
    assert moved, "a refund has an amount"
    reference = f"refund:{refund.request_id}:{before}"
    kind, request_id = TransactionKind.REQUEST_REFUNDED, refund.request_id
    return vouched(reference, voucher, kind, moved, refunds=request_id)


def request_reference(request_id: UUID) -> str:
    """What a request is called where it is settled by a post: so at most once."""
    return f"request:{request_id}"
