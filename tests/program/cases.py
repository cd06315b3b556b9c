"""One valid call of each instruction, ready to be sent or to be spoiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.program import InitialParameters
from settlement.money import MicroUsdc
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, USDC, World, new_world

CODE = b"Enroll01"
USER_CODE = bytes.fromhex("00ff10a2b3c4d5e6")
REFERENCE = bytes(range(16))


@dataclass(kw_only=True)
class Case:
    """A world, an instruction that would succeed in it, and who signs."""

    world: World
    instruction: Instruction
    signers: list[Keypair]

    def send(self) -> int:
        """Send it; returns the compute units used."""
        return self.world.send(self.instruction, signers=self.signers).compute_units_consumed()

    def refuse(self, instruction: Instruction, *more: Keypair) -> str:
        """Send a spoiled one, signed by those who still must; returns the error's name."""
        needed = {meta.pubkey for meta in instruction.accounts if meta.is_signer}
        signers = [key for key in (*self.signers, *more) if key.pubkey() in needed]
        return self.world.refuse(instruction, signers=signers)


def ready(*, till_microusdc: int = 0) -> World:
    world = new_world()
    world.initialize()
    if till_microusdc:
        world.fill_till(till_microusdc)
    return world


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


CASES: Mapping[str, Callable[[], Case]] = {
    "initialize": initialize_case,
    "deposit_usdc": deposit_case,
    "post_bond": post_case,
    "fund_bond": fund_case,
    "retire": retire_case,
    "release": release_case,
    "pay": pay_case,
    "skip": skip_case,
}
