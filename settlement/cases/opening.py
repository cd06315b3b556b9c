"""A case is opened by one person, looked at by another, and closed in the end.

It is written down whole, with its evidence and its requests, and never changed: what comes to light
later is another case. The claims are held against the books: each request is one that the accused
operator was paid for, and no more is claimed than was paid. The names are what people say of
themselves; the database sees to it that they are two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from settlement.cases import reading
from settlement.cases.evidence import (
    Accusation,
    Claim,
    EvidenceFile,
    evidence_hash,
    manifest,
)
from settlement.cases.reading import Case
from settlement.cases.states import FINAL, CaseNotThere, CaseState, moved
from settlement.clock import Clock, new_id
from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, Tx, transaction
from settlement.errors import Conflict, NotFound, Refused
from settlement.ledger import accounts
from settlement.money import MicroUsdc

_QUERIES: Final = sql.load("settlement.cases", "opening.sql")
LARGEST_REASON_CODE: Final = 2**16 - 1
LONGEST_REASON: Final = 2_000
MOST_REQUESTS: Final = 10_000


class OperatorUnknown(NotFound):
    """There is no operator of this id or code."""


class BondNotTheirs(Refused):
    """This is no bond of the operator's that could be seized."""


class SeveralBonds(Refused):
    """The operator has several bonds: say which one."""


class NoBondThere(Refused):
    """The operator has no bond that could be seized: say that the treasury alone is to pay."""


class BondThere(Refused):
    """The operator has a bond: it pays before the treasury does."""


class TextMissing(Refused):
    """Who does it says so, and why; a reason has at most 2000 characters."""


class ReasonCodeInvalid(Refused):
    """The reason's number in the policy is between 0 and 65535."""


class RequestsMissing(Refused):
    """A case is about requests: at least one, at most 10,000, each once."""


class RequestNotTheirs(Refused):
    """The books, as far as they are at hand, do not know this request as one that the operator was
    paid for."""


class ClaimTooLarge(Refused):
    """No more is claimed of a request than was paid for it."""


class SamePerson(Refused):
    """Somebody else looks at it: not who did the step before."""


class ReviewedBefore(Conflict):
    """This case was looked at before."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What is said of an operator. `no_bond` says that no bond is to be seized.

    A claim of None is for all that was paid.
    """

    provider_id: UUID
    bond: str | None
    no_bond: bool
    reason_code: int
    reason: str
    files: Sequence[EvidenceFile]
    claims: Mapping[UUID, MicroUsdc | None]
    actor: str


@dataclass(frozen=True, kw_only=True)
class _Paid:
    user_account: int
    paid_microusdc: MicroUsdc


async def operator_of_code(conn: ReadConn, code: bytes) -> UUID:
    """The operator whose bonds have this code. Raises `OperatorUnknown`."""
    found: UUID | None = await conn.fetchval(_QUERIES["operator_of_code"], code)
    if found is None:
        raise OperatorUnknown(field="operator", got=code.decode("ascii", "replace"))
    return found


async def open_case(pool: Pool, clock: Clock, said: Opening) -> Case:
    """Write a case down, whole. Raises what this file names, and what `evidence` does."""
    actor, reason = checked_text("actor", said.actor), checked_text("reason", said.reason)
    if len(reason) > LONGEST_REASON:
        raise TextMissing(field="reason", got=len(reason))
    if not 0 <= said.reason_code <= LARGEST_REASON_CODE:
        raise ReasonCodeInvalid(field="reason_code", got=said.reason_code)
    if not 0 < len(said.claims) <= MOST_REQUESTS:
        raise RequestsMissing(field="requests", got=len(said.claims))
    case_id = new_id(clock)
    async with transaction(pool) as tx:
        bond = await _bond(tx, said)
        paid = await _paid(tx, said)
        claims = [
            Claim(request_id=one, claimed_microusdc=_claimed(one, claim, paid[one]))
            for one, claim in sorted(said.claims.items())
        ]
        text = manifest(
            Accusation(
                case_id=case_id,
                provider_id=said.provider_id,
                bond=bond,
                reason_code=said.reason_code,
                reason=reason,
                claims=claims,
                files=said.files,
            )
        )
        await tx.execute(
            _QUERIES["add_case"],
            case_id,
            said.provider_id,
            bond,
            said.reason_code,
            reason,
            text,
            evidence_hash(text),
            clock.now(),
            actor,
        )
        await _add_parts(tx, case_id, said.files, claims, paid)
        return await reading.case(tx, case_id)


async def review(
    pool: Pool, clock: Clock, case_id: UUID, *, actor: str, note: str, accepts: bool
) -> Case:
    """Another person looked at the case and agrees, or not; done before alike, it is told again.

    Raises `SamePerson`, `ReviewedBefore`, `CaseNotThere`, `CaseUnknown` or `TextMissing`.
    """
    actor, note = checked_text("actor", actor), checked_text("note", note)
    async with transaction(pool) as tx:
        found = await locked(tx, case_id)
        if found.review is not None:
            if (found.review.actor, found.review_accepts) == (actor, accepts):
                return found
            raise ReviewedBefore(field="case", actor=found.review.actor)
        if found.state in FINAL:
            raise CaseNotThere(field="case", state=found.state.value)
        other_person(actor, found.opened_by)
        state = found.state
        if state is CaseState.OPEN:
            state = moved(state, CaseState.REVIEWED if accepts else CaseState.REFUSED)
        await tx.execute(
            _QUERIES["review_case"], case_id, state.value, clock.now(), actor, note, accepts
        )
        return await reading.case(tx, case_id)


async def close(pool: Pool, clock: Clock, case_id: UUID, *, actor: str, note: str) -> Case:
    """End a case; one that is closed is told again. What its bond left over stays in the pool.

    Raises `CaseNotThere` while it goes on, `CaseUnknown` or `TextMissing`.
    """
    actor, note = checked_text("actor", actor), checked_text("note", note)
    async with transaction(pool) as tx:
        found = await locked(tx, case_id)
        if found.state is CaseState.CLOSED:
            return found
        moved(found.state, CaseState.CLOSED)
        if found.state is CaseState.CREDITING and await tx.fetchval(
            _QUERIES["credits_open"], case_id
        ):
            raise CaseNotThere(field="case", state=found.state.value, problem="credits are left")
        await tx.execute(_QUERIES["close_case"], case_id, clock.now(), actor, note)
        return await reading.case(tx, case_id)


async def locked(tx: Tx, case_id: UUID) -> Case:
    """The case, nobody else's to move until the transaction ends, standing where the chain has it.

    Raises `CaseUnknown`.
    """
    await tx.execute(_QUERIES["lock_case"], case_id)
    found = await reading.case(tx, case_id)
    if found.state is not found.stored:
        await tx.execute(_QUERIES["move_case"], case_id, found.state.value)
    return found


def checked_text(field: str, text: str) -> str:
    """What somebody said, without space around it. Raises `TextMissing`."""
    bare = text.strip()
    # Neither the database nor a hash takes a zero byte, or half of a character.
    if not bare or "\0" in bare or bare.encode(errors="replace").decode() != bare:
        raise TextMissing(field=field)
    return bare


def other_person(actor: str, before: str) -> None:
    """Raise `SamePerson` where the two are one."""
    if actor.strip().lower() == before.strip().lower():
        raise SamePerson(field="actor", got=actor)


async def _bond(tx: Tx, said: Opening) -> str | None:
    """The bond that is to be seized; None where there is none."""
    if not await tx.fetchval(_QUERIES["operator_known"], said.provider_id):
        raise OperatorUnknown(field="operator", got=str(said.provider_id))
    rows = await tx.fetch(_QUERIES["bonds_of_operator"], said.provider_id)
    bonds = [str(row["address"]) for row in rows]
    if said.no_bond:
        if bonds or said.bond is not None:
            raise BondThere(field="bond", got=said.bond or bonds[0])
        return None
    if said.bond is not None:
        if said.bond not in bonds:
            raise BondNotTheirs(field="bond", got=said.bond)
        return said.bond
    if not bonds:
        raise NoBondThere(field="bond")
    if len(bonds) > 1:
        raise SeveralBonds(field="bond", valid=", ".join(bonds))
    return bonds[0]


async def _paid(tx: Tx, said: Opening) -> dict[UUID, _Paid]:
    """What was paid for each of the requests, all of them the operator's."""
    rows = await tx.fetch(_QUERIES["paid_requests"], list(said.claims))
    host = accounts.host(said.provider_id)
    paid = {
        row["request_id"]: _Paid(
            user_account=row["user_account"], paid_microusdc=MicroUsdc(row["gross"])
        )
        for row in rows
        if row["operator"] == host and row["gross"] > 0
    }
    for request_id in sorted(said.claims):
        if request_id not in paid:
            raise RequestNotTheirs(field="requests", got=str(request_id))
    return paid


def _claimed(request_id: UUID, claim: MicroUsdc | None, paid: _Paid) -> MicroUsdc:
    claimed = paid.paid_microusdc if claim is None else claim
    if not 0 < claimed <= paid.paid_microusdc:
        raise ClaimTooLarge(
            field="requests", got=str(request_id), paid_microusdc=paid.paid_microusdc
        )
    return claimed


async def _add_parts(
    tx: Tx,
    case_id: UUID,
    files: Sequence[EvidenceFile],
    claims: Sequence[Claim],
    paid: Mapping[UUID, _Paid],
) -> None:
    for one in files:
        await tx.execute(
            _QUERIES["add_file"], case_id, one.name, one.size_bytes, one.digest, one.content
        )
    ids = [one.request_id for one in claims]
    await tx.execute(
        _QUERIES["add_requests"],
        case_id,
        ids,
        [paid[one].user_account for one in ids],
        [paid[one].paid_microusdc for one in ids],
        [one.claimed_microusdc for one in claims],
    )
