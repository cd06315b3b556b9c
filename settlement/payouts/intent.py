"""What is to be paid, as data, and the one chain instruction that says so. Pure.

An intent is what a payout row promises; everything that goes to the chain is derived from it: the
instruction that pays it under its number, or the one that burns the number instead.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.messages import Recipient
from settlement.chain.program import REFERENCE_LENGTH, Deployment
from settlement.errors import Refused
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc
from settlement.payouts.states import PayoutKind, PayoutState


class DestinationRefused(Refused):
    """The destination is not a wallet that can be paid."""


class Action(StrEnum):
    """What one attempt does with the payout's number."""

    EXECUTE = "execute"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One payout: who gets how much from whose account, and how it is named on chain."""

    payout_id: UUID
    kind: PayoutKind
    provider_id: UUID
    account: AccountName
    amount_microusdc: MicroUsdc
    destination: Pubkey  # a wallet
    code: bytes
    reference: bytes
    state: PayoutState
    sequence: int | None = None
    skip_reason: str | None = None


def reference_of(payout_id: UUID) -> bytes:
    """The sixteen bytes by which the chain's payment names its intent."""
    return hashlib.sha256(b"podledger/payout/1" + payout_id.bytes).digest()[:REFERENCE_LENGTH]


def wallet(text: str, *, deployment: Deployment, field: str) -> Pubkey:
    """Read a destination; raises `DestinationRefused` naming `field`.

    Refused: what is not base58 of 32 bytes, what no key can sign for (off the curve: token
    accounts, vaults, programs' accounts), and our own addresses. That nobody holds the key of an
    address on the curve cannot be known.
    """
    try:
        key = Pubkey.from_string(text)
    except ValueError:
        raise DestinationRefused(field=field, problem="not a base58 address") from None
    if not key.is_on_curve():
        raise DestinationRefused(field=field, problem="not a wallet: no key can sign for it")
    ours = {deployment.program_id, deployment.mint, Pubkey.default()}
    foreign = {program.TOKEN_PROGRAM, program.ATA_PROGRAM, program.MEMO_PROGRAM}
    if key in ours or key in foreign:
        raise DestinationRefused(field=field, problem="not a wallet: a program or one of ours")
    return key


def destination_account(intent: Intent, deployment: Deployment) -> Pubkey:
    """Where the money arrives: the wallet's token account, or the bond's own address."""
    match intent.kind:
        case PayoutKind.PAY:
            return program.associated_token_address(intent.destination, deployment.mint)
        case PayoutKind.FUND_BOND:
            return deployment.bond(intent.code, intent.destination)
        case _:
            assert_never(intent.kind)


def recipient(intent: Intent, action: Action, deployment: Deployment) -> Recipient | None:
    """For whom a token account may have to be opened first."""
    if action is Action.SKIP or intent.kind is PayoutKind.FUND_BOND:
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
