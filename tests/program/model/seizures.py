"""A seizure: proposed, contested, decided, executed or lapsed, each within its time."""

from dataclasses import replace

from settlement.chain.instructions import (
    Contest,
    Dismiss,
    ExecuteSeizure,
    Lapse,
    ProposeSeizure,
    Uphold,
    WithdrawProposal,
)
from settlement.chain.layouts import Bond, BondState, SeizureState
from tests.program.model.state import Call, State, refuse_if

PROPOSALS_WHILE_RETIRING = 3
EVIDENCE_REMEMBERED = 3
NONE, PROPOSED = SeizureState.NONE, SeizureState.PROPOSED
CONTESTED, UPHELD = SeizureState.CONTESTED, SeizureState.UPHELD


def cleared(bond: Bond) -> Bond:
    """The bond without its seizure; what evidence was used is remembered."""
    return replace(
        bond,
        seizure_state=NONE,
        evidence_hash=bytes(32),
        reply_hash=bytes(32),
        reason=0,
        proposed_at=0,
        execute_after=0,
        decide_by=0,
        dies_at=0,
    )


def propose_seizure(state: State, call: Call, it: ProposeSeizure) -> None:
    call.check_shape(data_error=None if any(it.evidence_hash) else "InvalidInstruction")
    config = state.check_config(call)
    bond = state.open_bond(call, it.code)
    call.check_writable()
    call.check_signed()
    state.check_role("proposer", call["proposer"])
    state.check_pause(config.pauses.seizures)
    retiring = bond.state is BondState.RETIRING
    refuse_if(bond.seizure_state is not NONE, "SeizureOpen")
    refuse_if(it.evidence_hash in bond.evidence_used, "EvidenceReused")
    refuse_if(retiring and state.now >= bond.release_at, "SeizureTooLate")
    limit_reached = bond.proposals_while_retiring >= PROPOSALS_WHILE_RETIRING
    refuse_if(retiring and limit_reached, "SeizureLimit")
    execute_after = state.now + bond.dispute_seconds
    state.put(
        call,
        bond,
        seizure_state=PROPOSED,
        evidence_hash=it.evidence_hash,
        reply_hash=bytes(32),
        reason=it.reason,
        proposed_at=state.now,
        execute_after=execute_after,
        decide_by=execute_after + bond.decision_seconds,
        dies_at=execute_after + bond.execution_seconds,
        evidence_used=(*bond.evidence_used, it.evidence_hash)[-EVIDENCE_REMEMBERED:],
        proposals_while_retiring=bond.proposals_while_retiring + retiring,
    )


def withdraw_proposal(state: State, call: Call, it: WithdrawProposal) -> None:
    call.check_shape()
    state.check_config(call)
    bond = state.open_bond(call, it.code)
    call.check_writable()
    call.check_signed()
    state.check_role("proposer", call["proposer"])
    refuse_if(bond.seizure_state is NONE, "NoSeizure")
    refuse_if(bond.seizure_state is UPHELD, "WrongState")
    state.put(call, cleared(bond))


def contest(state: State, call: Call, it: Contest) -> None:
    call.check_shape()
    bond = state.open_bond(call, it.code)
    call.check_writable()
    call.check_signed()
    refuse_if(call["beneficiary"] != bond.beneficiary, "Unauthorized")
    refuse_if(bond.seizure_state is NONE, "NoSeizure")
    refuse_if(bond.seizure_state is not PROPOSED, "AlreadyContested")
    refuse_if(state.now >= bond.execute_after, "WindowOver")
    dies_at = bond.decide_by + bond.execution_seconds
    state.put(call, bond, seizure_state=CONTESTED, reply_hash=it.reply_hash, dies_at=dies_at)


def uphold(state: State, call: Call, it: Uphold) -> None:
    bond = _decided(state, call, it)
    state.put(call, bond, seizure_state=UPHELD)


def dismiss(state: State, call: Call, it: Dismiss) -> None:
    bond = _decided(state, call, it)
    state.put(call, cleared(bond))


def _decided(state: State, call: Call, it: Uphold | Dismiss) -> Bond:
    """The contested bond that the arbiter may decide now. Dismissing cannot be paused."""
    call.check_shape()
    config = state.check_config(call)
    bond = state.open_bond(call, it.code)
    call.check_writable()
    call.check_signed()
    state.check_role("arbiter", call["arbiter"])
    if isinstance(it, Uphold):
        state.check_pause(config.pauses.seizures)
    refuse_if(bond.seizure_state is NONE, "NoSeizure")
    refuse_if(bond.seizure_state is PROPOSED, "NotContested")
    refuse_if(bond.seizure_state is UPHELD, "WrongState")
    refuse_if(state.now >= bond.decide_by, "WindowOver")
    return bond


def execute_seizure(state: State, call: Call, it: ExecuteSeizure) -> None:
    call.check_shape()
    config = state.check_config(call)
    state.check_ours(call, "escrow", config.escrow)
    bond = state.open_bond(call, it.code)
    state.check_address(call, "rent_payer", bond.rent_payer)
    state.check_address(call, "bond_vault", config.bond_vault)
    state.check_address(call, "till_vault", config.till_vault)
    call.check_writable()
    state.check_mint(call)
    vault, till = state.token(config.bond_vault), state.token(config.till_vault)
    state.check_pause(config.pauses.seizures)
    refuse_if(bond.seizure_state is NONE, "NoSeizure")
    refuse_if(bond.seizure_state is CONTESTED, "WrongState")
    refuse_if(state.now < bond.execute_after, "WindowNotOver")
    refuse_if(state.now >= bond.dies_at, "SeizureExpired")
    state.check_transfer(vault, till)
    state.transfer(config.bond_vault, config.till_vault, bond.amount_microusdc)
    state.bury(call, bond, BondState.SEIZED)


def lapse(state: State, call: Call, it: Lapse) -> None:
    call.check_shape()
    bond = state.open_bond(call, it.code)
    call.check_writable()
    refuse_if(bond.seizure_state is NONE, "NoSeizure")
    ends_at = bond.decide_by if bond.seizure_state is CONTESTED else bond.dies_at
    refuse_if(state.now < ends_at, "WindowNotOver")
    state.put(call, cleared(bond))
