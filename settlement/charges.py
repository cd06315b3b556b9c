"""The coordinator's door to the books: set aside, then settle what was used or give it back.

A request is one hold, named by the request's own id, and one end: a charge (80 % to the operator,
20 % to the treasury, exact to the microunit) or a void. Every step may be repeated: the same again
is told the same answer. Answers are durable when they are returned.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from settlement.db.pool import Pool, retried, transaction
from settlement.errors import Conflict, NotFound, Refused
from settlement.ledger import accounts, store
from settlement.ledger.operations import Charge, Code, Hold, HoldPurpose, Outcome, Void, Writer
from settlement.ledger.writer import GroupCommit
from settlement.money import MicroUsdc, split_gross

ABANDONED: Final = "abandoned: the coordinator that held it is gone"
_ABANDONED_AT_ONCE: Final = 200


class InsufficientBalance(Refused):
    """The balance, less what is set aside already, does not cover the request."""


class RequestUnknown(NotFound):
    """Nothing was set aside for this request, or its user or operator has no account."""


class RequestConflict(Conflict):
    """This request was held or settled before, with other content."""


class RequestClosed(Conflict):
    """The request's hold has been spent or given back already."""


class ChargeExceedsHold(Refused):
    """The request cost more than was set aside for it."""


class AccountClosed(Refused):
    """The account takes no new requests."""


class BooksFull(Refused):
    """A turnover would pass 2^63 - 1 microunits."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How a request's gross was shared, and what the user had left after it."""

    gross_microusdc: MicroUsdc
    operator_microusdc: MicroUsdc
    treasury_microusdc: MicroUsdc
    available_microusdc: int


class Charges:
    """Hold, capture and void for paid requests."""

    def __init__(self, group_commit: GroupCommit) -> None:
        self._books = group_commit

    async def hold(self, *, request_id: UUID, user_id: UUID, amount_microusdc: MicroUsdc) -> int:
        """Set `amount_microusdc` aside; return what is available after it.

        Raises `InsufficientBalance` (detail `available_microusdc`), `RequestConflict`,
        `RequestUnknown`, `AccountClosed`, and what `GroupCommit.submit` raises.
        """
        outcome = await self._books.submit(
            Hold(
                hold_id=request_id,
                account=accounts.user(user_id),
                amount_microusdc=amount_microusdc,
                purpose=HoldPurpose.REQUEST,
            )
        )
        if outcome.code is Code.INSUFFICIENT:
            raise InsufficientBalance(
                request_id=request_id,
                available_microusdc=outcome.available_microusdc,
                required_microusdc=amount_microusdc,
            )
        return _available(outcome, request_id)

    async def capture(
        self, *, request_id: UUID, user_id: UUID, provider_id: UUID, gross_microusdc: MicroUsdc
    ) -> Settled:
        """Spend the request's hold: the user pays the gross, the rest of the hold is given back.

        Raises `RequestUnknown`, `RequestConflict`, `RequestClosed`, `ChargeExceedsHold`,
        `AccountClosed`, `BooksFull`, and what `GroupCommit.submit` raises.
        """
        outcome = await self._books.submit(
            Charge(
                request_id=request_id,
                user=accounts.user(user_id),
                operator=accounts.host(provider_id),
                gross_microusdc=gross_microusdc,
            )
        )
        available = _available(outcome, request_id)
        share = split_gross(gross_microusdc)
        return Settled(
            gross_microusdc=gross_microusdc,
            operator_microusdc=share.operator_microusdc,
            treasury_microusdc=share.treasury_microusdc,
            available_microusdc=available,
        )

    async def void(self, *, request_id: UUID, reason: str) -> None:
        """Give back what the request set aside. Again with the same reason is no error.

        Raises `RequestClosed` when it was settled, `RequestUnknown`, `RequestConflict`.
        """
        outcome = await self._books.submit(Void(hold_id=request_id, reason=reason))
        _available(outcome, request_id)


async def void_abandoned(pool: Pool, writer: Writer) -> list[UUID]:
    """Give back what earlier lives of this writer left held; returns the requests.

    Called at start, when the older lives are fenced: none of them can still settle.
    """
    voided: list[UUID] = []

    async def step() -> list[UUID]:
        async with transaction(pool) as tx:
            found = (await store.abandoned_holds(tx, writer))[:_ABANDONED_AT_ONCE]
            outcomes = await store.apply(
                tx, writer, [Void(hold_id=hold_id, reason=ABANDONED) for hold_id in found]
            )
            assert all(outcome.done for outcome in outcomes), "nobody else ends these holds"
            return found

    while found := await retried(step):
        voided += found
    return voided


def _available(outcome: Outcome, request_id: UUID) -> int:
    """What is available after a success; the error that belongs to a failure."""
    if outcome.done:
        assert outcome.available_microusdc is not None, "a hold's outcome tells what is left"
        return outcome.available_microusdc
    raise _ERRORS[outcome.code](request_id=request_id, outcome=outcome.code.value)


_ERRORS: Final[dict[Code, type[Refused] | type[Conflict] | type[NotFound]]] = {
    Code.INSUFFICIENT: InsufficientBalance,
    Code.CONFLICT: RequestConflict,
    Code.ACCOUNT_UNKNOWN: RequestUnknown,
    Code.ACCOUNT_CLOSED: AccountClosed,
    Code.HOLD_UNKNOWN: RequestUnknown,
    Code.HOLD_CLOSED: RequestClosed,
    Code.HOLD_EXCEEDED: ChargeExceedsHold,
    Code.OVERFLOW: BooksFull,
}
