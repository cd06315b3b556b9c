"""What is to be paid, as data, and the one chain instruction that says so. Pure.

An intent is what a payout row promises; everything that goes to the chain is derived from it: the
instruction that pays it under its number, or the one that burns the number instead.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.messages import Recipient
from settlement.chain.program import REFERENCE_LENGTH, Deployment
from settlement.chain.tokens import TOKEN_2022_PROGRAM
from settlement.errors import Refused
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc
from settlement.payouts.states import PayoutKind, PayoutState

PROGRAMS: Final = frozenset(
    {
        program.SYSTEM_PROGRAM,
        program.TOKEN_PROGRAM,
        TOKEN_2022_PROGRAM,
        program.ATA_PROGRAM,
        program.MEMO_PROGRAM,
    }
)


class DestinationRefused(Refused):
    """This destination cannot be paid."""


class DestinationKind(StrEnum):
    """What the address of a destination is: its owner's, or the token account itself."""

    WALLET = "wallet"
    TOKEN_ACCOUNT = "token_account"


class Action(StrEnum):
    """What one attempt does with the payout's number."""

    EXECUTE = "execute"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One payout: who gets how much from whose account, and how it is named on chain.

    It belongs to an operator or to a user: one of the two ids is set.
    """

    payout_id: UUID
    kind: PayoutKind
    provider_id: UUID | None
    account: AccountName
    amount_microusdc: MicroUsdc
    destination: Pubkey
    code: bytes
    reference: bytes
    state: PayoutState
    sequence: int | None = None
    skip_reason: str | None = None
    user_id: UUID | None = None
    destination_kind: DestinationKind = DestinationKind.WALLET


def reference_of(payout_id: UUID) -> bytes:
    """The sixteen bytes by which the chain's payment names its intent."""
    return hashlib.sha256(b"podledger/payout/1" + payout_id.bytes).digest()[:REFERENCE_LENGTH]


def address(text: str, *, deployment: Deployment, field: str) -> Pubkey:
    """Read a destination; raises `DestinationRefused` naming `field`.

    Refused: what is not base58 of 32 bytes, well-known programs, and our own addresses. What stands
    at the address only the chain can say.
    """
    try:
        key = Pubkey.from_string(text)
    except ValueError:
        raise DestinationRefused(field=field, problem="not a base58 address") from None
    if key in PROGRAMS:
        raise DestinationRefused(field=field, problem="not a wallet: a program")
    if is_ours(key, deployment):
        raise DestinationRefused(field=field, problem="not a wallet: one of our own addresses")
    return key


def is_ours(key: Pubkey, deployment: Deployment) -> bool:
    """Whether this is an address of the deployment itself; bonds are told by their owner."""
    return key in (
        deployment.program_id,
        deployment.program_data,
        deployment.mint,
        deployment.config,
        deployment.payouts,
        deployment.till_authority,
        deployment.till_vault,
        deployment.escrow,
        deployment.bond_vault,
    )


def destination_account(intent: Intent, deployment: Deployment) -> Pubkey:
    """Where the money arrives: the wallet's token account or the one named, or the bond itself."""
    match intent.kind:
        case PayoutKind.PAY:
            return arrives_at(intent.destination, intent.destination_kind, deployment)
        case PayoutKind.FUND_BOND:
            return deployment.bond(intent.code, intent.destination)
        case _:
            assert_never(intent.kind)


def arrives_at(destination: Pubkey, kind: DestinationKind, deployment: Deployment) -> Pubkey:
    """The token account a payment to this destination goes into."""
    match kind:
        case DestinationKind.WALLET:
            return program.associated_token_address(destination, deployment.mint)
        case DestinationKind.TOKEN_ACCOUNT:
            return destination
        case _:
            assert_never(kind)


def recipient(intent: Intent, action: Action, deployment: Deployment) -> Recipient | None:
    """For whom a token account may have to be opened first."""
    if action is Action.SKIP or intent.kind is PayoutKind.FUND_BOND:
        return None
    if intent.destination_kind is DestinationKind.TOKEN_ACCOUNT:
        return None
    return Recipient(owner=intent.destination, mint=deployment.mint)


def instruction(
    intent: Intent, action: Action, *, deployment: Deployment, payer: Pubkey
) -> Instruction:
    """The bond program's instruction for this intent under its number."""
    assert intent.sequence is not None, "only a numbered payout goes to the chain"
    if action is Action.SKIP:
        return program.skip(deployment, signer=payer, first=intent.sequence, mask=1)
    match intent.kind:
        case PayoutKind.PAY:
            return program.pay(
                deployment,
                payer=payer,
                sequence=intent.sequence,
                amount_microusdc=intent.amount_microusdc,
                code=intent.code,
                reference=intent.reference,
                destination=destination_account(intent, deployment),
            )
        case PayoutKind.FUND_BOND:
            return program.fund_bond(
                deployment,
                payer=payer,
                funder=payer,
                sequence=intent.sequence,
                code=intent.code,
                beneficiary=intent.destination,
            )
        case _:
            assert_never(intent.kind)
