"""A bond keeps the terms it was posted under, whatever the parameters become."""

from dataclasses import replace

import pytest

from settlement.chain import program
from settlement.chain.program import InitialParameters, SeizureState
from settlement.money import MicroUsdc
from tests.program.bonds.life import DAY, DECISION, DISPUTE, EXECUTION, Life, Step, new_life
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, USDC

REAL = InitialParameters()
# Every field as different as the bounds allow.
OTHER = InitialParameters(
    bond_amount_microusdc=MicroUsdc(7 * USDC),
    cooldown_seconds=7 * DAY,
    dispute_seconds=14 * DAY,
    decision_seconds=21 * DAY,
    execution_seconds=7 * DAY,
)
LOOSER = InitialParameters(
    bond_amount_microusdc=MicroUsdc(51 * USDC),
    dispute_seconds=3 * DAY,
    decision_seconds=7 * DAY,
    execution_seconds=21 * DAY,
)


def set_params(life: Life, parameters: InitialParameters) -> None:
    admin = life.world.admin
    change = program.SetParams(admin=admin.pubkey(), parameters=parameters)
    life.send(Step(program.build(life.world.deployment, change), (admin,)))


def apply_params(life: Life) -> None:
    life.world.advance(7 * DAY)
    life.send(Step(program.build(life.world.deployment, program.ApplyParams())))


def loosened() -> Life:
    life = new_life()
    set_params(life, LOOSER)
    apply_params(life)
    assert life.world.config().parameters == LOOSER
    return life


def tightened() -> Life:
    life = new_life()
    set_params(life, OTHER)
    assert life.world.config().parameters == OTHER
    return life


@pytest.mark.parametrize("reach", [tightened, loosened])
def test_the_posted_bond_is_as_it_was(reach: type) -> None:
    life: Life = reach()
    bond = life.bond
    assert bond.amount_microusdc == BOND_AMOUNT
    assert bond.cooldown_seconds == COOLDOWN_SECONDS
    terms = (bond.dispute_seconds, bond.decision_seconds, bond.execution_seconds)
    assert terms == (DISPUTE, DECISION, EXECUTION)


@pytest.mark.parametrize("reach", [tightened, loosened])
def test_its_clocks_run_by_its_own_terms(reach: type) -> None:
    life: Life = reach()
    life.send(life.propose(), life.retire())
    bond, now = life.bond, life.world.now
    assert bond.release_at == now + COOLDOWN_SECONDS
    assert bond.execute_after == now + DISPUTE
    assert bond.decide_by == now + DISPUTE + DECISION
    assert bond.dies_at == now + DISPUTE + EXECUTION
    life.until(bond.execute_after - 1)
    assert life.refuse(life.execute()) == "WindowNotOver"
    life.send(life.contest())
    assert life.bond.dies_at == bond.decide_by + EXECUTION
    life.until(bond.decide_by - 1)
    life.send(life.uphold())
    life.until(life.bond.dies_at - 1)
    life.send(life.execute())
    assert life.world.till == BOND_AMOUNT


@pytest.mark.parametrize("reach", [tightened, loosened])
def test_it_is_released_after_its_own_cooldown_with_its_own_amount(reach: type) -> None:
    life: Life = reach()
    life.send(life.retire())
    life.until(life.bond.release_at - 1)
    assert life.refuse(life.release()) == "CooldownNotOver"
    life.world.advance(1)
    life.send(life.release())
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT


def test_a_change_in_the_middle_of_a_seizure_changes_none_of_its_times() -> None:
    life = new_life()
    life.send(life.propose())
    before = life.bond
    set_params(life, OTHER)
    life.send(life.contest())
    bond = life.bond
    assert bond.seizure_state is SeizureState.CONTESTED
    assert (bond.execute_after, bond.decide_by) == (before.execute_after, before.decide_by)
    assert bond.dies_at == before.decide_by + EXECUTION


def test_a_change_in_the_middle_of_the_cooldown_changes_nothing() -> None:
    life = new_life()
    life.send(life.retire())
    before = life.bond
    set_params(life, OTHER)
    assert life.bond == before
    life.until(before.release_at - 1)
    assert life.refuse(life.release()) == "CooldownNotOver"


def test_the_next_bond_has_the_new_terms() -> None:
    life = tightened()
    owner = life.world.wallet(7 * USDC)
    life.world.post_bond(b"Another1", owner.pubkey(), owner)
    other = Life(world=life.world, owner=owner, first=owner.pubkey(), code=b"Another1")
    assert other.bond.amount_microusdc == 7 * USDC
    assert other.bond.cooldown_seconds == 7 * DAY
    other.send(other.propose(), other.retire())
    bond = other.bond
    assert bond.execute_after == bond.proposed_at + 14 * DAY
    assert bond.decide_by == bond.execute_after + 21 * DAY
    assert bond.dies_at == bond.execute_after + 7 * DAY
    assert bond.release_at == bond.retiring_at + 7 * DAY
    assert life.world.escrow().total_bonded_microusdc == BOND_AMOUNT + 7 * USDC


@pytest.mark.parametrize("field", ["dispute_seconds", "decision_seconds"])
def test_cancelling_and_retiring_again_keeps_the_terms(field: str) -> None:
    life = new_life()
    life.send(life.retire())
    set_params(life, replace(REAL, **{field: getattr(OTHER, field)}))
    life.send(life.cancel_retire(), life.retire())
    assert life.bond.release_at == life.world.now + COOLDOWN_SECONDS
    assert getattr(life.bond, field) == getattr(REAL, field)
