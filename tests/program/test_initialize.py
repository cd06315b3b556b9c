"""`initialize`: once, by the upgrade authority, within the bounds."""

from dataclasses import replace

import pytest
from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.program import InitialParameters
from settlement.money import MicroUsdc
from tests.program.cases import initialize_case
from tests.program.world import World, mint_account, set_upgrade_authority, with_account

DAY = 86_400


def test_it_sets_everything_up(world: World) -> None:
    config, deployment = world.config(), world.deployment
    assert config.ops_wallet == deployment.till_authority
    assert config.mint == deployment.mint
    assert (config.till_vault, config.bond_vault) == (deployment.till_vault, deployment.bond_vault)
    assert (config.escrow, config.payouts) == (deployment.escrow, deployment.payouts)
    assert config.parameters == InitialParameters()
    assert config.admin == world.admin.pubkey()
    assert config.proposer == world.proposer.pubkey()
    assert config.arbiter == world.arbiter.pubkey()
    assert config.guardian == world.guardian.pubkey()
    assert config.payer == world.payer.pubkey()
    assert config.pending_admin == config.pending_role_key == Pubkey.default()
    assert (world.till, world.held) == (0, 0)
    assert world.escrow().total_bonded_microusdc == world.escrow().open_count == 0
    assert world.payouts().first_free == 0
    assert world.payouts().paid_count == 0


def test_existing_clients_find_the_vaults_owner_at_bytes_8_to_40(world: World) -> None:
    account = world.svm.get_account(world.deployment.config)
    assert account is not None
    owner = Pubkey(account.data[8:40])
    ata = program.associated_token_address(owner, world.deployment.mint)
    assert ata == world.deployment.till_vault


def test_only_once(world: World) -> None:
    instruction = initialize_again(world)
    signers = [world.upgrade_authority, world.funder]
    assert world.refuse(instruction, signers=signers) == "AlreadyInitialized"


def initialize_again(world: World) -> Instruction:
    return program.initialize(
        world.deployment,
        upgrade_authority=world.upgrade_authority.pubkey(),
        funder=world.funder.pubkey(),
        roles=world.roles,
        parameters=InitialParameters(),
    )


def test_somebody_else_is_refused_even_signing_for_themselves() -> None:
    case = initialize_case()
    other = Keypair()
    spoiled = with_account(case.instruction, 0, pubkey=other.pubkey())
    assert case.refuse(spoiled, other) == "Unauthorized"


def test_a_burned_upgrade_authority_opens_nothing() -> None:
    case = initialize_case()
    set_upgrade_authority(case.world.svm, case.world.deployment, None)
    assert case.refuse(case.instruction) == "Unauthorized"
    zero = with_account(case.instruction, 0, pubkey=Pubkey.default(), is_signer=False)
    assert case.refuse(zero) == "MissingSignature"


def test_program_data_of_another_program_is_refused() -> None:
    case = initialize_case()
    svm, deployment = case.world.svm, case.world.deployment
    real = svm.get_account(deployment.program_data)
    assert real is not None
    elsewhere = Pubkey.new_unique()
    svm.set_account(elsewhere, Account(real.lamports, real.data, real.owner))
    spoiled = with_account(case.instruction, 2, pubkey=elsewhere)
    assert case.refuse(spoiled) == "WrongAddress"
    svm.set_account(elsewhere, Account(real.lamports, b"\x02" + real.data[1:], real.owner))
    assert case.refuse(spoiled) == "WrongTag"
    svm.set_account(elsewhere, Account(real.lamports, real.data[:44], real.owner))
    assert case.refuse(spoiled) == "WrongTag"


@pytest.mark.parametrize(
    "changed",
    [
        {"bond_amount_microusdc": MicroUsdc(999_999)},
        {"bond_amount_microusdc": MicroUsdc(10_000_000_001)},
        {"cooldown_seconds": 7 * DAY - 1},
        {"cooldown_seconds": 90 * DAY + 1},
        {"cooldown_seconds": -1},
        {"dispute_seconds": 3 * DAY - 1},
        {"dispute_seconds": 14 * DAY + 1},
        {"decision_seconds": 7 * DAY - 1},
        {"decision_seconds": 21 * DAY + 1},
        {"execution_seconds": 7 * DAY - 1},
        {"execution_seconds": 21 * DAY + 1},
    ],
)
def test_parameters_outside_their_bounds(blank: World, changed: dict[str, MicroUsdc]) -> None:
    instruction = program.initialize(
        blank.deployment,
        upgrade_authority=blank.upgrade_authority.pubkey(),
        funder=blank.funder.pubkey(),
        roles=blank.roles,
        parameters=replace(InitialParameters(), **changed),
    )
    signers = [blank.upgrade_authority, blank.funder]
    assert blank.refuse(instruction, signers=signers) == "ParamOutOfBounds"


def test_roles_must_be_distinct_and_the_admin_somebody(blank: World) -> None:
    def refused(**changed: Pubkey) -> str:
        instruction = program.initialize(
            blank.deployment,
            upgrade_authority=blank.upgrade_authority.pubkey(),
            funder=blank.funder.pubkey(),
            roles=replace(blank.roles, **changed),
            parameters=InitialParameters(),
        )
        return blank.refuse(instruction, signers=[blank.upgrade_authority, blank.funder])

    for role in ("payer", "proposer", "arbiter", "guardian"):
        assert refused(**{role: blank.admin.pubkey()}) == "RolesNotDistinct"
    assert refused(proposer=blank.arbiter.pubkey()) == "RolesNotDistinct"
    assert refused(admin=Pubkey.default()) == "RoleVacant"


def test_all_roles_but_the_admin_may_be_vacant(blank: World) -> None:
    instruction = program.initialize(
        blank.deployment,
        upgrade_authority=blank.upgrade_authority.pubkey(),
        funder=blank.funder.pubkey(),
        roles=program.InitialRoles(admin=blank.admin.pubkey()),
        parameters=InitialParameters(),
    )
    blank.send(instruction, signers=[blank.upgrade_authority, blank.funder])
    assert blank.config().payer == Pubkey.default()


@pytest.mark.parametrize(
    ("decimals", "owner"), [(9, program.TOKEN_PROGRAM), (6, Pubkey.new_unique())]
)
def test_a_mint_that_is_not_usdc_like(blank: World, decimals: int, owner: Pubkey) -> None:
    authority = blank.mint_authority.pubkey()
    blank.svm.set_account(blank.deployment.mint, mint_account(authority, decimals, owner))
    instruction = initialize_again(blank)
    signers = [blank.upgrade_authority, blank.funder]
    assert blank.refuse(instruction, signers=signers) == "WrongMint"


def test_addresses_paid_into_or_created_beforehand_stop_nobody(blank: World) -> None:
    deployment = blank.deployment
    for address in (deployment.config, deployment.escrow):
        blank.svm.airdrop(address, 1_000_000)
    blank.svm.airdrop(deployment.payouts, 1_000_000_000)  # more than its rent
    blank.open_account(deployment.till_authority)
    blank.open_account(deployment.escrow)
    blank.initialize()
    assert blank.config().till_vault == deployment.till_vault


def test_a_vault_somebody_else_could_move_is_refused(blank: World) -> None:
    # Not reachable on chain, as only the program signs for the owner; checked all the same.
    blank.open_account(blank.deployment.till_authority)
    for at in (72, 129):  # delegate, close authority
        blank.patch(blank.deployment.till_vault, at, (1).to_bytes(4, "little"))
        signers = [blank.upgrade_authority, blank.funder]
        assert blank.refuse(initialize_again(blank), signers=signers) == "WrongTokenAccount"
        blank.patch(blank.deployment.till_vault, at, bytes(4))
