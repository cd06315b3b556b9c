"""The clock: at its ends nothing wraps around, and stepping back opens nothing that was shut."""

import pytest

from settlement.chain.program import BondState
from tests.program.bonds.life import DAY, STATES, new_life, proposed, retiring, upheld
from tests.program.till.counter import new_counter
from tests.program.world import COOLDOWN_SECONDS

END = 2**63 - 1


def test_a_cooldown_that_would_end_after_all_time() -> None:
    life = new_life()
    life.until(END - COOLDOWN_SECONDS + 1)
    assert life.refuse(life.retire()) == "Overflow"
    life.world.advance(-1)
    life.send(life.retire())
    assert life.bond.release_at == END
    life.until(END - 1)
    assert life.refuse(life.release()) == "CooldownNotOver"
    life.world.advance(1)
    life.send(life.release())


@pytest.mark.parametrize("state", ["retiring", "posted, proposed", "posted, upheld"])
def test_at_the_end_of_time_every_wait_is_over(state: str) -> None:
    life = STATES[state]()
    life.until(END)
    if state == "retiring":
        life.send(life.release())
    else:
        assert life.refuse(life.execute()) == "SeizureExpired"
        life.send(life.lapse())


@pytest.mark.parametrize("time", [0, 1, 1_000_000_000])
def test_a_clock_before_all_we_wrote_only_makes_people_wait(time: int) -> None:
    life = retiring()
    life.until(time)
    assert life.refuse(life.release()) == "CooldownNotOver"
    open_one = proposed()
    open_one.until(time)
    assert open_one.refuse(open_one.execute()) == "WindowNotOver"
    assert open_one.refuse(open_one.lapse()) == "WindowNotOver"
    open_one.send(open_one.contest())


def test_stepping_back_and_forth_around_each_edge_gives_one_answer_a_second() -> None:
    life = upheld()
    edges = {
        life.bond.execute_after: ("WindowNotOver", None),
        life.bond.dies_at: (None, "SeizureExpired"),
    }
    for edge, answers in edges.items():
        for back, expected in ((1, answers[0]), (0, answers[1]), (1, answers[0])):
            life.until(edge - back)
            if expected is not None:
                assert life.refuse(life.execute()) == expected
    life.until(life.bond.dies_at - 1)
    life.send(life.execute())
    life.world.advance(-COOLDOWN_SECONDS)
    assert life.bond.state is BondState.SEIZED


def test_a_pause_ends_with_the_clock_and_comes_back_with_it() -> None:
    life = new_life()
    life.world.pause("seizures", life.world.now + DAY)
    life.world.advance(DAY)
    life.send(life.propose())
    life.send(life.withdraw())
    life.world.advance(-1)
    assert life.refuse(life.propose(1)) == "Paused"


def test_payments_at_the_end_of_time_are_refused_and_not_miscounted() -> None:
    counter = new_counter()
    counter.world.advance(END - counter.world.now)
    counter.send(counter.pay(0))
    # From here on no half window has an end: better none paid than one uncounted.
    assert counter.refuse(counter.pay(1)) == "Overflow"
