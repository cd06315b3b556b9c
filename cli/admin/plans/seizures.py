"""The steps of a seizure as proposals, with the clocks each one starts or ends. Pure.

Proposed, it can be contested for the dispute window; uncontested it can then be executed, contested
it is the arbiter's to decide; past its time it can only lapse. Every window is the bond's own, as
it was when the bond was posted.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from cli.admin.overview import Overview, StrangeAccount
from cli.admin.plans.holders import require
from cli.transaction.moments import moment
from cli.transaction.proposal import Line, Proposal
from settlement.chain import program
from settlement.chain.layouts import Bond, BondState, SeizureState
from settlement.chain.program import ProgramInstruction
from settlement.errors import Conflict, NotFound, Refused
from settlement.money import format_usdc

PROPOSER: Final = "proposer"
ARBITER: Final = "arbiter"
LARGEST_REASON: Final = 2**16 - 1
_HASH_BYTES: Final = 32


class NoSuchBond(NotFound):
    """There is no bond of this deployment at this address."""


class BondOver(Conflict):
    """The bond is over: only its tombstone is left."""


class NoOpenSeizure(NotFound):
    """No seizure of this bond is open."""


class SeizureIsOpen(Conflict):
    """A seizure of this bond is open already."""


class InvalidEvidence(Refused):
    """The evidence is named by a file, or by the 64 hexadecimal digits of its SHA-256 (not zero);
    give one of the two."""


@dataclass(frozen=True, kw_only=True)
class BondAt:
    """A bond and where it stands."""

    address: Pubkey
    bond: Bond


def bond_at(overview: Overview, address: Pubkey, found: object) -> BondAt:
    """A decoded account as the bond it has to be. Raises `NoSuchBond`, `BondOver`, or
    `StrangeAccount` when it does not stand at its own address."""
    if not isinstance(found, Bond):
        raise NoSuchBond(address=str(address))
    if found.state in (BondState.RELEASED, BondState.SEIZED):
        raise BondOver(address=str(address), state=found.state.name.lower())
    if overview.deployment.bond(found.code, found.first_beneficiary) != address:
        raise StrangeAccount(account=f"bond {address}")
    return BondAt(address=address, bond=found)


def evidence_hash(content: bytes | None, digits: str | None) -> bytes:
    """The hash of a file's bytes, or as it was written. Raises `InvalidEvidence`."""
    if (content is None) is (digits is None):
        raise InvalidEvidence(given="both" if digits is not None else "neither")
    if content is not None:
        return hashlib.sha256(content).digest()
    try:
        raw = bytes.fromhex(digits or "")
    except ValueError:
        raise InvalidEvidence(got=digits) from None
    if len(raw) != _HASH_BYTES or not any(raw):
        raise InvalidEvidence(got=digits)
    return raw


def propose(
    overview: Overview, wallet: Pubkey, place: BondAt, *, evidence: bytes, reason: int
) -> Proposal:
    """Propose to seize a bond. Raises `NotTheHolder` or `SeizureIsOpen`."""
    require(overview, wallet, PROPOSER)
    bond, now = place.bond, overview.now
    if bond.seizure_state is not SeizureState.NONE:
        raise SeizureIsOpen(address=str(place.address), state=_state(bond))
    execute_after = now + bond.dispute_seconds
    dies_at = execute_after + bond.execution_seconds
    return _proposal(
        overview,
        wallet,
        place,
        name="propose_seizure",
        title="Propose to seize a bond",
        lines=(
            Line(label="evidence", text=f"SHA-256 {evidence.hex()}"),
            Line(label="reason", text=str(reason)),
            Line(label="contested before", text=moment(execute_after, now)),
            Line(label="executed before", text=f"{moment(dies_at, now)}, from then on"),
        ),
        instruction=program.ProposeSeizure(
            proposer=wallet,
            bond=place.address,
            code=bond.code,
            evidence_hash=evidence,
            reason=reason,
        ),
        irreversible="This evidence cannot be used for this bond again, also after withdrawing.",
        facts={
            "evidence_hash": evidence.hex(),
            "reason": reason,
            "execute_after": execute_after,
            "dies_at": dies_at,
        },
    )


def withdraw(overview: Overview, wallet: Pubkey, place: BondAt) -> Proposal:
    """Take a proposed seizure back. Raises `NotTheHolder` or `NoOpenSeizure`."""
    require(overview, wallet, PROPOSER)
    return _proposal(
        overview,
        wallet,
        place,
        name="withdraw_proposal",
        title="Withdraw a proposed seizure",
        lines=(*_open(overview, place), Line(label="afterwards", text="no seizure is open")),
        instruction=program.WithdrawProposal(
            proposer=wallet, bond=place.address, code=place.bond.code
        ),
    )


def uphold(overview: Overview, wallet: Pubkey, place: BondAt) -> Proposal:
    """Decide a contested seizure for the proposer. Raises `NotTheHolder`, `NoOpenSeizure`."""
    require(overview, wallet, ARBITER)
    bond, now = place.bond, overview.now
    return _proposal(
        overview,
        wallet,
        place,
        name="uphold",
        title="Uphold a seizure",
        lines=(
            *_open(overview, place),
            Line(label="executed from", text=moment(bond.execute_after, now)),
            Line(label="and before", text=moment(bond.dies_at, now)),
        ),
        instruction=program.Uphold(arbiter=wallet, bond=place.address, code=bond.code),
        irreversible="The bond can then be seized by anybody within its time.",
    )


def dismiss(overview: Overview, wallet: Pubkey, place: BondAt) -> Proposal:
    """Decide a contested seizure for the beneficiary. Raises `NotTheHolder`, `NoOpenSeizure`."""
    require(overview, wallet, ARBITER)
    return _proposal(
        overview,
        wallet,
        place,
        name="dismiss",
        title="Dismiss a seizure",
        lines=(*_open(overview, place), Line(label="afterwards", text="no seizure is open")),
        instruction=program.Dismiss(arbiter=wallet, bond=place.address, code=place.bond.code),
        irreversible="The seizure is over; its evidence cannot be used for this bond again.",
    )


def execute(overview: Overview, wallet: Pubkey, place: BondAt) -> Proposal:
    """Carry a seizure out; anybody may. Raises `NoOpenSeizure`."""
    bond, deployment = place.bond, overview.deployment
    return _proposal(
        overview,
        wallet,
        place,
        name="execute_seizure",
        title="Execute a seizure",
        lines=(
            *_open(overview, place),
            Line(label="possible from", text=moment(bond.execute_after, overview.now)),
            Line(label="and before", text=moment(bond.dies_at, overview.now)),
            Line(label="moves", text=f"{format_usdc(bond.amount_microusdc)} USDC"),
            Line(label="to", text=f"the till vault {deployment.till_vault}"),
            Line(label="rent goes to", text=str(bond.rent_payer)),
        ),
        instruction=program.ExecuteSeizure(
            bond=place.address, rent_payer=bond.rent_payer, code=bond.code
        ),
        irreversible="The bond is gone for its beneficiary, for good.",
    )


def lapse(overview: Overview, wallet: Pubkey, place: BondAt) -> Proposal:
    """Clear a seizure that is past its time; anybody may. Raises `NoOpenSeizure`."""
    bond = place.bond
    contested = bond.seizure_state is SeizureState.CONTESTED
    ends = bond.decide_by if contested else bond.dies_at
    return _proposal(
        overview,
        wallet,
        place,
        name="lapse",
        title="Let a seizure lapse",
        lines=(
            *_open(overview, place),
            Line(label="possible from", text=moment(ends, overview.now)),
        ),
        instruction=program.Lapse(bond=place.address, code=bond.code),
    )


def _open(overview: Overview, place: BondAt) -> tuple[Line, ...]:
    """The seizure that is open. Raises `NoOpenSeizure`."""
    bond = place.bond
    if bond.seizure_state is SeizureState.NONE:
        raise NoOpenSeizure(address=str(place.address))
    return (
        Line(
            label="seizure",
            text=f"{_state(bond)}, proposed {moment(bond.proposed_at, overview.now)}",
        ),
        Line(label="evidence", text=f"SHA-256 {bond.evidence_hash.hex()}, reason {bond.reason}"),
    )


def _state(bond: Bond) -> str:
    return bond.seizure_state.name.lower()


def _proposal(
    overview: Overview,
    wallet: Pubkey,
    place: BondAt,
    *,
    name: str,
    title: str,
    lines: tuple[Line, ...],
    instruction: ProgramInstruction,
    irreversible: str = "",
    facts: dict[str, object] | None = None,
) -> Proposal:
    bond = place.bond
    about = (
        Line(label="bond", text=f"{place.address}, code {bond.code.decode('ascii', 'replace')}"),
        Line(label="of", text=f"{bond.beneficiary}, {format_usdc(bond.amount_microusdc)} USDC"),
        Line(label="state", text=bond.state.name.lower()),
    )
    return Proposal(
        name=name,
        title=title,
        lines=(*about, *lines),
        instructions=(program.build(overview.deployment, instruction),),
        payer=wallet,
        irreversible=irreversible,
        facts={
            "bond": str(place.address),
            "beneficiary": str(bond.beneficiary),
            "amount_microusdc": bond.amount_microusdc,
            **(facts or {}),
        },
    )
