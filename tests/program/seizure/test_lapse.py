"""`lapse`: what nobody decided or executed in time is cleared, by anybody, under any pause."""

from collections.abc import Callable

import pytest

from settlement.chain.program import BondState
from tests.program.bonds.life import (
    Life,
    check_cleared,
    contested,
    evidence,
    proposed,
    retiring,
    upheld,
)
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS


def end_of(life: Life) -> int:
    """When nothing can come of the seizure any more."""
    bond = life.bond
    return bond.decide_by if bond.seizure_state.name == "CONTESTED" else bond.dies_at


REACHED = [proposed, contested, upheld]


@pytest.mark.parametrize("reach", REACHED)
def test_cleared_at_its_time(reach: Callable[[], Life]) -> None:
    life = reach()
    life.until(end_of(life))
    life.send(life.lapse())
    check_cleared(life.bond)
    assert life.bond.evidence_used == (evidence(0),)
    assert life.bond.state is BondState.POSTED
    assert life.world.held == life.world.escrow().total_bonded_microusdc == BOND_AMOUNT


@pytest.mark.parametrize("reach", REACHED)
@pytest.mark.parametrize("early_by", [1, 2, 604_800])
def test_not_before(reach: Callable[[], Life], early_by: int) -> None:
    life = reach()
    life.until(end_of(life) - early_by)
    assert life.refuse(life.lapse()) == "WindowNotOver"
    life.world.advance(early_by)
    life.send(life.lapse())


@pytest.mark.parametrize("reach", REACHED)
def test_any_time_later_and_once(reach: Callable[[], Life]) -> None:
    life = reach()
    life.until(end_of(life) + COOLDOWN_SECONDS)
    life.send(life.lapse())
    assert life.refuse(life.lapse()) == "NoSeizure"


def test_upheld_lives_longer_than_undecided() -> None:
    life = upheld()
    life.until(life.bond.decide_by)
    assert life.refuse(life.lapse()) == "WindowNotOver"
    life.send(life.execute())


def test_at_every_second_either_execution_or_lapse() -> None:
    for reach in (proposed, upheld):
        life = reach()
        life.until(life.bond.dies_at - 1)
        assert life.refuse(life.lapse()) == "WindowNotOver"
        life.world.advance(1)
        assert life.refuse(life.execute()) == "SeizureExpired"
        life.send(life.lapse())


@pytest.mark.parametrize("reach", REACHED)
def test_no_pause_stops_it(reach: Callable[[], Life]) -> None:
    life = reach()
    life.until(end_of(life))
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life.world.pause(pause, life.world.now + 60)
    life.send(life.lapse())


@pytest.mark.parametrize("reach", REACHED)
def test_after_it_the_bond_is_released(reach: Callable[[], Life]) -> None:
    life = reach()
    life.send(life.retire())
    life.until(life.bond.release_at)
    assert life.refuse(life.release()) == "SeizureOpen"  # nobody cleared it yet
    life.send(life.lapse(), life.release())
    assert life.bond.state is BondState.RELEASED
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT


def test_after_it_a_new_seizure_needs_new_evidence_and_starts_new_clocks() -> None:
    life = proposed()
    first = life.bond
    life.until(first.dies_at)
    life.send(life.lapse())
    assert life.refuse(life.propose(0)) == "EvidenceReused"
    life.send(life.propose(1))
    assert life.bond.execute_after == first.dies_at + first.dispute_seconds


def test_a_clock_that_steps_back_does_not_bring_it_back() -> None:
    life = retiring()
    life.send(life.propose())
    life.until(life.bond.dies_at)
    life.send(life.lapse())
    life.world.advance(-COOLDOWN_SECONDS)
    assert life.refuse(life.lapse()) == "NoSeizure"
    assert life.refuse(life.execute()) == "NoSeizure"
