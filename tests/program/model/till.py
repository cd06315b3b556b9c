"""The till: money in under a code, money out under a number, and what strayed."""

from dataclasses import replace

from settlement.chain.instructions import (
    ApprovePay,
    DepositUsdc,
    FundBond,
    Pay,
    RecoverStray,
    Skip,
    SweepSurplus,
)
from settlement.money import MicroUsdc
from tests.program.model.bonds import check_free, check_new_bond_address, code_error
from tests.program.model.state import Call, Refusal, State, refuse_if
from tests.program.model.window import Approval, Numbers

APPROVAL_SECONDS = 86_400


def deposit_usdc(state: State, call: Call, it: DepositUsdc) -> None:
    call.check_shape()
    config = state.check_config(call)
    state.check_address(call, "ops_wallet_ata", config.till_vault)
    call.check_writable()
    refuse_if(call["depositor_ata"] == config.till_vault, "DuplicateAccount")
    state.check_mint(call)
    vault = state.token(config.till_vault)
    source = state.token_of(call["depositor_ata"], call["depositor"])
    call.check_signed()
    state.check_pause(config.pauses.deposits)
    refuse_if(not 0 < it.amount_microusdc <= source.amount, "WrongAmount")
    state.check_transfer(source, vault)
    state.transfer(call["depositor_ata"], config.till_vault, it.amount_microusdc)


def fund_bond(state: State, call: Call, it: FundBond) -> None:
    call.check_shape(data_error=code_error(it.code))
    config = state.check_config(call)
    state.check_ours(call, "escrow", config.escrow)
    state.check_ours(call, "payouts", config.payouts)
    state.check_address(call, "till_authority", config.ops_wallet)
    state.check_address(call, "till_vault", config.till_vault)
    state.check_address(call, "bond_vault", config.bond_vault)
    check_new_bond_address(state, call, it)
    call.check_writable()
    state.check_mint(call)
    till, vault = state.token(config.till_vault), state.token(config.bond_vault)
    call.check_signed()
    state.check_role("payer", call["payer"])
    state.check_pause(config.pauses.payouts)
    check_free(state, call)
    _check_number(state, it.sequence)
    amount = config.parameters.bond_amount_microusdc
    within = state.numbers.spending.allows(amount, state.now, config.parameters)
    refuse_if(not within, "CapExceeded")
    state.check_transfer(till, vault)
    refuse_if(till.amount < amount, "InsufficientVault")
    state.transfer(config.till_vault, config.bond_vault, amount)
    state.open_for(call, code=it.code, beneficiary=it.beneficiary, amount=amount)
    _record(state, it.sequence, amount, counted=True)


def pay(state: State, call: Call, it: Pay) -> None:
    call.check_shape()
    config = state.check_config(call)
    state.check_ours(call, "payouts", config.payouts)
    state.check_address(call, "till_authority", config.ops_wallet)
    state.check_address(call, "till_vault", config.till_vault)
    call.check_writable()
    refuse_if(call["destination"] == config.till_vault, "DuplicateAccount")
    state.check_mint(call)
    till = state.token(config.till_vault)
    destination = state.token(call["destination"])
    refuse_if(state.is_ours(destination.owner), "ForbiddenAddress")
    call.check_signed()
    state.check_role("payer", call["payer"])
    state.check_pause(config.pauses.payouts)
    _check_number(state, it.sequence)
    amount = it.amount_microusdc
    within = state.numbers.spending.allows(amount, state.now, config.parameters)
    if not within:
        _check_approval(state, call, it)
    refuse_if(amount == 0, "WrongAmount")
    state.check_transfer(destination, till)
    refuse_if(till.amount < amount, "InsufficientVault")
    state.transfer(config.till_vault, call["destination"], amount)
    _record(state, it.sequence, amount, counted=within)
    if not within:
        state.numbers = replace(state.numbers, approval=Approval())


def _check_number(state: State, sequence: int) -> None:
    error = state.numbers.refusal(sequence)
    if error is not None:
        raise Refusal(error)


def _check_approval(state: State, call: Call, it: Pay) -> None:
    """Above a cap it needs the exact approval, still open."""
    approval = state.numbers.approval
    refuse_if(state.now >= approval.expires_at, "CapExceeded")
    asked = (it.sequence, it.amount_microusdc, call["destination"], it.reference)
    approved = (approval.sequence, approval.amount, approval.destination, approval.reference)
    refuse_if(asked != approved, "ApprovalMismatch")


def _record(state: State, sequence: int, amount: MicroUsdc, *, counted: bool) -> None:
    after = _use(state, 1, sequence, paid=True)
    spending = after.spending.counted(amount, state.now) if counted else after.spending
    state.numbers = replace(
        after,
        paid_count=after.paid_count + 1,
        paid_total=after.paid_total + amount,
        spending=spending,
    )


def _use(state: State, mask: int, first: int, *, paid: bool) -> Numbers:
    after = state.numbers.after(mask, first, paid=paid)
    if after is None:
        raise Refusal("Overflow")
    return after


def approve_pay(state: State, call: Call, it: ApprovePay) -> None:
    call.check_shape()
    config = state.check_config(call)
    state.check_ours(call, "payouts", config.payouts)
    call.check_writable()
    call.check_signed()
    refuse_if(call["admin"] != config.admin, "Unauthorized")
    _check_number(state, it.sequence)
    refuse_if(it.amount_microusdc == 0, "WrongAmount")
    approval = Approval(
        sequence=it.sequence,
        amount=it.amount_microusdc,
        destination=it.destination,
        reference=it.reference,
        expires_at=state.now + APPROVAL_SECONDS,
    )
    state.numbers = replace(state.numbers, approval=approval)


def skip(state: State, call: Call, it: Skip) -> None:
    call.check_shape(data_error=None if it.mask else "InvalidInstruction")
    config = state.check_config(call)
    state.check_ours(call, "payouts", config.payouts)
    call.check_writable()
    call.check_signed()
    refuse_if(call["signer"] not in (config.payer, config.admin), "Unauthorized")
    error = state.numbers.skip_refusal(it.first, it.mask)
    if error is not None:
        raise Refusal(error)
    state.numbers = _use(state, it.mask, it.first, paid=False)


def sweep_surplus(state: State, call: Call, it: SweepSurplus) -> None:
    del it
    call.check_shape()
    config = state.check_config(call)
    state.check_ours(call, "escrow", config.escrow)
    state.check_address(call, "bond_vault", config.bond_vault)
    state.check_address(call, "till_vault", config.till_vault)
    call.check_writable()
    state.check_mint(call)
    vault, till = state.token(config.bond_vault), state.token(config.till_vault)
    surplus = vault.amount - state.escrow.total_bonded_microusdc
    refuse_if(surplus <= 0, "NothingToSweep")
    state.check_transfer(vault, till)
    state.transfer(config.bond_vault, config.till_vault, surplus)


def recover_stray(state: State, call: Call, it: RecoverStray) -> None:
    del it
    deployment = state.deployment
    call.check_shape()
    config = state.check_config(call)
    ours = (deployment.config, deployment.payouts, deployment.till_authority, deployment.escrow)
    refuse_if(call["authority"] not in ours, "WrongAddress")
    call.check_writable()
    refuse_if(call["stray"] == call["destination"], "DuplicateAccount")
    refuse_if(call["stray_mint"] not in state.mints, "WrongMint")
    stray = state.token(call["stray"], mint=call["stray_mint"])
    refuse_if(stray.owner != call["authority"], "WrongTokenAccount")
    refuse_if(call["stray"] in (config.till_vault, config.bond_vault), "ForbiddenAddress")
    destination = state.token(call["destination"], mint=call["stray_mint"])
    if call["stray_mint"] == deployment.mint:
        state.check_address(call, "destination", config.till_vault)
    else:
        refuse_if(state.is_ours(destination.owner), "ForbiddenAddress")
    call.check_signed()
    refuse_if(call["admin"] != config.admin, "Unauthorized")
    refuse_if(stray.amount == 0, "NothingToSweep")
    state.check_transfer(stray, destination)
    state.transfer(call["stray"], call["destination"], stray.amount)
