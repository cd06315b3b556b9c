"""Donations: money nobody asked for stops nothing, and moves only by the instructions named."""

from collections.abc import Callable

import pytest

from settlement.chain import program
from settlement.chain.program import BondState
from tests.program.bonds.life import Life, Step, new_life, proposed, retiring, upheld
from tests.program.till.counter import new_counter
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, USDC, World


def donate(world: World, vault: str, amount: int) -> None:
    world.mint_to(getattr(world.deployment, vault), amount)


def sweep(world: World) -> Step:
    return Step(program.build(world.deployment, program.SweepSurplus()))


@pytest.mark.parametrize("amount", [1, BOND_AMOUNT, 2**62])
@pytest.mark.parametrize("vault", ["bond_vault", "till_vault"])
def test_a_bond_is_released_to_the_microunit(vault: str, amount: int) -> None:
    life = retiring()
    donate(life.world, vault, amount)
    life.world.advance(COOLDOWN_SECONDS)
    life.send(life.release())
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT
    assert life.world.held + life.world.till == amount


@pytest.mark.parametrize("reach", [proposed, upheld])
def test_a_bond_is_seized_to_the_microunit(reach: Callable[[], Life]) -> None:
    life = reach()
    donate(life.world, "bond_vault", 77)
    donate(life.world, "till_vault", 7)
    life.until(life.bond.execute_after)
    life.send(life.execute())
    assert (life.world.held, life.world.till) == (77, BOND_AMOUNT + 7)
    life.send(sweep(life.world))
    assert (life.world.held, life.world.till) == (0, BOND_AMOUNT + 84)


def test_a_donation_is_no_bond() -> None:
    life = new_life()
    donate(life.world, "bond_vault", BOND_AMOUNT)
    assert life.world.escrow().total_bonded_microusdc == BOND_AMOUNT
    assert life.world.escrow().open_count == 1


def test_a_donation_does_not_make_up_for_a_missing_bond() -> None:
    """What is short stays short by as much: a sweep takes the rest only when all is covered."""
    life = retiring()
    life.world.post_bond(b"Another1", life.first)
    life.world.set_balance(life.world.deployment.bond_vault, BOND_AMOUNT)
    assert life.refuse(sweep(life.world)) == "InsufficientVault"
    donate(life.world, "bond_vault", BOND_AMOUNT)
    assert life.refuse(sweep(life.world)) == "NothingToSweep"
    donate(life.world, "bond_vault", 1)
    life.send(sweep(life.world))
    assert life.world.held == 2 * BOND_AMOUNT


def test_a_donated_till_pays_as_any_other() -> None:
    counter = new_counter(till_microusdc=0)
    assert counter.refuse(counter.pay(0, 5)) == "InsufficientVault"
    donate(counter.world, "till_vault", 5)
    counter.send(counter.pay(0, 5))
    assert counter.payouts.paid_total_microusdc == 5


def test_opening_bonds_leaves_a_surplus_where_it_is() -> None:
    life = new_life()
    donate(life.world, "bond_vault", 3 * USDC)
    life.world.post_bond(b"Another1", life.first)
    assert life.world.held == 2 * BOND_AMOUNT + 3 * USDC
    life.send(sweep(life.world))
    assert life.world.till == 3 * USDC
    assert life.bond.state is BondState.POSTED
