"""The steps of a bond that anybody may take: when each is due, and its instruction. Pure.

Everything follows from the bond as the books know it, which only the indexer writes. Times are the
chain's. A step that is due by the books may still be refused by the chain, whose word it is.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from settlement.bonds.rules import BondState, SeizureState
from settlement.chain import program
from settlement.chain.messages import Recipient
from settlement.chain.program import Deployment


class CrankKind(StrEnum):
    """What can be due."""

    RELEASE = "release"  # the cooldown is over: the bond goes back to its beneficiary
    EXECUTE_SEIZURE = "execute_seizure"  # its windows are over: the bond goes to the till
    LAPSE = "lapse"  # a seizure past its time is cleared, and the bond is free again


@dataclass(frozen=True, kw_only=True)
class BookedBond:
    """A bond as the books know it; `provider_id` is None when it counts for no operator."""

    address: Pubkey
    code: bytes
    state: BondState
    provider_id: UUID | None
    beneficiary: Pubkey
    first_beneficiary: Pubkey
    rent_payer: Pubkey
    release_at: datetime | None
    seizure: SeizureState
    execute_after: datetime | None
    decide_by: datetime | None
    dies_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Due:
    """A step whose time has come, and since when."""

    kind: CrankKind
    since: datetime


def due(bond: BookedBond, now: datetime) -> Due | None:
    """The one step of this bond that anybody may take now, by the books; `now` in chain time.

    A seizure comes first: while one is open, nothing is released. One whose times the books do not
    know has ended since: its end has only not been read yet.
    """
    if bond.state not in (BondState.POSTED, BondState.RETIRING):
        return None
    if bond.seizure is not SeizureState.NONE:
        return _of_seizure(bond, now)
    if bond.state is BondState.RETIRING:
        return _since(CrankKind.RELEASE, bond.release_at, now)
    return None


def _of_seizure(bond: BookedBond, now: datetime) -> Due | None:
    contested = bond.seizure is SeizureState.CONTESTED
    ended = _since(CrankKind.LAPSE, bond.decide_by if contested else bond.dies_at, now)
    if ended is not None or contested:
        return ended
    return _since(CrankKind.EXECUTE_SEIZURE, bond.execute_after, now)


def _since(kind: CrankKind, at: datetime | None, now: datetime) -> Due | None:
    return None if at is None or now < at else Due(kind=kind, since=at)


def instruction(kind: CrankKind, bond: BookedBond, *, deployment: Deployment) -> Instruction:
    """The bond program's instruction for this step. Nobody signs it but who pays the fee."""
    match kind:
        case CrankKind.RELEASE:
            return program.release(
                deployment,
                code=bond.code,
                beneficiary=bond.beneficiary,
                rent_payer=bond.rent_payer,
                first_beneficiary=bond.first_beneficiary,
            )
        case CrankKind.EXECUTE_SEIZURE:
            step = program.ExecuteSeizure(
                bond=_address(bond, deployment), rent_payer=bond.rent_payer, code=bond.code
            )
            return program.build(deployment, step)
        case CrankKind.LAPSE:
            lapse = program.Lapse(bond=_address(bond, deployment), code=bond.code)
            return program.build(deployment, lapse)
        case _:
            assert_never(kind)


def recipient(kind: CrankKind, bond: BookedBond, *, deployment: Deployment) -> Recipient | None:
    """For whom we open a token account if there is none: the beneficiary of an operator's bond."""
    if kind is not CrankKind.RELEASE or bond.provider_id is None:
        return None
    return Recipient(owner=bond.beneficiary, mint=deployment.mint)


def _address(bond: BookedBond, deployment: Deployment) -> Pubkey:
    return deployment.bond(bond.code, bond.first_beneficiary)
