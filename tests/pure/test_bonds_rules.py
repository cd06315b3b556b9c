"""The life of a bond: every state with every event is either in the table or raises."""

from itertools import product

import pytest

from settlement.bonds.lifecycle import Standing
from settlement.bonds.rules import (
    ACTIVE,
    TRANSITIONS,
    BondEvent,
    BondState,
    UnexpectedBondEvent,
    after,
)

S, E = BondState, BondEvent
ALLOWED = {
    (S.NONE, E.POSTED): S.POSTED,
    (S.NONE, E.FUNDED): S.POSTED,
    (S.POSTED, E.RETIRED): S.RETIRING,
    (S.POSTED, E.SEIZED): S.SEIZED,
    (S.RETIRING, E.RETIREMENT_CANCELLED): S.POSTED,
    (S.RETIRING, E.RELEASED): S.RELEASED,
    (S.RETIRING, E.SEIZED): S.SEIZED,
}
FINAL = {S.RELEASED, S.SEIZED}


@pytest.mark.parametrize(("state", "event"), list(product(BondState, BondEvent)))
def test_every_state_meets_every_event(state: BondState, event: BondEvent) -> None:
    if (state, event) in ALLOWED:
        assert after(state, event) is ALLOWED[state, event]
        return
    with pytest.raises(UnexpectedBondEvent) as raised:
        after(state, event)
    assert raised.value.details == {"state": state.value, "event": event.value}


def test_the_table_has_nothing_else() -> None:
    assert dict(TRANSITIONS) == ALLOWED


def test_the_end_is_the_end_and_everything_can_be_reached() -> None:
    assert not {state for state, _ in TRANSITIONS} & FINAL
    assert set(TRANSITIONS.values()) == set(BondState) - {S.NONE}
    assert {event for _, event in TRANSITIONS} == set(BondEvent)


def test_only_a_posted_bond_lets_its_operator_work() -> None:
    assert set(ACTIVE) == {S.POSTED}


def test_a_standing_is_a_bonds_state_or_that_there_is_none() -> None:
    assert {state.value for state in Standing} == {state.value for state in BondState} | {"pending"}
