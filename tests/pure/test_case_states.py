"""The life of a case: people move it along the table, the chain to where its newest step led."""

from itertools import product

import pytest

from settlement.bonds.rules import SeizureStep
from settlement.cases.states import (
    FINAL,
    ON_CHAIN,
    TRANSITIONS,
    CaseNotThere,
    CaseState,
    Mover,
    followed,
    moved,
)

S = CaseState
BY_PEOPLE = {
    (S.OPEN, S.REVIEWED),
    (S.OPEN, S.REFUSED),
    (S.REVIEWED, S.CREDITING),
    (S.REVIEWED, S.CLOSED),
    (S.DISMISSED, S.CLOSED),
    (S.WITHDRAWN, S.CLOSED),
    (S.LAPSED, S.CLOSED),
    (S.EXECUTED, S.CREDITING),
    (S.EXECUTED, S.CLOSED),
    (S.CREDITING, S.CLOSED),
}
CHAIN_MAY_MOVE = set(S) - FINAL - {S.EXECUTED, S.CREDITING}


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_people_move_a_case_along_the_table(before: S, after: S) -> None:
    if (before, after) in BY_PEOPLE:
        assert moved(before, after) is after
        return
    with pytest.raises(CaseNotThere) as refused:
        moved(before, after)
    assert refused.value.details["state"] == before.value


@pytest.mark.parametrize(("stored", "step"), list(product(S, SeizureStep)))
def test_the_newest_step_decides_until_the_bond_is_gone(stored: S, step: SeizureStep) -> None:
    led_to = S(step.value)
    assert followed(stored, step.value) is (led_to if stored in CHAIN_MAY_MOVE else stored)


@pytest.mark.parametrize("stored", list(S))
def test_without_a_step_a_case_stands_where_it_was_left(stored: S) -> None:
    assert followed(stored, None) is stored


def test_every_step_of_the_chain_is_a_state() -> None:
    assert {state.value for state in ON_CHAIN} == {step.value for step in SeizureStep}


def test_what_is_over_stays_so_and_all_else_can_end() -> None:
    starts = {before for before, _ in TRANSITIONS}
    assert starts == set(S) - FINAL
    ends = {S.CLOSED}
    while more := {before for before, after in TRANSITIONS if after in ends} - ends:
        ends |= more
    assert ends == set(S) - {S.REFUSED}


def test_no_person_claims_what_the_chain_decides() -> None:
    assert all(
        (mover is Mover.CHAIN) == (after in ON_CHAIN) for (_, after), mover in TRANSITIONS.items()
    )
