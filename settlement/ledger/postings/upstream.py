"""Centralized upstreams that serve a request when no operator can, and what they cost. Pure."""

from uuid import UUID

from settlement.errors import Refused
from settlement.ledger.accounts import treasury, upstream, upstream_cost
from settlement.ledger.operations import AccountName, Post, TransactionKind
from settlement.ledger.postings.entry import Voucher, move, moves, vouched
from settlement.ledger.postings.requests import request_reference
from settlement.money import MicroUsdc


class UpstreamTooDear(Refused):
    """An upstream may not cost more than the user pays."""


def upstream_served(
    voucher: Voucher,
    request_id: UUID,
    user: AccountName,
    upstream_name: str,
    *,
    writer_name: str,
    gross_microusdc: MicroUsdc,
    cost_microusdc: MicroUsdc,
) -> Post:
    """An upstream served a request: the user pays the gross to the treasury, no operator shares it.

    The cost is booked beside it, both in the children of the writer that posts. Raises
    `UpstreamTooDear` when the cost is above the gross.
    """
    assert gross_microusdc > 0, "a gross of 0 is a void"
    assert cost_microusdc >= 0, "a cost is never negative"
    if cost_microusdc > gross_microusdc:
        raise UpstreamTooDear(cost_microusdc=cost_microusdc, gross_microusdc=gross_microusdc)
    moved = moves(
        (user, treasury(writer_name), gross_microusdc),
        (upstream_cost(upstream_name, writer_name), upstream(upstream_name), cost_microusdc),
    )
    reference = request_reference(request_id)
    name = request_id  # as a charge would: the books take only one of the two
    kind = TransactionKind.UPSTREAM_SERVED
    return vouched(reference, voucher, kind, moved, transaction_id=name)


def upstream_paid(
    voucher: Voucher,
    invoice: str,
    upstream_name: str,
    paid_from: AccountName,
    amount_microusdc: MicroUsdc,
) -> Post:
    """An upstream's invoice was paid from a bank or card account, afterwards or in advance."""
    moved = move(upstream(upstream_name), paid_from, amount_microusdc)
    reference = f"upstream-invoice:{upstream_name}:{invoice}"
    return vouched(reference, voucher, TransactionKind.UPSTREAM_PAID, (moved,))


def upstream_cost_corrected(
    voucher: Voucher, invoice: str, upstream_name: str, difference_microusdc: int
) -> Post:
    """An invoice is not what was booked request by request: `difference` (not 0) more, or less."""
    assert difference_microusdc != 0, "no difference is no correction"
    cost, owed = upstream_cost(upstream_name), upstream(upstream_name)
    debit, credit = (cost, owed) if difference_microusdc > 0 else (owed, cost)
    moved = move(debit, credit, MicroUsdc(abs(difference_microusdc)))
    reference = f"upstream-cost:{upstream_name}:{invoice}"
    return vouched(reference, voucher, TransactionKind.UPSTREAM_COST_CORRECTED, (moved,))
