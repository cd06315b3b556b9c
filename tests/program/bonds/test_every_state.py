"""Every step of a bond's life in every state of it: done, or refused with exactly this error.

The times are those right after the last step: the edges in time are in tests/program/seizure.
"""

from collections.abc import Callable, Mapping

import pytest
from solders.keypair import Keypair

from tests.program.bonds.life import STATES, Life, Step, new_life
from tests.program.world import BOND_AMOUNT

DONE = "done"
STEPS: Mapping[str, Callable[[Life], Step]] = {
    "retire": lambda life: life.retire(),
    "cancel_retire": lambda life: life.cancel_retire(),
    "set_beneficiary": lambda life: life.hand_over(Keypair()),
    "release": lambda life: life.release(),
    "propose_seizure": lambda life: life.propose(1),
    "withdraw_proposal": lambda life: life.withdraw(),
    "contest": lambda life: life.contest(),
    "uphold": lambda life: life.uphold(),
    "dismiss": lambda life: life.dismiss(),
    "execute_seizure": lambda life: life.execute(),
    "lapse": lambda life: life.lapse(),
}
# What each step answers while posted and while retiring, by the seizure: none, proposed,
# contested, upheld. One word stands for all four.
WHILE_POSTED = {
    "retire": "done",
    "cancel_retire": "WrongState",
    "set_beneficiary": "done SeizureOpen SeizureOpen SeizureOpen",
    "release": "WrongState",
    "propose_seizure": "done SeizureOpen SeizureOpen SeizureOpen",
    "withdraw_proposal": "NoSeizure done done WrongState",
    "contest": "NoSeizure done AlreadyContested AlreadyContested",
    "uphold": "NoSeizure NotContested done WrongState",
    "dismiss": "NoSeizure NotContested done WrongState",
    "execute_seizure": "NoSeizure WindowNotOver WrongState WindowNotOver",
    "lapse": "NoSeizure WindowNotOver WindowNotOver WindowNotOver",
}
WHILE_RETIRING = {
    **WHILE_POSTED,
    "retire": "WrongState",
    "cancel_retire": "done",
    "release": "CooldownNotOver SeizureOpen SeizureOpen SeizureOpen",
}


def answers() -> list[tuple[str, str, str]]:
    """Each (state, step, answer)."""
    found: list[tuple[str, str, str]] = []
    for state in STATES:
        table = WHILE_RETIRING if state.startswith("retiring") else WHILE_POSTED
        seizures = ["", "proposed", "contested", "upheld"]
        seizure = seizures.index(state.partition(", ")[2])
        for step, words in table.items():
            each = words.split()
            final = state in ("released", "seized")
            found.append((state, step, "Tombstoned" if final else each[seizure % len(each)]))
    return found


@pytest.mark.parametrize(("state", "step", "expected"), answers())
def test_the_step_in_this_state(state: str, step: str, expected: str) -> None:
    life = STATES[state]()
    if expected == DONE:
        life.send(STEPS[step](life))
    else:
        assert life.refuse(STEPS[step](life)) == expected


@pytest.mark.parametrize("step", STEPS)
def test_a_bond_that_was_never_posted(step: str) -> None:
    life = new_life()
    missing = Life(world=life.world, owner=life.owner, first=life.first, code=b"Nobody00")
    assert missing.refuse(STEPS[step](missing)) == "WrongOwner"


@pytest.mark.parametrize("step", STEPS)
def test_the_code_of_another_bond(step: str) -> None:
    life = new_life()
    life.world.post_bond(b"Another1", life.first)
    mixed = Life(world=life.world, owner=life.owner, first=life.first)
    instruction, signers = STEPS[step](mixed)
    data = bytes(instruction.data)
    assert data[8:16] == mixed.code
    spoiled = type(instruction)(
        instruction.program_id, data[:8] + b"Another1" + data[16:], list(instruction.accounts)
    )
    assert life.refuse(Step(spoiled, signers)) == "WrongCode"
    assert life.world.held == 2 * BOND_AMOUNT
