"""The signer's part of a crank: build the message again from the bond's row, sign what is equal.

The bond's row is written by the indexer alone, so whoever can only write cranks can have nothing
signed but a step that the books say the bond may take: to its own beneficiary, or to our till. The
worst that can be made of it is fees, and those have a limit by the hour.

As with payouts, the key's holder is asked between two transactions: the first finds the message
right, the second stores the signature. Stopped between them, the next round signs the same again.
"""

from collections import Counter
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from solders.message import Message
from solders.pubkey import Pubkey

from settlement.bonds.rules import BondState, SeizureState
from settlement.chain.messages import Step, build, opens_first, read_budget
from settlement.cranks.states import CrankEvent, CrankState, after
from settlement.cranks.step import BookedBond, CrankKind, instruction, recipient
from settlement.cranks.store import bond_of
from settlement.db.pool import Tx, reading, transaction
from settlement.db.sql import load
from settlement.errors import Refused
from settlement.keys.protocol import signed
from settlement.payouts.policy import Cause, SigningPolicy, SigningRefused
from settlement.payouts.sign import Signed, Signer

_SQL = load("settlement.cranks", "sign.sql")
_BATCH: Final = 50
_HOUR: Final = timedelta(hours=1)
MOST_IN_AN_HOUR: Final = 1_000
_OPEN: Final = frozenset({BondState.POSTED, BondState.RETIRING})
_EXECUTABLE: Final = frozenset({SeizureState.PROPOSED, SeizureState.UPHELD})
_log = structlog.stdlib.get_logger()


def rederive(
    kind: CrankKind, bond: BookedBond, raw: bytes, *, policy: SigningPolicy, payer: Pubkey
) -> Message:
    """The message that `raw` must be. Raises `SigningRefused` or `UnknownMessage`."""
    if not _may_be(kind, bond):
        raise SigningRefused(Cause.MESSAGE, problem="by the books this bond is not there")
    budget, blockhash = read_budget(raw)
    policy.bound_fee(budget)
    account_for = recipient(kind, bond, deployment=policy.deployment)
    opens = opens_first(raw)
    if opens and account_for is None:
        raise SigningRefused(Cause.MESSAGE, problem="no account is to be opened for this")
    expected = build(
        payer=payer,
        steps=[
            Step(
                instruction=instruction(kind, bond, deployment=policy.deployment),
                opens=account_for if opens else None,
            )
        ],
        budget=budget,
        blockhash=blockhash,
    )
    if bytes(expected) != raw:
        raise SigningRefused(Cause.MESSAGE, problem="it does not follow from the bond")
    return expected


def _may_be(kind: CrankKind, bond: BookedBond) -> bool:
    """Whether the books allow the step at all; that its time has come is the chain's to say."""
    match kind:
        case CrankKind.RELEASE:
            return bond.state is BondState.RETIRING and bond.seizure is SeizureState.NONE
        case CrankKind.EXECUTE_SEIZURE:
            return bond.state in _OPEN and bond.seizure in _EXECUTABLE
        case CrankKind.LAPSE:
            return bond.state in _OPEN and bond.seizure is not SeizureState.NONE


async def sign_steps(signer: Signer, *, most_in_an_hour: int = MOST_IN_AN_HOUR) -> Signed:
    """Sign what waits, each message by itself. Raises `KeyAway` when the key's holder is away."""
    async with reading(signer.pool) as conn:
        waiting = await conn.fetch(_SQL["to_sign"], _BATCH)
        if not waiting:
            return Signed(signed=0, refused=0)
        before = int(await conn.fetchval(_SQL["signed_since"], signer.clock.now() - _HOUR))
    left = max(0, most_in_an_hour - before)
    if len(waiting) > left:
        _log.error("cranks_signed_too_often", in_an_hour=before, most=most_in_an_hour)
    done, causes = 0, Counter[Cause]()
    for row in waiting[:left]:
        try:
            done += await _sign_one(signer, row["crank_id"], row["attempt"])
        except SigningRefused as error:
            causes[error.cause] += 1
    return Signed(signed=done, refused=causes.total(), causes=causes)


async def _sign_one(signer: Signer, crank_id: UUID, attempt: int) -> bool:
    """Whether it was signed; False when it needs that no more. Raises `SigningRefused`, stored."""
    async with transaction(signer.pool) as tx:
        found = await _right_or_refused(tx, signer, crank_id, attempt)
    if isinstance(found, SigningRefused):
        raise found
    if found is None:
        return False
    signature, wire = await signed(signer.key, found)
    async with transaction(signer.pool) as tx:
        if await _waiting(tx, crank_id, attempt) is None:
            return False
        at = signer.clock.now()
        await tx.execute(_SQL["store_signature"], crank_id, attempt, signature, wire, at)
        moved = await tx.fetchval(_SQL["set_signed"], crank_id)
        assert moved == after(CrankState.WAITING, CrankEvent.SIGN), "the crank is locked"
    _log.info("crank_signed", crank=str(crank_id), signature=signature)
    return True


async def _right_or_refused(
    tx: Tx, signer: Signer, crank_id: UUID, attempt: int
) -> Message | SigningRefused | None:
    found = await _waiting(tx, crank_id, attempt)
    if found is None:
        return None
    try:
        return rederive(*found, policy=signer.policy, payer=signer.key.address)
    except Refused as error:
        refusal = SigningRefused.of(error)
        await tx.execute(_SQL["refuse"], crank_id, attempt, str(refusal))
    _log.error("crank_not_signed", crank=str(crank_id), attempt=attempt, reason=str(refusal))
    return refusal


async def _waiting(
    tx: Tx, crank_id: UUID, attempt: int
) -> tuple[CrankKind, BookedBond, bytes] | None:
    """The step and its message, locked; None when it needs no signature any more."""
    row = await tx.fetchrow(_SQL["crank_with_bond"], crank_id)
    message = await tx.fetchrow(_SQL["message"], crank_id, attempt)
    if row is None or message is None or row["crank_state"] != CrankState.WAITING:
        return None
    return CrankKind(row["kind"]), bond_of(row), bytes(message["message"])
