"""What is asked for, in words, and whether the words are right. Pure."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from solders.pubkey import Pubkey

from settlement.chain.program import Deployment
from settlement.errors import Refused
from settlement.ledger import accounts
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc, positive_amount
from settlement.payouts.intent import address

LONGEST_KEY: Final = 255


class InvalidIdempotencyKey(Refused):
    """An idempotency key has between 1 and 255 printable ASCII characters."""


@dataclass(frozen=True, kw_only=True)
class WithdrawalRequest:
    """What an operator or a user asks for: one of the two ids is set.

    `destination` is a wallet or a USDC token account in base58, still to be checked.
    """

    amount_microusdc: int
    destination: str
    provider_id: UUID | None = None
    user_id: UUID | None = None
    idempotency_key: str | None = None

    @property
    def owner_id(self) -> UUID:
        """Whose withdrawal it is."""
        found = self.provider_id or self.user_id
        assert found is not None, "a withdrawal has an owner"
        assert self.provider_id is None or self.user_id is None, "a withdrawal has one owner"
        return found

    @property
    def account(self) -> AccountName:
        """Whose money it is in the books."""
        owner = self.owner_id
        return accounts.host(owner) if self.provider_id is not None else accounts.user(owner)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A request whose words are right."""

    asked: WithdrawalRequest
    amount_microusdc: MicroUsdc
    destination: Pubkey

    @property
    def owner_id(self) -> UUID:
        return self.asked.owner_id


def read_words(asked: WithdrawalRequest, deployment: Deployment) -> Wanted:
    """What the words say. Raises `Refused` errors that name the field."""
    amount = positive_amount(asked.amount_microusdc, field="amount_usdc")
    destination = address(asked.destination, deployment=deployment, field="destination")
    key = asked.idempotency_key
    if key is not None and not (
        0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()
    ):
        raise InvalidIdempotencyKey(field="idempotency_key", length=len(key))
    return Wanted(asked=asked, amount_microusdc=amount, destination=destination)
