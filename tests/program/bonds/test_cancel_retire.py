"""`cancel_retire`: back to Posted, as if the cooldown had never run; and retiring once more."""

import pytest
from solders.keypair import Keypair

from settlement.chain.program import BondState, SeizureState
from tests.program.bonds.life import DAY, STATES, new_life, retiring
from tests.program.world import COOLDOWN_SECONDS


def test_everything_retiring_wrote_is_gone() -> None:
    life = new_life()
    before = life.bond
    life.send(life.retire())
    life.world.advance(DAY)
    life.send(life.cancel_retire())
    assert life.bond == before


def test_the_cooldown_starts_again_in_full() -> None:
    life = retiring()
    life.until(life.bond.release_at - 1)
    life.send(life.cancel_retire(), life.retire())
    assert life.bond.release_at == life.world.now + COOLDOWN_SECONDS
    life.world.advance(COOLDOWN_SECONDS - 1)
    assert life.refuse(life.release()) == "CooldownNotOver"
    life.world.advance(1)
    life.send(life.release())


def test_also_when_the_cooldown_is_over() -> None:
    life = retiring()
    life.until(life.bond.release_at + DAY)
    life.send(life.cancel_retire())
    assert life.refuse(life.release()) == "WrongState"


def test_only_the_beneficiary() -> None:
    life = retiring()
    world = life.world
    roles = (world.admin, world.proposer, world.arbiter, world.guardian, world.payer, world.funder)
    for other in (*roles, world.upgrade_authority, Keypair()):
        assert life.refuse(life.cancel_retire(by=other)) == "Unauthorized"


def test_what_the_proposer_retired_the_beneficiary_takes_back() -> None:
    life = new_life()
    life.send(life.retire(by=life.world.proposer))
    assert life.refuse(life.cancel_retire(by=life.world.proposer)) == "Unauthorized"
    life.send(life.cancel_retire())
    life.send(life.retire(by=life.world.proposer))
    assert life.bond.state is BondState.RETIRING


def test_not_twice_and_not_before_retiring() -> None:
    life = new_life()
    assert life.refuse(life.cancel_retire()) == "WrongState"
    life.send(life.retire(), life.cancel_retire())
    assert life.refuse(life.cancel_retire()) == "WrongState"


def test_no_pause_stops_it() -> None:
    life = retiring()
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life.world.pause(pause, life.world.now + 60)
    life.send(life.cancel_retire(), life.retire())


@pytest.mark.parametrize("seizure", ["proposed", "contested", "upheld"])
def test_an_open_seizure_stays_as_it_is(seizure: str) -> None:
    life = STATES[f"retiring, {seizure}"]()
    before = life.bond
    life.send(life.cancel_retire())
    bond = life.bond
    assert bond.seizure_state is before.seizure_state is not SeizureState.NONE
    times = (bond.proposed_at, bond.execute_after, bond.decide_by, bond.dies_at)
    assert times == (before.proposed_at, before.execute_after, before.decide_by, before.dies_at)
    assert (bond.retiring_at, bond.release_at, bond.proposals_while_retiring) == (0, 0, 0)
    life.send(life.retire())
    assert life.bond.seizure_state is before.seizure_state


def test_cancelling_and_retiring_again_escapes_no_seizure() -> None:
    life = retiring()
    life.send(life.propose(), life.cancel_retire(), life.retire(), life.cancel_retire())
    life.until(life.bond.execute_after)
    life.send(life.execute())
    assert life.bond.state is BondState.SEIZED


def test_cancelling_does_not_free_from_what_was_proposed_while_posted() -> None:
    life = new_life()
    life.send(life.propose(0), life.retire(), life.cancel_retire())
    assert life.refuse(life.propose(1)) == "SeizureOpen"
