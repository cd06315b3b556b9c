"""Random lives of the program beside a plain Python model, all of it compared after every step.

The nightly run must be long enough to have seen every instruction succeed, and every refusal that
the model knows for it.
"""

import os
from random import Random

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.program.lives.machine import Lives
from tests.program.lives.stage import Tally

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
STEPS_A_LIFE = 60
# After ten lives Hypothesis mostly varies those it has seen; short rounds keep them all new.
LIVES_A_ROUND = 10
ROUNDS = int(os.environ.get("ROUNDS", 0)) or (180 if NIGHTLY else 5)
LEAST_STEPS = 100_000 if NIGHTLY else 2_000


@pytest.mark.timeout(3_600)  # the nightly profile; and a failure takes its time to shrink
def test_lives_go_as_the_model_says() -> None:
    seen = Tally()
    random = Random(os.environ.get("POD_SEED"))
    for _ in range(ROUNDS):

        class Machine(Lives):
            tally = seen

        chosen = random.getrandbits(32)
        print(f"seed {chosen}")
        seed(chosen)(Machine)
        run_state_machine_as_test(
            Machine,
            settings=settings(max_examples=LIVES_A_ROUND, stateful_step_count=STEPS_A_LIFE),
        )
    print(f"{seen.steps} steps")
    for (name, outcome), times in sorted(seen.outcomes.items()):
        print(f"{name:20} {outcome:20} {times:7}")
    assert seen.steps >= LEAST_STEPS
