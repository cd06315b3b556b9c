"""One valid call of each instruction that writes Config after the start."""

from collections.abc import Callable, Mapping

from solders.keypair import Keypair

from settlement.chain import program
from settlement.chain.program import InitialParameters, PauseBit, Role
from settlement.money import MicroUsdc
from tests.program.case import DAY_SECONDS, Case, ready
from tests.program.world import USDC, World


def set_params_case() -> Case:
    """Looser and tighter at once."""
    world = ready()
    parameters = InitialParameters(
        bond_amount_microusdc=MicroUsdc(60 * USDC), cooldown_seconds=30 * DAY_SECONDS
    )
    instruction = program.SetParams(admin=world.admin.pubkey(), parameters=parameters)
    return Case(world=world, instruction=world.build(instruction), signers=[world.admin])


def params_pending() -> World:
    """A world in which a looser policy waits."""
    case = set_params_case()
    case.send()
    return case.world


def apply_params_case() -> Case:
    world = params_pending()
    world.advance(7 * DAY_SECONDS)
    return Case(world=world, instruction=world.build(program.ApplyParams()), signers=[])


def cancel_params_case() -> Case:
    world = params_pending()
    instruction = program.CancelParams(signer=world.guardian.pubkey())
    return Case(world=world, instruction=world.build(instruction), signers=[world.guardian])


def grant_role_case(role: Role = Role.PAYER) -> Case:
    world = ready()
    instruction = program.GrantRole(
        admin=world.admin.pubkey(), role=role, holder=Keypair().pubkey()
    )
    return Case(world=world, instruction=world.build(instruction), signers=[world.admin])


def apply_role_case() -> Case:
    case = grant_role_case()
    case.send()
    case.world.advance(2 * DAY_SECONDS)
    return Case(world=case.world, instruction=case.world.build(program.ApplyRole()), signers=[])


def cancel_role_case() -> Case:
    case = grant_role_case()
    case.send()
    world = case.world
    instruction = program.CancelRole(signer=world.guardian.pubkey())
    return Case(world=world, instruction=world.build(instruction), signers=[world.guardian])


def revoke_role_case() -> Case:
    world = ready()
    instruction = program.RevokeRole(signer=world.guardian.pubkey(), role=Role.PAYER)
    return Case(world=world, instruction=world.build(instruction), signers=[world.guardian])


def nominate_case() -> Case:
    world = ready()
    instruction = program.NominateAdmin(signer=world.admin.pubkey(), nominee=world.nominee.pubkey())
    return Case(world=world, instruction=world.build(instruction), signers=[world.admin])


def accept_case() -> Case:
    case = nominate_case()
    case.send()
    world = case.world
    world.advance(2 * DAY_SECONDS)
    instruction = program.AcceptAdmin(nominee=world.nominee.pubkey())
    return Case(world=world, instruction=world.build(instruction), signers=[world.nominee])


def cancel_nomination_case() -> Case:
    case = nominate_case()
    case.send()
    world = case.world
    instruction = program.CancelNomination(admin=world.admin.pubkey())
    return Case(world=world, instruction=world.build(instruction), signers=[world.admin])


def pause_case(bit: PauseBit = PauseBit.PAYOUTS) -> Case:
    world = ready()
    instruction = program.Pause(signer=world.guardian.pubkey(), bit=bit)
    return Case(world=world, instruction=world.build(instruction), signers=[world.guardian])


def unpause_case() -> Case:
    case = pause_case()
    case.send()
    world = case.world
    instruction = program.Unpause(admin=world.admin.pubkey(), bit=PauseBit.PAYOUTS)
    return Case(world=world, instruction=world.build(instruction), signers=[world.admin])


GOVERNANCE_CASES: Mapping[str, Callable[[], Case]] = {
    "set_params": set_params_case,
    "apply_params": apply_params_case,
    "cancel_params": cancel_params_case,
    "grant_role": grant_role_case,
    "apply_role": apply_role_case,
    "cancel_role": cancel_role_case,
    "revoke_role": revoke_role_case,
    "nominate_admin": nominate_case,
    "accept_admin": accept_case,
    "cancel_nomination": cancel_nomination_case,
    "pause": pause_case,
    "unpause": unpause_case,
}
