"""Instructions of our program that move none of our money: what they mean. Pure.

Steps of a bond's life and of a seizure, numbers burned, and what the owners decide.
"""

from functools import partial
from typing import assert_never

from solders.pubkey import Pubkey

from indexer.events import (
    BondHandedOver,
    BondRetireCancelled,
    BondRetired,
    Event,
    Governed,
    SeizureStepped,
    Skipped,
)
from settlement.bonds.rules import SeizureStep
from settlement.chain import program
from settlement.chain.movement import MovementKey
from settlement.errors import snake_case

Step = (
    program.ProposeSeizure
    | program.WithdrawProposal
    | program.Contest
    | program.Uphold
    | program.Dismiss
    | program.Lapse
)
Ruling = program.GovernanceInstruction | program.ApprovePay | program.RecoverStray
Silent = (
    program.Retire | program.CancelRetire | program.SetBeneficiary | program.Skip | Step | Ruling
)


def noted(known: Silent, own: MovementKey) -> Event:
    """What moves nothing, by an instruction that is understood."""
    match known:
        case program.Retire():
            return BondRetired(key=own, address=known.bond, code=known.code)
        case program.CancelRetire():
            return BondRetireCancelled(
                key=own, address=known.bond, code=known.code, beneficiary=known.beneficiary
            )
        case program.SetBeneficiary():
            return BondHandedOver(
                key=own,
                address=known.bond,
                code=known.code,
                beneficiary=known.beneficiary,
                new_beneficiary=known.new_beneficiary,
            )
        case program.Skip():
            return Skipped(key=own, sequences=known.sequences)
        case _:
            return _stepped(known, own) if isinstance(known, Step) else governed(known, own)


def _stepped(known: Step, own: MovementKey) -> Event:
    stepped = partial(SeizureStepped, key=own, address=known.bond, code=known.code)
    match known:
        case program.ProposeSeizure():
            return stepped(
                step=SeizureStep.PROPOSED,
                signer=known.proposer,
                evidence_hash=known.evidence_hash,
                reason=known.reason,
            )
        case program.WithdrawProposal():
            return stepped(step=SeizureStep.WITHDRAWN, signer=known.proposer)
        case program.Contest():
            return stepped(
                step=SeizureStep.CONTESTED, signer=known.beneficiary, reply_hash=known.reply_hash
            )
        case program.Uphold():
            return stepped(step=SeizureStep.UPHELD, signer=known.arbiter)
        case program.Dismiss():
            return stepped(step=SeizureStep.DISMISSED, signer=known.arbiter)
        case program.Lapse():
            return stepped(step=SeizureStep.LAPSED)
        case _:
            assert_never(known)


def governed(known: Ruling, own: MovementKey) -> Event:
    """Named as in the program's table."""
    what = snake_case(type(known).__name__)
    return Governed(key=own, what=what, signer=_signer(known), given=known)


def _signer(known: Ruling) -> Pubkey | None:
    match known:
        case program.ApplyParams() | program.ApplyRole():
            return None
        case program.AcceptAdmin():
            return known.nominee
        case program.Initialize():
            return known.upgrade_authority
        case (
            program.CancelParams()
            | program.CancelRole()
            | program.RevokeRole()
            | program.NominateAdmin()
            | program.Pause()
        ):
            return known.signer
        case _:
            return known.admin
