"""`sweep_surplus`: what the bond vault holds beyond the bonds, to the microunit, and no more."""

import pytest
from solders.keypair import Keypair

from settlement.chain import program
from settlement.chain.program import BondState
from tests.program.bonds.life import Life, Step, new_life, proposed, released, retiring, seized
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, World, with_account

ESCROW, BOND_VAULT, TILL_VAULT = 0, 1, 2


def sweep(world: World) -> Step:
    return Step(program.build(world.deployment, program.SweepSurplus()))


def donate(world: World, amount: int) -> None:
    world.mint_to(world.deployment.bond_vault, amount)


@pytest.mark.parametrize("surplus", [1, 7, BOND_AMOUNT, 10**12])
def test_exactly_the_surplus(surplus: int) -> None:
    life = new_life()
    donate(life.world, surplus)
    before = life.world.escrow()
    life.send(sweep(life.world))
    assert life.world.till == surplus
    assert life.world.held == BOND_AMOUNT == before.total_bonded_microusdc
    assert life.world.escrow() == before
    assert life.refuse(sweep(life.world)) == "NothingToSweep"


def test_nothing_is_surplus_of_what_is_bonded() -> None:
    life = new_life()
    assert life.refuse(sweep(life.world)) == "NothingToSweep"
    life.world.post_bond(b"Another1", Keypair().pubkey())
    assert life.refuse(sweep(life.world)) == "NothingToSweep"


@pytest.mark.parametrize("reach", [retiring, proposed, released, seized])
def test_in_every_state_of_a_bond_only_the_surplus_goes(reach: type) -> None:
    life: Life = reach()
    assert life.refuse(sweep(life.world)) == "NothingToSweep"
    held, till = life.world.held, life.world.till
    donate(life.world, 9)
    life.send(sweep(life.world))
    assert (life.world.held, life.world.till) == (held, till + 9)


@pytest.mark.parametrize("left", [0, BOND_AMOUNT - 1])
def test_a_vault_that_lost_money_is_said_to_be_short(left: int) -> None:
    life = new_life()
    life.world.set_balance(life.world.deployment.bond_vault, left)
    assert life.refuse(sweep(life.world)) == "InsufficientVault"


def test_a_frozen_vault_is_said_to_be_frozen_before_it_is_said_to_be_short() -> None:
    life = new_life()
    life.world.set_balance(life.world.deployment.bond_vault, 1)
    life.world.freeze(life.world.deployment.bond_vault)
    assert life.refuse(sweep(life.world)) == "FrozenTokenAccount"


def test_a_donation_changes_nothing_for_a_bond() -> None:
    life = retiring()
    donate(life.world, 3)
    life.world.fill_till(5)
    life.world.advance(COOLDOWN_SECONDS)
    life.send(life.release())
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT
    life.send(sweep(life.world))
    assert (life.world.held, life.world.till) == (0, 8)


def test_a_donation_is_not_seized_with_a_bond() -> None:
    life = proposed()
    donate(life.world, 3)
    life.until(life.bond.execute_after)
    life.send(life.execute())
    assert (life.world.held, life.world.till) == (3, BOND_AMOUNT)


def test_donations_to_the_till_stay_there() -> None:
    life = new_life()
    life.world.fill_till(5)
    assert life.refuse(sweep(life.world)) == "NothingToSweep"
    assert life.world.till == 5


def test_the_bonds_are_there_after_sweeping() -> None:
    life = retiring()
    donate(life.world, 10**6)
    life.send(sweep(life.world))
    life.world.advance(COOLDOWN_SECONDS)
    life.send(life.release())
    assert life.bond.state is BondState.RELEASED


def test_no_pause_stops_it_and_nobody_signs() -> None:
    life = new_life()
    donate(life.world, 1)
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life.world.pause(pause, life.world.now + 60)
    step = sweep(life.world)
    assert not any(meta.is_signer for meta in step.instruction.accounts)
    life.send(step)


@pytest.mark.parametrize("place", [BOND_VAULT, TILL_VAULT])
def test_a_frozen_vault_fails_cleanly_and_thawed_it_works(place: int) -> None:
    life = new_life()
    donate(life.world, 1)
    step = sweep(life.world)
    vault = step.instruction.accounts[place].pubkey
    before = life.world.svm.get_account(vault)
    assert before is not None
    life.world.freeze(vault)
    assert life.refuse(step) == "FrozenTokenAccount"
    life.world.svm.set_account(vault, before)
    life.send(step)


def test_only_from_the_bond_vault_to_the_till_vault() -> None:
    life = new_life()
    world, deployment = life.world, life.world.deployment
    donate(world, 1)
    world.fill_till(1)
    instruction, _ = sweep(world)
    thief = world.ata(world.wallet(5).pubkey())
    for place in (BOND_VAULT, TILL_VAULT):
        for other in (thief, deployment.till_vault, deployment.bond_vault):
            if instruction.accounts[place].pubkey != other:
                spoiled = with_account(instruction, place, pubkey=other)
                assert life.refuse(Step(spoiled)) == "WrongAddress"
    swapped = with_account(instruction, BOND_VAULT, pubkey=deployment.till_vault)
    swapped = with_account(swapped, TILL_VAULT, pubkey=deployment.bond_vault)
    assert life.refuse(Step(swapped)) == "WrongAddress"


@pytest.mark.parametrize("account", ["config", "payouts", "till_authority", "bond"])
def test_only_escrow_says_what_is_bonded(account: str) -> None:
    life = new_life()
    donate(life.world, 1)
    deployment = life.world.deployment
    keys = {
        "config": (deployment.config, "WrongTag"),
        "payouts": (deployment.payouts, "WrongTag"),
        "till_authority": (deployment.till_authority, "WrongOwner"),
        "bond": (life.address, "WrongTag"),
    }
    key, error = keys[account]
    spoiled = with_account(sweep(life.world).instruction, ESCROW, pubkey=key)
    assert life.refuse(Step(spoiled)) == error
