"""How long a bond can be held against its owner at most: driven to the end, and measured.

The worst case: somebody retires; the proposer waits until the last second and proposes; the owner
contests and the arbiter upholds each at the last second; nobody executes; the release pause begins
just when the seizure is dead.
"""

import pytest
from solders.keypair import Keypair

from settlement.chain import program
from settlement.chain.program import BondState, InitialParameters, PauseBit
from tests.program.bonds.life import (
    DAY,
    DECISION,
    DISPUTE,
    EXECUTION,
    Life,
    Step,
    check_cleared,
    new_life,
    retiring,
)
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS

RELEASE_PAUSE = 3 * DAY
LONGEST_HOLD = COOLDOWN_SECONDS + DISPUTE + DECISION + EXECUTION + RELEASE_PAUSE


def test_the_longest_hold_follows_from_the_parameters() -> None:
    real = InitialParameters()
    seizure = real.dispute_seconds + real.decision_seconds + real.execution_seconds
    assert real.cooldown_seconds + seizure + RELEASE_PAUSE == LONGEST_HOLD
    assert LONGEST_HOLD == (90 + (7 + 14 + 14) + 3) * DAY


def pause_releases(life: Life, by: Keypair | None = None) -> Step:
    by = by or life.world.guardian
    pause = program.Pause(signer=by.pubkey(), bit=PauseBit.RELEASES)
    return Step(program.build(life.world.deployment, pause), (by,))


def worst_seizure(life: Life, number: int) -> None:
    """From a proposal to the second in which it is dead, everything as late as it can be."""
    life.send(life.propose(number))
    life.until(life.bond.execute_after - 1)
    life.send(life.contest())
    life.until(life.bond.decide_by - 1)
    life.send(life.uphold())
    life.until(life.bond.dies_at - 1)
    assert life.refuse(life.lapse()) == "WindowNotOver"
    life.world.advance(1)


def test_the_worst_case_ends_at_the_longest_hold_to_the_second() -> None:
    life = retiring()
    retired_at = life.world.now
    life.until(life.bond.release_at - 1)
    worst_seizure(life, 0)
    life.send(pause_releases(life))
    assert life.refuse(life.execute()) == "SeizureExpired"
    life.send(life.lapse())
    assert life.refuse(life.propose(1)) == "SeizureTooLate"
    assert life.refuse(life.release()) == "Paused"
    life.world.advance(RELEASE_PAUSE - 1)
    assert life.refuse(life.release()) == "Paused"
    life.world.advance(1)
    # And not again right away, by whomever: the pause leaves as long a gap as it was.
    for stopper in (life.world.guardian, life.world.admin):
        assert life.refuse(pause_releases(life, stopper)) == "PauseTooSoon"
    life.send(life.release())
    assert life.world.now - retired_at == LONGEST_HOLD - 1  # the proposal came a second early
    assert life.world.balance(life.world.ata(life.owner.pubkey())) == BOND_AMOUNT


def test_three_seizures_in_a_row_hold_no_longer() -> None:
    """The cooldown runs on: what two seizures eat of it, the third does not get again."""
    life = retiring()
    retired_at = life.world.now
    worst_seizure(life, 0)
    life.send(life.lapse())
    worst_seizure(life, 1)
    life.send(life.lapse())
    life.until(life.bond.release_at - 1)
    worst_seizure(life, 2)
    life.send(life.lapse())
    assert life.refuse(life.propose(3)) == "SeizureTooLate"
    life.send(life.release())
    assert life.world.now - retired_at == LONGEST_HOLD - RELEASE_PAUSE - 1


def test_seizures_begun_before_retiring_hold_no_longer() -> None:
    life = new_life()
    life.send(life.propose(0), life.retire())
    retired_at = life.world.now
    life.until(life.bond.release_at)
    life.send(life.lapse())
    assert life.refuse(life.propose(1)) == "SeizureTooLate"
    life.send(life.release())
    assert life.world.now - retired_at == COOLDOWN_SECONDS


def test_the_proposer_cannot_keep_the_owner_from_retiring() -> None:
    life = new_life()
    for number in range(4):
        life.send(life.propose(number))
        life.until(life.bond.execute_after - 1)
        life.send(life.contest())
        life.until(life.bond.decide_by)
        life.send(life.lapse())
    life.send(life.propose(5), life.retire())
    assert life.bond.state is BondState.RETIRING


@pytest.mark.parametrize("order", [("lapse", "release"), ("release", "lapse")])
def test_nobody_of_ours_is_needed_to_end_it(order: tuple[str, str]) -> None:
    life = retiring()
    life.until(life.bond.release_at - 1)
    life.send(life.propose())
    for role in ("proposer", "payer"):
        life.world.vacate(role)
    life.until(life.bond.dies_at)
    steps = {"lapse": life.lapse(), "release": life.release()}
    if order[0] == "release":
        assert life.refuse(*(steps[word] for word in order)) == "SeizureOpen"
        life.send(life.lapse())
        check_cleared(life.bond)
        life.send(life.release())
    else:
        life.send(*(steps[word] for word in order))
    assert life.bond.state is BondState.RELEASED
