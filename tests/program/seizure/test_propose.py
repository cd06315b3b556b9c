"""`propose_seizure` and `withdraw_proposal`: by whom, on what evidence, how often, until when."""

from collections.abc import Callable

import pytest

from settlement.chain.program import SeizureState
from tests.program.bonds.life import (
    DECISION,
    DISPUTE,
    EXECUTION,
    REASON,
    Life,
    Step,
    check_cleared,
    contested,
    evidence,
    new_life,
    proposed,
    retiring,
)
from tests.program.world import COOLDOWN_SECONDS, START, with_data

ZERO_HASH = bytes(32)
EVIDENCE_AT = 16  # in the instruction's data, after its name and the code
REASON_AT = 48
END_OF_TIME = 2**63 - 1


def spoiled(step: Step, at: int, value: bytes) -> Step:
    data = bytearray(step.instruction.data)
    data[at : at + len(value)] = value
    return Step(with_data(step.instruction, bytes(data)), step.signers)


def propose_and_withdraw(life: Life, number: int) -> None:
    life.send(life.propose(number), life.withdraw())


def test_every_time_is_fixed_by_the_proposal() -> None:
    life = new_life()
    life.world.advance(1_000)
    life.send(life.propose())
    bond, now = life.bond, START + 1_000
    assert bond.seizure_state is SeizureState.PROPOSED
    assert (bond.evidence_hash, bond.reason) == (evidence(0), REASON)
    assert bond.evidence_used == (evidence(0),)
    assert bond.reply_hash == ZERO_HASH
    assert bond.proposed_at == now
    assert bond.execute_after == now + DISPUTE
    assert bond.decide_by == now + DISPUTE + DECISION
    assert bond.dies_at == now + DISPUTE + EXECUTION
    assert bond.proposals_while_retiring == 0


@pytest.mark.parametrize("reason", [0, 1, 2**16 - 1])
def test_any_reason(reason: int) -> None:
    life = new_life()
    life.send(spoiled(life.propose(), REASON_AT, reason.to_bytes(2, "little")))
    assert life.bond.reason == reason


def test_only_the_proposer_proposes_and_withdraws() -> None:
    life, open_one = new_life(), proposed()
    for each, step in ((life, life.propose), (open_one, open_one.withdraw)):
        world = each.world
        others = (world.admin, world.arbiter, world.guardian, world.payer, world.funder, each.owner)
        for other in (*others, world.upgrade_authority):
            assert each.refuse(step(by=other)) == "Unauthorized"
        world.vacate("proposer")
        assert each.refuse(step()) == "RoleVacant"


def test_evidence_of_nothing_is_no_instruction() -> None:
    life = new_life()
    assert life.refuse(spoiled(life.propose(), EVIDENCE_AT, ZERO_HASH)) == "InvalidInstruction"
    nearly = bytes(31) + b"\x01"
    life.send(spoiled(life.propose(), EVIDENCE_AT, nearly))
    assert life.bond.evidence_hash == nearly


def test_only_the_seizures_pause_stops_a_proposal_and_none_a_withdrawal() -> None:
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life = new_life()
        life.world.pause(pause, life.world.now + 60)
        if pause == "seizures":
            assert life.refuse(life.propose()) == "Paused"
            life.world.advance(59)
            assert life.refuse(life.propose()) == "Paused"
            life.world.advance(1)
        life.send(life.propose())
        life.world.pause(pause, life.world.now + 60)
        life.send(life.withdraw())


# --- evidence


def test_evidence_is_used_once() -> None:
    life = new_life()
    propose_and_withdraw(life, 0)
    assert life.refuse(life.propose(0)) == "EvidenceReused"
    life.send(life.propose(1))
    assert life.bond.evidence_used == (evidence(0), evidence(1))


def test_the_last_three_are_remembered_oldest_first() -> None:
    life = new_life()
    for number in range(3):
        propose_and_withdraw(life, number)
    assert life.bond.evidence_used == (evidence(0), evidence(1), evidence(2))
    for number in range(3):
        assert life.refuse(life.propose(number)) == "EvidenceReused"
    propose_and_withdraw(life, 3)
    assert life.bond.evidence_used == (evidence(1), evidence(2), evidence(3))
    for number in (1, 2, 3):
        assert life.refuse(life.propose(number)) == "EvidenceReused"
    propose_and_withdraw(life, 0)  # a fourth back is forgotten
    assert life.bond.evidence_used == (evidence(2), evidence(3), evidence(0))


def test_evidence_survives_every_end_of_a_seizure_that_leaves_the_bond() -> None:
    dismissed = contested()
    dismissed.send(dismissed.dismiss())
    undecided = contested()
    undecided.until(undecided.bond.decide_by)
    undecided.send(undecided.lapse())
    expired = proposed()
    expired.until(expired.bond.dies_at)
    expired.send(expired.lapse())
    withdrawn = proposed()
    withdrawn.send(withdrawn.withdraw())
    for life in (dismissed, undecided, expired, withdrawn):
        assert life.bond.evidence_used == (evidence(0),)
        assert life.refuse(life.propose(0)) == "EvidenceReused"
        life.send(life.propose(1))


def test_evidence_survives_retiring_and_its_cancelling() -> None:
    life = new_life()
    propose_and_withdraw(life, 0)
    life.send(life.retire())
    assert life.refuse(life.propose(0)) == "EvidenceReused"
    life.send(life.cancel_retire())
    assert life.refuse(life.propose(0)) == "EvidenceReused"


def test_the_same_evidence_against_another_bond() -> None:
    life = new_life()
    life.world.post_bond(b"Another1", life.first)
    other = Life(world=life.world, owner=life.owner, first=life.first, code=b"Another1")
    life.send(life.propose(0), other.propose(0))


# --- while retiring


def test_until_the_second_before_release() -> None:
    life = retiring()
    life.until(life.bond.release_at - 1)
    life.send(life.propose())
    bond = life.bond
    assert bond.proposed_at == bond.release_at - 1
    assert bond.proposals_while_retiring == 1
    life.world.advance(1)
    assert life.refuse(life.release()) == "SeizureOpen"


@pytest.mark.parametrize("late_by", [0, 1, 100 * COOLDOWN_SECONDS])
def test_not_at_or_after_release(late_by: int) -> None:
    life = retiring()
    life.until(life.bond.release_at + late_by)
    assert life.refuse(life.propose()) == "SeizureTooLate"
    life.send(life.release())


def test_late_is_no_matter_for_a_bond_that_stays() -> None:
    life = new_life()
    life.world.advance(100 * COOLDOWN_SECONDS)
    life.send(life.propose())


def test_three_times_while_retiring_and_no_fourth() -> None:
    life = retiring()
    for number in range(3):
        propose_and_withdraw(life, number)
        assert life.bond.proposals_while_retiring == number + 1
    assert life.refuse(life.propose(3)) == "SeizureLimit"
    life.until(life.bond.release_at - 1)
    assert life.refuse(life.propose(3)) == "SeizureLimit"
    life.world.advance(1)
    life.send(life.release())


def test_the_third_is_taken_and_the_fourth_not_however_they_ended() -> None:
    life = retiring()
    life.send(life.propose(0), life.contest(), life.dismiss())
    life.send(life.propose(1))
    life.until(life.bond.dies_at)
    life.send(life.lapse(), life.propose(2))
    assert life.bond.proposals_while_retiring == 3
    life.send(life.contest())
    life.until(life.bond.decide_by)
    life.send(life.lapse())
    assert life.refuse(life.propose(3)) == "SeizureLimit"


def test_the_count_starts_again_when_retiring_is_cancelled() -> None:
    life = retiring()
    for number in range(3):
        propose_and_withdraw(life, number)
    life.send(life.cancel_retire())
    assert life.bond.proposals_while_retiring == 0
    propose_and_withdraw(life, 3)
    assert life.bond.proposals_while_retiring == 0
    life.send(life.retire())
    for number in range(4, 7):
        propose_and_withdraw(life, number)
    assert life.refuse(life.propose(7)) == "SeizureLimit"


def test_proposals_before_retiring_do_not_count() -> None:
    life = new_life()
    for number in range(5):
        propose_and_withdraw(life, number)
    life.send(life.propose(5), life.retire())
    assert life.bond.proposals_while_retiring == 0
    life.send(life.withdraw())
    for number in range(6, 9):
        propose_and_withdraw(life, number)
    assert life.refuse(life.propose(9)) == "SeizureLimit"


# --- which is told first


def test_open_then_reused_then_late_then_too_often() -> None:
    life = retiring()
    for number in range(2):
        propose_and_withdraw(life, number)
    life.send(life.propose(2))
    life.until(life.bond.release_at)
    assert life.refuse(life.propose(2)) == "SeizureOpen"
    life.send(life.withdraw())
    assert life.refuse(life.propose(2)) == "EvidenceReused"
    assert life.refuse(life.propose(3)) == "SeizureTooLate"
    life.world.advance(-1)
    assert life.refuse(life.propose(3)) == "SeizureLimit"


@pytest.mark.parametrize("early_by", [0, DISPUTE - 1, DISPUTE + DECISION - 1])
def test_a_time_that_cannot_be_counted(early_by: int) -> None:
    life = new_life()
    life.until(END_OF_TIME - early_by)
    assert life.refuse(life.propose()) == "Overflow"


# --- withdrawing


@pytest.mark.parametrize("reach", [proposed, contested])
def test_a_withdrawn_proposal_leaves_nothing(reach: Callable[[], Life]) -> None:
    life = reach()
    before = new_life().bond
    life.send(life.withdraw())
    check_cleared(life.bond)
    assert life.bond.state is before.state
    assert life.refuse(life.withdraw()) == "NoSeizure"


@pytest.mark.parametrize("reach", [proposed, contested])
def test_withdrawn_at_any_time(reach: Callable[[], Life]) -> None:
    life = reach()
    life.until(life.bond.dies_at + COOLDOWN_SECONDS)
    life.send(life.withdraw())
    check_cleared(life.bond)
