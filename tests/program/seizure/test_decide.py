"""`uphold` and `dismiss`: the arbiter's, on what is contested, before the decision is due."""

import pytest
from solders.keypair import Keypair

from settlement.chain.program import BondState, SeizureState
from tests.program.bonds.life import Life, Step, check_cleared, contested, evidence, proposed
from tests.program.world import COOLDOWN_SECONDS, ROLE_AT

VERDICTS = ["uphold", "dismiss"]
ARBITER_AT = ROLE_AT["proposer"] + 32


def verdict(life: Life, word: str, by: Keypair | None = None) -> Step:
    return life.uphold(by) if word == "uphold" else life.dismiss(by)


def test_upheld_changes_the_state_alone() -> None:
    life = contested()
    before = life.bond
    life.send(life.uphold())
    bond = life.bond
    assert bond.seizure_state is SeizureState.UPHELD
    assert (bond.execute_after, bond.decide_by, bond.dies_at) == (
        before.execute_after,
        before.decide_by,
        before.dies_at,
    )
    assert (bond.reply_hash, bond.evidence_hash) == (before.reply_hash, before.evidence_hash)
    assert bond.state is BondState.POSTED


def test_dismissed_clears_it() -> None:
    life = contested()
    life.send(life.dismiss())
    check_cleared(life.bond)
    assert life.bond.evidence_used == (evidence(0),)
    life.until(life.world.now + COOLDOWN_SECONDS)
    assert life.refuse(life.execute()) == "NoSeizure"


@pytest.mark.parametrize("word", VERDICTS)
@pytest.mark.parametrize("early_by", [1, 2, 1_209_600, 1_209_601])
def test_before_it_is_due(word: str, early_by: int) -> None:
    life = contested()
    life.until(life.bond.decide_by - early_by)
    life.send(verdict(life, word))


@pytest.mark.parametrize("word", VERDICTS)
@pytest.mark.parametrize("late_by", [0, 1, COOLDOWN_SECONDS])
def test_not_at_or_after_it_is_due(word: str, late_by: int) -> None:
    life = contested()
    life.until(life.bond.decide_by + late_by)
    assert life.refuse(verdict(life, word)) == "WindowOver"


@pytest.mark.parametrize("word", VERDICTS)
def test_nobody_else_decides(word: str) -> None:
    life = contested()
    world = life.world
    roles = (world.admin, world.proposer, world.guardian, world.payer, world.funder)
    for other in (*roles, world.upgrade_authority, life.owner, Keypair()):
        assert life.refuse(verdict(life, word, other)) == "Unauthorized"


@pytest.mark.parametrize("word", VERDICTS)
def test_without_an_arbiter_nobody_decides_and_it_lapses(word: str) -> None:
    life = contested()
    life.world.patch(life.world.deployment.config, ARBITER_AT, bytes(32))
    assert life.refuse(verdict(life, word)) == "RoleVacant"
    life.until(life.bond.decide_by)
    life.send(life.lapse())
    check_cleared(life.bond)


@pytest.mark.parametrize("word", VERDICTS)
def test_what_is_not_contested_is_not_the_arbiters(word: str) -> None:
    life = proposed()
    assert life.refuse(verdict(life, word)) == "NotContested"
    life.until(life.bond.decide_by)
    assert life.refuse(verdict(life, word)) == "NotContested"


@pytest.mark.parametrize("first", VERDICTS)
@pytest.mark.parametrize("second", VERDICTS)
def test_one_verdict(first: str, second: str) -> None:
    life = contested()
    life.send(verdict(life, first))
    expected = "WrongState" if first == "uphold" else "NoSeizure"
    assert life.refuse(verdict(life, second)) == expected


def test_upheld_is_not_withdrawn() -> None:
    life = contested()
    life.send(life.uphold())
    assert life.refuse(life.withdraw()) == "WrongState"
    life.until(life.bond.dies_at)
    assert life.refuse(life.withdraw()) == "WrongState"


def test_the_seizures_pause_stops_upholding_and_never_dismissing() -> None:
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life = contested()
        life.world.pause(pause, life.world.now + 60)
        if pause == "seizures":
            assert life.refuse(life.uphold()) == "Paused"
            life.world.advance(60)
        life.send(life.uphold())
        other = contested()
        other.world.pause(pause, other.world.now + 60)
        other.send(other.dismiss())
