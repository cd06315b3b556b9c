"""Random lives of the program beside a plain Python model, all of it compared after every step.

The nightly run must be long enough to have seen every instruction succeed, and every refusal that
the model knows for it.
"""

import os
from random import Random

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.program.lives.machine import Lives
from tests.program.lives.stage import Tally

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
STEPS_A_LIFE = 60
# After ten lives Hypothesis mostly varies those it has seen; short rounds keep them all new.
LIVES_A_ROUND = 10
ROUNDS = 300 if NIGHTLY else 5
LEAST_STEPS = 100_000 if NIGHTLY else 2_500
# Of another program than the committed one it only matters whether it fails.
PHASES = (Phase.generate,) if "POD_BOND_PROGRAM" in os.environ else tuple(Phase)


def run_lives(rounds: int, seeds: Random) -> Tally:
    """Play so many rounds; returns what was seen."""
    seen = Tally()
    chosen_settings = settings(
        max_examples=LIVES_A_ROUND, stateful_step_count=STEPS_A_LIFE, phases=PHASES
    )
    for _ in range(rounds):

        class Machine(Lives):
            tally = seen

        seed(seeds.getrandbits(32))(Machine)
        run_state_machine_as_test(Machine, settings=chosen_settings)
    return seen


@pytest.mark.timeout(3_600)  # the nightly profile; and a failure takes its time to shrink
def test_lives_go_as_the_model_says(request: pytest.FixtureRequest) -> None:
    start = request.config.getoption("--hypothesis-seed", None)
    seen = run_lives(ROUNDS, Random(start if start is None else str(start)))
    print(seen.table())
    assert seen.steps >= LEAST_STEPS
    if NIGHTLY:
        assert not seen.missed()
