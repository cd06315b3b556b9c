"""A bond's life but for seizures: posted, retired, handed over, released."""

from settlement.chain.instructions import (
    CancelRetire,
    FundBond,
    PostBond,
    Release,
    Retire,
    SetBeneficiary,
)
from settlement.chain.layouts import BondState, SeizureState
from settlement.chain.program import associated_token_address
from tests.program.model.state import OPEN, Call, State, Token, refuse_if

LETTERS_AND_DIGITS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def code_error(code: bytes) -> str | None:
    """Bond codes are letters and digits."""
    return None if LETTERS_AND_DIGITS.issuperset(code) else "WrongCode"


def check_new_bond_address(state: State, call: Call, it: PostBond | FundBond) -> None:
    """The one address of this code and beneficiary, who is somebody else than we."""
    address = state.deployment.bond(it.code, it.beneficiary)
    state.check_address(call, "bond", address)
    refuse_if(state.is_ours(it.beneficiary), "ForbiddenAddress")


def check_free(state: State, call: Call) -> None:
    """The address was never used."""
    if call["bond"] in state.bonds:
        opened = state.bonds[call["bond"]].state in OPEN
        refuse_if(opened, "AlreadyInitialized")
        refuse_if(not opened, "Tombstoned")


def post_bond(state: State, call: Call, it: PostBond) -> None:
    call.check_shape(data_error=code_error(it.code))
    config = state.check_config(call)
    state.check_ours(call, "escrow", config.escrow)
    state.check_address(call, "bond_vault", config.bond_vault)
    check_new_bond_address(state, call, it)
    call.check_writable()
    refuse_if(call["depositor_ata"] == config.bond_vault, "DuplicateAccount")
    state.check_mint(call)
    vault = state.token(config.bond_vault)
    source = state.token_of(call["depositor_ata"], call["depositor"])
    call.check_signed()
    state.check_pause(config.pauses.deposits)
    check_free(state, call)
    amount = config.parameters.bond_amount_microusdc
    refuse_if(source.amount < amount, "WrongAmount")
    state.check_transfer(source, vault)
    state.transfer(call["depositor_ata"], config.bond_vault, amount)
    state.open_for(call, code=it.code, beneficiary=it.beneficiary, amount=amount)


def retire(state: State, call: Call, it: Retire) -> None:
    call.check_shape()
    config = state.check_config(call)
    bond = state.open_bond(call, it.code)
    call.check_writable()
    call.check_signed()
    refuse_if(call["signer"] not in (bond.beneficiary, config.proposer), "Unauthorized")
    refuse_if(bond.state is not BondState.POSTED, "WrongState")
    release_at = state.now + bond.cooldown_seconds
    state.put(call, bond, state=BondState.RETIRING, retiring_at=state.now, release_at=release_at)


def cancel_retire(state: State, call: Call, it: CancelRetire) -> None:
    call.check_shape()
    bond = state.open_bond(call, it.code)
    call.check_writable()
    call.check_signed()
    refuse_if(call["beneficiary"] != bond.beneficiary, "Unauthorized")
    refuse_if(bond.state is not BondState.RETIRING, "WrongState")
    state.put(
        call,
        bond,
        state=BondState.POSTED,
        retiring_at=0,
        release_at=0,
        proposals_while_retiring=0,
    )


def set_beneficiary(state: State, call: Call, it: SetBeneficiary) -> None:
    call.check_shape()
    bond = state.open_bond(call, it.code)
    call.check_writable()
    refuse_if(call["beneficiary"] == call["new_beneficiary"], "DuplicateAccount")
    call.check_signed()
    refuse_if(call["beneficiary"] != bond.beneficiary, "Unauthorized")
    refuse_if(bond.seizure_state is not SeizureState.NONE, "SeizureOpen")
    state.put(call, bond, beneficiary=call["new_beneficiary"])


def release(state: State, call: Call, it: Release) -> None:
    call.check_shape()
    config = state.check_config(call)
    state.check_ours(call, "escrow", config.escrow)
    bond = state.open_bond(call, it.code)
    state.check_address(call, "beneficiary", bond.beneficiary)
    state.check_address(call, "rent_payer", bond.rent_payer)
    state.check_address(call, "bond_vault", config.bond_vault)
    call.check_writable()
    refuse_if(call["destination"] == config.bond_vault, "DuplicateAccount")
    state.check_mint(call)
    vault = state.token(config.bond_vault)
    destination = _check_destination(state, call)
    state.check_pause(config.pauses.releases)
    refuse_if(bond.state is not BondState.RETIRING, "WrongState")
    refuse_if(bond.seizure_state is not SeizureState.NONE, "SeizureOpen")
    refuse_if(state.now < bond.release_at, "CooldownNotOver")
    state.check_transfer(destination, vault)
    state.transfer(config.bond_vault, call["destination"], bond.amount_microusdc)
    state.bury(call, bond, BondState.RELEASED)


def _check_destination(state: State, call: Call) -> Token:
    beneficiary, destination = call["beneficiary"], call["destination"]
    if call.signed_by("beneficiary"):
        token = state.token(destination)
        refuse_if(state.is_ours(token.owner), "ForbiddenAddress")
        return token
    token = state.token_of(destination, beneficiary)
    canonical = associated_token_address(beneficiary, state.deployment.mint)
    refuse_if(destination != canonical, "WrongTokenAccount")
    return token
