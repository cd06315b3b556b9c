"""From every open state the money comes back by the beneficiary's word and anybody's hand alone.

The roles are all vacant and every pause was just begun: nobody of ours is there to help, and
whatever could be stopped is stopped for as long as a pause lasts.
"""

import pytest

from settlement.chain.program import BondState, SeizureState
from tests.program.bonds.life import DAY, DECISION, DISPUTE, EXECUTION, STATES, Life
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, ROLE_AT

OPEN = [name for name in STATES if name not in ("released", "seized")]
PAUSE = 3 * DAY
LONGEST_HOLD = COOLDOWN_SECONDS + DISPUTE + DECISION + EXECUTION + PAUSE
FIRST_ROLE, ROLES = ROLE_AT["proposer"], 4


def abandon(life: Life) -> None:
    """Everybody of ours is gone, and has paused everything on leaving."""
    life.world.patch(life.world.deployment.config, FIRST_ROLE, bytes(32 * ROLES))
    pause_all(life)


def pause_all(life: Life) -> None:
    for bit in ("deposits", "payouts", "seizures", "releases"):
        life.world.pause(bit, life.world.now + PAUSE)


def cleared_and_released(life: Life) -> None:
    """Wait for whatever is open, then for the cooldown."""
    if life.bond.seizure_state is not SeizureState.NONE:
        contested = life.bond.seizure_state is SeizureState.CONTESTED
        life.until(max(life.world.now, life.bond.decide_by if contested else life.bond.dies_at))
        life.send(life.lapse())
    life.until(max(life.world.now, life.bond.release_at))
    life.send(life.release())


@pytest.mark.parametrize("state", OPEN)
def test_by_the_beneficiary_and_anybody(state: str) -> None:
    life = STATES[state]()
    asked_at = life.world.now
    abandon(life)
    if life.bond.state is BondState.POSTED:
        life.send(life.retire())
    cleared_and_released(life)
    assert life.bond.state is BondState.RELEASED
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT
    assert life.world.now - asked_at <= LONGEST_HOLD


@pytest.mark.parametrize("state", OPEN)
def test_a_release_pause_at_the_last_moment_holds_three_days_more(state: str) -> None:
    life = STATES[state]()
    asked_at = life.world.now
    abandon(life)
    if life.bond.state is BondState.POSTED:
        life.send(life.retire())
    life.until(max(life.bond.release_at, life.bond.dies_at))
    if life.bond.seizure_state is not SeizureState.NONE:
        life.send(life.lapse())
    pause_all(life)
    assert life.refuse(life.release()) == "Paused"
    life.world.advance(PAUSE)
    life.send(life.release())
    assert life.world.now - asked_at <= LONGEST_HOLD


@pytest.mark.parametrize("state", [name for name in OPEN if name.startswith("retiring")])
def test_once_retiring_the_beneficiary_may_be_gone_too(state: str) -> None:
    life = STATES[state]()
    abandon(life)
    cleared_and_released(life)
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT


@pytest.mark.parametrize("state", [name for name in OPEN if "," in name])
def test_a_seizure_that_is_over_before_the_cooldown_holds_nothing(state: str) -> None:
    life = STATES[state]()
    if life.bond.state is BondState.POSTED:
        life.send(life.retire())
    release_at = life.bond.release_at
    assert life.bond.dies_at < release_at
    life.until(life.bond.dies_at)
    assert life.refuse(life.release()) == "SeizureOpen"
    life.send(life.lapse())
    assert life.bond.release_at == release_at
    assert life.refuse(life.release()) == "CooldownNotOver"
    life.until(release_at - 1)
    assert life.refuse(life.release()) == "CooldownNotOver"
    life.world.advance(1)
    life.send(life.release())
