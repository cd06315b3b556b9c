"""The signer's work: build each waiting message again from its intent, and sign it if it is equal.

The signer believes nothing it reads from an attempt. The bytes to be signed must be exactly those
that follow from the intent row and the signer's own policy: its program, its mint, its key as the
only payer, known instructions only, a bounded fee; and the books must hold the very amount for the
very account. Anything else is refused, stored with its reason, and reported. It needs Postgres
and the key, no chain.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from solders.message import Message

from settlement.chain.messages import build, read_plan
from settlement.chain.program import Deployment
from settlement.chain.signer import PayerKey
from settlement.clock import Clock
from settlement.db.pool import Pool, Tx, reading, transaction
from settlement.db.sql import load
from settlement.errors import Refused
from settlement.money import LARGEST_AMOUNT_MICROUSDC, Lamports, MicroUsdc
from settlement.payouts import store
from settlement.payouts.halt import halted
from settlement.payouts.intent import Action, Intent, instruction, recipient
from settlement.payouts.states import PayoutEvent, PayoutState

_SQL = load("settlement.payouts", "sign.sql")
_BATCH: Final = 50
_MICROLAMPORTS: Final = 1_000_000
_LARGEST_PRIORITY_FEE: Final = Lamports(100_000)
_log = structlog.stdlib.get_logger()


class SigningRefused(Refused):
    """This message is not what its intent asks for, or more than the signer's policy allows."""


@dataclass(frozen=True, kw_only=True)
class SigningPolicy:
    """What the signer signs at most, whoever asks."""

    deployment: Deployment
    largest_payment_microusdc: MicroUsdc = LARGEST_AMOUNT_MICROUSDC
    largest_priority_fee_lamports: Lamports = _LARGEST_PRIORITY_FEE


@dataclass(frozen=True, kw_only=True)
class Signed:
    """How many messages one round signed and how many it refused."""

    signed: int
    refused: int


def rederive(
    intent: Intent, action: Action, raw: bytes, *, policy: SigningPolicy, key: PayerKey
) -> Message:
    """The message that `raw` must be. Raises `SigningRefused` or `UnknownMessage`."""
    if action is Action.EXECUTE and intent.amount_microusdc > policy.largest_payment_microusdc:
        raise SigningRefused(problem="more than the policy allows", amount=intent.amount_microusdc)
    if action is Action.EXECUTE and intent.skip_reason is not None:
        raise SigningRefused(problem="its number is to be burned")
    if action is Action.SKIP and intent.skip_reason is None:
        raise SigningRefused(problem="nobody asked to burn its number")
    plan, blockhash = read_plan(raw)
    fee = -(-plan.compute_unit_limit * plan.compute_unit_price_microlamports // _MICROLAMPORTS)
    if fee > policy.largest_priority_fee_lamports:
        raise SigningRefused(problem="the priority fee is too high", lamports=fee)
    account_for = recipient(intent, action, policy.deployment)
    if plan.creates_account and account_for is None:
        raise SigningRefused(problem="no account is to be opened for this")
    expected = build(
        payer=key.address,
        instruction=instruction(intent, action, deployment=policy.deployment, payer=key.address),
        recipient=account_for,
        plan=plan,
        blockhash=blockhash,
    )
    if bytes(expected) != raw:
        raise SigningRefused(problem="it does not follow from the intent")
    return expected


async def sign_waiting(pool: Pool, key: PayerKey, *, policy: SigningPolicy, clock: Clock) -> Signed:
    """Sign what waits, each message in a transaction of its own."""
    async with reading(pool) as conn:
        if await halted(conn):
            return Signed(signed=0, refused=0)
        waiting = await conn.fetch(_SQL["to_sign"], _BATCH)
    signed = refused = 0
    for row in waiting:
        async with transaction(pool) as tx:
            done = await _sign_one(tx, row["payout_id"], row["attempt"], key, policy, clock)
        signed += done is True
        refused += done is False
    return Signed(signed=signed, refused=refused)


async def _sign_one(
    tx: Tx, payout_id: UUID, attempt: int, key: PayerKey, policy: SigningPolicy, clock: Clock
) -> bool | None:
    """Whether it was signed (True) or refused (False); None when it needs neither any more."""
    intent = await store.locked(tx, payout_id)
    row = await tx.fetchrow(_SQL["message"], payout_id, attempt)
    if intent is None or intent.state is not PayoutState.NUMBERED or row is None:
        return None
    action = Action(row["action"])
    try:
        if action is Action.EXECUTE and not await tx.fetchval(_SQL["money_is_held"], payout_id):
            raise SigningRefused(problem="the books do not hold this amount for this account")
        message = rederive(intent, action, bytes(row["message"]), policy=policy, key=key)
    except Refused as error:
        await tx.execute(_SQL["refuse"], payout_id, attempt, str(error))
        _log.error("payout_not_signed", payout=str(payout_id), attempt=attempt, reason=str(error))
        return False
    signature, wire = key.sign(message)
    await tx.execute(_SQL["store_signature"], payout_id, attempt, signature, wire, clock.now())
    await store.move(tx, intent, PayoutEvent.SIGN)
    _log.info("payout_signed", payout=str(payout_id), number=intent.sequence, signature=signature)
    return True
