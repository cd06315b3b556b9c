"""`contest`: the beneficiary's word, up to the last second of the dispute window."""

import pytest
from solders.keypair import Keypair

from settlement.chain.program import SeizureState
from tests.program.bonds.life import DECISION, EXECUTION, REPLY, contested, new_life, proposed
from tests.program.world import COOLDOWN_SECONDS


def test_it_goes_to_the_arbiter_and_the_times_that_follow_move() -> None:
    life = proposed()
    before = life.bond
    life.world.advance(5_000)
    life.send(life.contest())
    bond = life.bond
    assert bond.seizure_state is SeizureState.CONTESTED
    assert bond.reply_hash == REPLY
    assert bond.dies_at == before.decide_by + EXECUTION
    assert bond.dies_at == before.execute_after + DECISION + EXECUTION
    kept = (before.evidence_hash, before.reason, before.proposed_at, before.execute_after)
    assert (bond.evidence_hash, bond.reason, bond.proposed_at, bond.execute_after) == kept
    assert bond.decide_by == before.decide_by


@pytest.mark.parametrize("early_by", [1, 2, 604_800])
def test_before_the_dispute_window_ends(early_by: int) -> None:
    life = proposed()
    life.until(life.bond.execute_after - early_by)
    life.send(life.contest())


@pytest.mark.parametrize("late_by", [0, 1, COOLDOWN_SECONDS])
def test_not_at_or_after_its_end(late_by: int) -> None:
    life = proposed()
    life.until(life.bond.execute_after + late_by)
    assert life.refuse(life.contest()) == "WindowOver"


def test_nobody_else_contests() -> None:
    life = proposed()
    world = life.world
    roles = (world.admin, world.proposer, world.arbiter, world.guardian, world.payer, world.funder)
    for other in (*roles, world.upgrade_authority, Keypair()):
        assert life.refuse(life.contest(by=other)) == "Unauthorized"


def test_the_present_beneficiary_and_no_former_one() -> None:
    life, heir = new_life(), Keypair()
    life.send(life.hand_over(heir))
    life.send(life.propose())
    assert life.refuse(life.contest(by=life.owner)) == "Unauthorized"
    life.send(life.contest(by=heir))


@pytest.mark.parametrize("reply", [bytes(32), b"\xff" * 32])
def test_any_reply(reply: bytes) -> None:
    life = proposed()
    life.send(life.contest(reply=reply))
    assert life.bond.reply_hash == reply


def test_once() -> None:
    life = contested()
    assert life.refuse(life.contest(reply=bytes(32))) == "AlreadyContested"
    life.until(life.bond.execute_after)
    assert life.refuse(life.contest()) == "AlreadyContested"  # the state is told before the time
    life.send(life.uphold())
    assert life.refuse(life.contest()) == "AlreadyContested"


def test_each_seizure_anew() -> None:
    life = contested()
    life.send(life.dismiss())
    assert life.refuse(life.contest()) == "NoSeizure"
    life.send(life.propose(1), life.contest())
    assert life.bond.seizure_state is SeizureState.CONTESTED


def test_no_pause_stops_it() -> None:
    life = proposed()
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life.world.pause(pause, life.world.now + 60)
    life.send(life.contest())


def test_a_clock_that_steps_back_opens_the_window_only_as_far_as_it_was() -> None:
    life = proposed()
    life.until(life.bond.execute_after)
    assert life.refuse(life.contest()) == "WindowOver"
    life.world.advance(-1)
    life.send(life.contest())
    assert life.bond.dies_at == life.bond.decide_by + EXECUTION
