"""The signer's work: build each waiting message again from its intent, and sign it if it is equal.

The signer believes nothing it reads from an attempt. The bytes to be signed must be exactly those
that follow from the intent row and the signer's own policy: its program, its mint, its key as the
only payer, known instructions only, a bounded fee; and the books must hold the very amount for the
very account. Anything else is refused, stored with its reason, and reported; so is what goes
beyond the policy's bounds and rates. It needs Postgres and the key, no chain.

The holder of the key may be far away, so it is asked between two transactions: the first lets the
message through and counts it, the second stores the signature. Stopped between them, the same
message is let through again (it counts once) and its signature is the same.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog
from solders.message import Message
from solders.pubkey import Pubkey

from settlement.chain.messages import Plan, build, read_plan
from settlement.clock import Clock
from settlement.db.pool import Pool, Tx, reading, transaction
from settlement.db.sql import load
from settlement.errors import Refused
from settlement.keys.protocol import SigningKey, signed
from settlement.payouts import store
from settlement.payouts.halt import halted
from settlement.payouts.intent import Action, Intent, instruction, recipient
from settlement.payouts.policy import (
    Cause,
    Payment,
    SigningPolicy,
    SigningRefused,
    Tally,
    admit,
)
from settlement.payouts.states import PayoutEvent, PayoutState

_SQL = load("settlement.payouts", "sign.sql")
_BATCH: Final = 50
_MICROLAMPORTS: Final = 1_000_000
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Signed:
    """How many messages one round signed and how many it refused, and why."""

    signed: int
    refused: int
    causes: Counter[Cause] = field(default_factory=Counter[Cause], compare=False)


@dataclass(frozen=True, kw_only=True)
class Signer:
    """What a round of signing works with."""

    pool: Pool
    key: SigningKey
    policy: SigningPolicy
    clock: Clock
    tally: Tally = field(default_factory=Tally)


def rederive(
    intent: Intent, action: Action, raw: bytes, *, policy: SigningPolicy, payer: Pubkey
) -> tuple[Message, Plan]:
    """The message that `raw` must be. Raises `SigningRefused` or `UnknownMessage`."""
    _still_wanted(intent, action)
    plan, blockhash = read_plan(raw)
    fee = -(-plan.compute_unit_limit * plan.compute_unit_price_microlamports // _MICROLAMPORTS)
    if fee > policy.largest_priority_fee_lamports:
        raise SigningRefused(Cause.FEE, problem="the priority fee is too high", lamports=fee)
    account_for = recipient(intent, action, policy.deployment)
    if plan.creates_account and account_for is None:
        raise SigningRefused(Cause.MESSAGE, problem="no account is to be opened for this")
    expected = build(
        payer=payer,
        instruction=instruction(intent, action, deployment=policy.deployment, payer=payer),
        recipient=account_for,
        plan=plan,
        blockhash=blockhash,
    )
    if bytes(expected) != raw:
        raise SigningRefused(Cause.MESSAGE, problem="it does not follow from the intent")
    return expected, plan


def _still_wanted(intent: Intent, action: Action) -> None:
    if action is Action.EXECUTE and intent.skip_reason is not None:
        raise SigningRefused(Cause.MESSAGE, problem="its number is to be burned")
    if action is Action.SKIP and intent.skip_reason is None:
        raise SigningRefused(Cause.MESSAGE, problem="nobody asked to burn its number")


async def sign_waiting(signer: Signer) -> Signed:
    """Sign what waits, each message by itself. Raises `KeyAway` when the key's holder is away."""
    async with reading(signer.pool) as conn:
        if await halted(conn):
            return Signed(signed=0, refused=0)
        waiting = await conn.fetch(_SQL["to_sign"], _BATCH)
    done = 0
    causes = Counter[Cause]()
    for row in waiting:
        try:
            done += await _sign_one(signer, row["payout_id"], row["attempt"])
        except SigningRefused as error:
            causes[error.cause] += 1
    return Signed(signed=done, refused=causes.total(), causes=causes)


async def _sign_one(signer: Signer, payout_id: UUID, attempt: int) -> bool:
    """Whether it was signed; False when it needs that no more. Raises `SigningRefused`, stored."""
    async with transaction(signer.pool) as tx:
        admitted = await _admitted_or_refused(tx, signer, payout_id, attempt)
    if isinstance(admitted, SigningRefused):
        raise admitted
    if admitted is None:
        return False
    signature, wire = await signed(signer.key, admitted)
    async with transaction(signer.pool) as tx:
        return await _store(tx, signer, payout_id, attempt, signature, wire)


async def _admitted_or_refused(
    tx: Tx, signer: Signer, payout_id: UUID, attempt: int
) -> Message | SigningRefused | None:
    found = await _waiting(tx, payout_id, attempt)
    if found is None:
        return None
    try:
        return await _admitted(tx, signer, *found)
    except Refused as error:
        unsaid = SigningRefused(Cause.MESSAGE, problem=str(error))
        refusal = error if isinstance(error, SigningRefused) else unsaid
        await tx.execute(_SQL["refuse"], payout_id, attempt, str(refusal))
    _log.error("payout_not_signed", payout=str(payout_id), attempt=attempt, reason=str(refusal))
    return refusal


async def _admitted(tx: Tx, signer: Signer, intent: Intent, action: Action, raw: bytes) -> Message:
    message, plan = rederive(intent, action, raw, policy=signer.policy, payer=signer.key.address)
    if action is Action.EXECUTE:
        if not await tx.fetchval(_SQL["money_is_held"], intent.payout_id):
            raise SigningRefused(
                Cause.UNHELD, problem="the books do not hold this amount for this account"
            )
        payment = Payment(
            payout_id=intent.payout_id,
            amount_microusdc=intent.amount_microusdc,
            opens_account=plan.creates_account,
        )
        now = signer.clock.now()
        await admit(tx, [payment], policy=signer.policy, tally=signer.tally, now=now)
    return message


async def _waiting(tx: Tx, payout_id: UUID, attempt: int) -> tuple[Intent, Action, bytes] | None:
    """The intent and its message, locked; None when it needs no signature any more."""
    intent = await store.locked(tx, payout_id)
    row = await tx.fetchrow(_SQL["message"], payout_id, attempt)
    if intent is None or intent.state is not PayoutState.NUMBERED or row is None:
        return None
    return intent, Action(row["action"]), bytes(row["message"])


async def _store(
    tx: Tx, signer: Signer, payout_id: UUID, attempt: int, signature: str, wire: bytes
) -> bool:
    """Store a signature, unless the message was closed, signed or unwanted meanwhile."""
    found = await _waiting(tx, payout_id, attempt)
    if found is None:
        return False
    intent, action, _ = found
    try:
        _still_wanted(intent, action)
    except SigningRefused:
        return False  # the next round stores why
    at = signer.clock.now()
    await tx.execute(_SQL["store_signature"], payout_id, attempt, signature, wire, at)
    await store.move(tx, intent, PayoutEvent.SIGN)
    _log.info("payout_signed", payout=str(payout_id), number=intent.sequence, signature=signature)
    return True
