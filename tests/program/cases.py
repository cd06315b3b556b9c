"""One valid call of each instruction, ready to be sent or to be spoiled."""

from collections.abc import Callable, Mapping

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.program import InitialParameters
from settlement.money import MicroUsdc
from tests.program.case import (
    CODE,
    EVIDENCE,
    REFERENCE,
    REPLY,
    USER_CODE,
    Case,
    ready,
)
from tests.program.governance_cases import GOVERNANCE_CASES
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, USDC, World, new_world


def initialize_case() -> Case:
    world = new_world()
    instruction = program.initialize(
        world.deployment,
        upgrade_authority=world.upgrade_authority.pubkey(),
        funder=world.funder.pubkey(),
        roles=world.roles,
        parameters=InitialParameters(),
    )
    return Case(
        world=world, instruction=instruction, signers=[world.upgrade_authority, world.funder]
    )


def deposit_case() -> Case:
    world = ready()
    depositor = world.wallet(100 * USDC)
    instruction = program.deposit_usdc(
        world.deployment,
        depositor=depositor.pubkey(),
        code=USER_CODE,
        amount_microusdc=MicroUsdc(25 * USDC),
    )
    return Case(world=world, instruction=instruction, signers=[depositor])


def post_case(code: bytes = CODE, beneficiary: Pubkey | None = None) -> Case:
    world = ready()
    depositor = world.wallet(2 * BOND_AMOUNT)
    instruction = program.post_bond(
        world.deployment,
        depositor=depositor.pubkey(),
        funder=world.funder.pubkey(),
        code=code,
        beneficiary=beneficiary or depositor.pubkey(),
    )
    return Case(world=world, instruction=instruction, signers=[depositor, world.funder])


def fund_case(sequence: int = 0, beneficiary: Pubkey | None = None) -> Case:
    world = ready(till_microusdc=200 * USDC)
    instruction = program.fund_bond(
        world.deployment,
        payer=world.payer.pubkey(),
        funder=world.funder.pubkey(),
        sequence=sequence,
        code=CODE,
        beneficiary=beneficiary or Keypair().pubkey(),
    )
    return Case(world=world, instruction=instruction, signers=[world.payer, world.funder])


def retire_case() -> Case:
    world = ready()
    beneficiary = world.wallet()
    world.post_bond(CODE, beneficiary.pubkey())
    instruction = program.retire(
        world.deployment,
        signer=beneficiary.pubkey(),
        code=CODE,
        beneficiary=beneficiary.pubkey(),
    )
    return Case(world=world, instruction=instruction, signers=[beneficiary])


def release_case(*, early_by: int = 0, signed: bool = False) -> Case:
    """Released by nobody (or signed by the beneficiary), `early_by` seconds before its time."""
    case = retire_case()
    case.send()
    world, (beneficiary,) = case.world, case.signers
    world.advance(COOLDOWN_SECONDS - early_by)
    instruction = program.release(
        world.deployment,
        code=CODE,
        beneficiary=beneficiary.pubkey(),
        rent_payer=world.funder.pubkey(),
        signed=signed,
    )
    return Case(world=world, instruction=instruction, signers=[beneficiary] if signed else [])


def pay_case(sequence: int = 7, amount_microusdc: int = 5 * USDC) -> Case:
    world = ready(till_microusdc=200 * USDC)
    receiver = world.wallet()
    instruction = program.pay(
        world.deployment,
        payer=world.payer.pubkey(),
        sequence=sequence,
        amount_microusdc=MicroUsdc(amount_microusdc),
        code=USER_CODE,
        reference=REFERENCE,
        destination=world.ata(receiver.pubkey()),
    )
    return Case(world=world, instruction=instruction, signers=[world.payer])


def skip_case(first: int = 3, mask: int = 0b101) -> Case:
    world = ready()
    instruction = program.skip(
        world.deployment, signer=world.payer.pubkey(), first=first, mask=mask
    )
    return Case(world=world, instruction=instruction, signers=[world.payer])


def cancel_retire_case() -> Case:
    case = retire_case()
    case.send()
    world, (beneficiary,) = case.world, case.signers
    bond = world.deployment.bond(CODE, beneficiary.pubkey())
    instruction = program.CancelRetire(beneficiary=beneficiary.pubkey(), bond=bond, code=CODE)
    return Case(world=world, instruction=world.build(instruction), signers=[beneficiary])


def set_beneficiary_case() -> Case:
    world, beneficiary, bond = bonded()
    heir = world.wallet()
    instruction = program.SetBeneficiary(
        beneficiary=beneficiary.pubkey(), new_beneficiary=heir.pubkey(), bond=bond, code=CODE
    )
    return Case(world=world, instruction=world.build(instruction), signers=[beneficiary, heir])


# --- a seizure, step by step: each case is the step after the one before


def bonded() -> tuple[World, Keypair, Pubkey]:
    """A world, a beneficiary, and their bond."""
    world = ready()
    beneficiary = world.wallet()
    world.post_bond(CODE, beneficiary.pubkey())
    return world, beneficiary, world.deployment.bond(CODE, beneficiary.pubkey())


def propose_case() -> Case:
    world, _, bond = bonded()
    instruction = program.ProposeSeizure(
        proposer=world.proposer.pubkey(), bond=bond, code=CODE, evidence_hash=EVIDENCE, reason=7
    )
    return Case(world=world, instruction=world.build(instruction), signers=[world.proposer])


def proposed() -> tuple[World, Keypair, Pubkey]:
    """A world, a beneficiary, and their bond with a seizure proposed just now."""
    world, beneficiary, bond = bonded()
    world.propose(bond, CODE, EVIDENCE)
    return world, beneficiary, bond


def withdraw_case() -> Case:
    world, _, bond = proposed()
    instruction = program.WithdrawProposal(proposer=world.proposer.pubkey(), bond=bond, code=CODE)
    return Case(world=world, instruction=world.build(instruction), signers=[world.proposer])


def contest_case() -> Case:
    world, beneficiary, bond = proposed()
    instruction = program.Contest(
        beneficiary=beneficiary.pubkey(), bond=bond, code=CODE, reply_hash=REPLY
    )
    return Case(world=world, instruction=world.build(instruction), signers=[beneficiary])


def uphold_case() -> Case:
    case = contest_case()
    case.send()
    world, bond = case.world, case.instruction.accounts[1].pubkey
    instruction = program.Uphold(arbiter=world.arbiter.pubkey(), bond=bond, code=CODE)
    return Case(world=world, instruction=world.build(instruction), signers=[world.arbiter])


def dismiss_case() -> Case:
    case = contest_case()
    case.send()
    world, bond = case.world, case.instruction.accounts[1].pubkey
    instruction = program.Dismiss(arbiter=world.arbiter.pubkey(), bond=bond, code=CODE)
    return Case(world=world, instruction=world.build(instruction), signers=[world.arbiter])


def execute_case() -> Case:
    """Uncontested, at the first second it can be executed."""
    world, _, bond = proposed()
    world.advance(InitialParameters().dispute_seconds)
    instruction = program.ExecuteSeizure(bond=bond, rent_payer=world.funder.pubkey(), code=CODE)
    return Case(world=world, instruction=world.build(instruction), signers=[])


def lapse_case() -> Case:
    """Uncontested and not executed, at the first second it is dead."""
    world, _, bond = proposed()
    parameters = InitialParameters()
    world.advance(parameters.dispute_seconds + parameters.execution_seconds)
    instruction = program.Lapse(bond=bond, code=CODE)
    return Case(world=world, instruction=world.build(instruction), signers=[])


# --- the till beyond paying


def approve_case(sequence: int = 7) -> Case:
    world = ready(till_microusdc=200 * USDC)
    receiver = world.wallet()
    instruction = program.ApprovePay(
        admin=world.admin.pubkey(),
        sequence=sequence,
        amount_microusdc=MicroUsdc(5 * USDC),
        destination=world.ata(receiver.pubkey()),
        reference=REFERENCE,
    )
    return Case(world=world, instruction=world.build(instruction), signers=[world.admin])


def sweep_case() -> Case:
    world, _, _ = bonded()
    world.mint_to(world.deployment.bond_vault, 3 * USDC)
    return Case(world=world, instruction=world.build(program.SweepSurplus()), signers=[])


def recover_case() -> Case:
    """A foreign mint that somebody sent to the till authority."""
    world = ready()
    mint = world.new_mint(decimals=9)
    stray = world.open_account(world.deployment.till_authority, mint)
    destination = world.open_account(world.wallet().pubkey(), mint)
    world.mint_to(stray, 1_000, mint)
    instruction = program.RecoverStray(
        admin=world.admin.pubkey(),
        authority=world.deployment.till_authority,
        stray=stray,
        destination=destination,
        stray_mint=mint,
    )
    return Case(world=world, instruction=world.build(instruction), signers=[world.admin])


CASES: Mapping[str, Callable[[], Case]] = {
    "initialize": initialize_case,
    "deposit_usdc": deposit_case,
    "post_bond": post_case,
    "fund_bond": fund_case,
    "retire": retire_case,
    "release": release_case,
    "pay": pay_case,
    "skip": skip_case,
    "cancel_retire": cancel_retire_case,
    "set_beneficiary": set_beneficiary_case,
    "propose_seizure": propose_case,
    "withdraw_proposal": withdraw_case,
    "contest": contest_case,
    "uphold": uphold_case,
    "dismiss": dismiss_case,
    "execute_seizure": execute_case,
    "lapse": lapse_case,
    "approve_pay": approve_case,
    "sweep_surplus": sweep_case,
    "recover_stray": recover_case,
    **GOVERNANCE_CASES,
}
