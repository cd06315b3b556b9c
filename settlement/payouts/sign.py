"""The signer's work: build each waiting message again from its intents, and sign it if it is equal.

The signer believes nothing it reads from a message. The bytes to be signed must be exactly those
that follow from the intent rows, in the order of the message, and the signer's own policy: its
program, its mint, its key as the only payer, known instructions only, a bounded fee; and the books
must hold the very amount of each for its very account. Anything else is refused, stored with its
reason, and reported; so is what goes beyond the policy's bounds and rates. It needs Postgres and
the key, no chain.

The holder of the key may be far away, so it is asked between two transactions: the first lets the
message through and counts it, the second stores the signature. Stopped between them, the same
message is let through again (it counts once) and its signature is the same.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from solders.message import Message
from solders.pubkey import Pubkey

from settlement.chain.messages import read_budget
from settlement.clock import Clock
from settlement.db.pool import Pool, Tx, reading, transaction
from settlement.db.sql import load
from settlement.errors import Refused
from settlement.keys.protocol import SigningKey, signed
from settlement.payouts import store
from settlement.payouts.batches import Member, message_of
from settlement.payouts.halt import halted
from settlement.payouts.intent import Action, recipient
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
_AT_ONCE: Final = 64
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


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A message to be signed, and who is in it as the books know them."""

    members: tuple[Member, ...]
    said: int  # how many payouts it says it is for
    raw: bytes


def rederive(
    members: Sequence[Member], raw: bytes, *, policy: SigningPolicy, payer: Pubkey
) -> Message:
    """The message that `raw` must be. Raises `SigningRefused` or `UnknownMessage`."""
    _still_wanted(members)
    budget, blockhash = read_budget(raw)
    policy.bound_fee(budget)
    for member in members:
        opens = recipient(member.intent, member.action, policy.deployment)
        if member.creates_account and opens is None:
            raise SigningRefused(Cause.MESSAGE, problem="no account is to be opened for this")
    expected = message_of(
        members, deployment=policy.deployment, payer=payer, budget=budget, blockhash=blockhash
    )
    if bytes(expected) != raw:
        raise SigningRefused(Cause.MESSAGE, problem="it does not follow from the intents")
    return expected


def _still_wanted(members: Sequence[Member]) -> None:
    for member in members:
        action, intent = member.action, member.intent
        if action is Action.EXECUTE and intent.skip_reason is not None:
            raise SigningRefused(
                Cause.MESSAGE, problem="its number is to be burned", number=intent.sequence
            )
        if action is Action.SKIP and intent.skip_reason is None:
            raise SigningRefused(
                Cause.MESSAGE, problem="nobody asked to burn its number", number=intent.sequence
            )


async def sign_waiting(signer: Signer) -> Signed:
    """Sign what waits, each message by itself. Raises `KeyAway` when the key's holder is away."""
    async with reading(signer.pool) as conn:
        if await halted(conn):
            return Signed(signed=0, refused=0)
        waiting = await conn.fetch(_SQL["to_sign"], bytes(signer.key.address), _AT_ONCE)
    done = 0
    causes = Counter[Cause]()
    for row in waiting:
        try:
            done += await _sign_one(signer, row["message_id"])
        except SigningRefused as error:
            causes[error.cause] += 1
    return Signed(signed=done, refused=causes.total(), causes=causes)


async def _sign_one(signer: Signer, message_id: int) -> bool:
    """Whether it was signed; False when it needs that no more. Raises `SigningRefused`, stored."""
    async with transaction(signer.pool) as tx:
        admitted = await _admitted_or_refused(tx, signer, message_id)
    if isinstance(admitted, SigningRefused):
        raise admitted
    if admitted is None:
        return False
    signature, wire = await signed(signer.key, admitted)
    async with transaction(signer.pool) as tx:
        return await _store(tx, signer, message_id, signature, wire)


async def _admitted_or_refused(
    tx: Tx, signer: Signer, message_id: int
) -> Message | SigningRefused | None:
    found = await _waiting(tx, message_id)
    if found is None:
        return None
    try:
        return await _admitted(tx, signer, found)
    except Refused as error:
        refusal = SigningRefused.of(error)
        await tx.execute(_SQL["refuse"], message_id, str(refusal))
    _log.error("payouts_not_signed", message=message_id, reason=str(refusal))
    return refusal


async def _admitted(tx: Tx, signer: Signer, found: _Waiting) -> Message:
    if len(found.members) != found.said:
        raise SigningRefused(Cause.MESSAGE, problem="it is not said for whom it is")
    message = rederive(found.members, found.raw, policy=signer.policy, payer=signer.key.address)
    paying = [member for member in found.members if member.action is Action.EXECUTE]
    if paying:
        await _require_money(tx, paying)
        payments = [
            Payment(
                payout_id=member.intent.payout_id,
                amount_microusdc=member.intent.amount_microusdc,
                opens_account=member.creates_account,
            )
            for member in paying
        ]
        now = signer.clock.now()
        await admit(tx, payments, policy=signer.policy, tally=signer.tally, now=now)
    return message


async def _require_money(tx: Tx, paying: Sequence[Member]) -> None:
    ids = [member.intent.payout_id for member in paying]
    held = {row["payout_id"] for row in await tx.fetch(_SQL["money_is_held"], ids)}
    for payout_id in ids:
        if payout_id not in held:
            raise SigningRefused(
                Cause.UNHELD,
                problem="the books do not hold this amount for this account",
                payout=str(payout_id),
            )


async def _waiting(tx: Tx, message_id: int) -> _Waiting | None:
    """A message and its payouts, locked; None when it needs no signature any more."""
    locked = await tx.fetch(_SQL["lock_signed_for"], message_id)
    row = await tx.fetchrow(_SQL["message"], message_id)
    if row is None:
        return None
    intents = {payout["payout_id"]: store.intent_of(payout) for payout in locked}
    placed = await tx.fetch(_SQL["placed"], message_id)
    # A number in it may have been decided: then it cannot happen any more.
    if any(at["closed_at"] is not None or at["payout_id"] not in intents for at in placed):
        return None
    if any(intent.state is not PayoutState.NUMBERED for intent in intents.values()):
        return None
    members = [
        Member(
            intent=intents[at["payout_id"]],
            action=Action(at["action"]),
            creates_account=at["creates_account"],
        )
        for at in placed
    ]
    return _Waiting(members=tuple(members), said=row["members"], raw=bytes(row["message"]))


async def _store(tx: Tx, signer: Signer, message_id: int, signature: str, wire: bytes) -> bool:
    """Store a signature, unless the message was closed, signed or unwanted meanwhile."""
    found = await _waiting(tx, message_id)
    if found is None:
        return False
    try:
        _still_wanted(found.members)
    except SigningRefused:
        return False  # the next round stores why
    await tx.execute(_SQL["store_signature"], message_id, signature, wire, signer.clock.now())
    await store.move_all(tx, [member.intent for member in found.members], PayoutEvent.SIGN)
    _log.info("payouts_signed", message=message_id, payouts=len(found.members), signature=signature)
    return True
