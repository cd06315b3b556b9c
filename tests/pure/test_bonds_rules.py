"""The life of a bond: every state with every event is either in the table or raises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest

from settlement.bonds.lifecycle import Standing
from settlement.bonds.rules import (
    ACTIVE,
    LEADS_TO,
    TRANSITIONS,
    BondEvent,
    BondState,
    Seizure,
    SeizureFact,
    SeizureState,
    SeizureStep,
    SeizureTimes,
    UnexpectedBondEvent,
    after,
    seizure_after,
)

S, E = BondState, BondEvent
ALLOWED = {
    (S.NONE, E.POSTED): S.POSTED,
    (S.NONE, E.FUNDED): S.POSTED,
    (S.POSTED, E.RETIRED): S.RETIRING,
    (S.POSTED, E.HANDED_OVER): S.POSTED,
    (S.POSTED, E.SEIZED): S.SEIZED,
    (S.RETIRING, E.RETIREMENT_CANCELLED): S.POSTED,
    (S.RETIRING, E.HANDED_OVER): S.RETIRING,
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


NOW = datetime(2026, 11, 2, tzinfo=UTC)
TIMES = SeizureTimes(
    execute_after=NOW + timedelta(days=7),
    decide_by=NOW + timedelta(days=21),
    dies_at=NOW + timedelta(days=21),
)
LATER = replace(TIMES, dies_at=NOW + timedelta(days=35))
PROPOSED = SeizureFact(
    step=SeizureStep.PROPOSED, at=NOW, evidence_hash=b"e" * 32, reason=7, times=TIMES
)
CONTESTED = SeizureFact(
    step=SeizureStep.CONTESTED,
    at=NOW + timedelta(days=1),
    reply_hash=b"r" * 32,
    times=LATER,
)
OPEN = Seizure(
    state=SeizureState.PROPOSED,
    proposed_at=NOW,
    evidence_hash=b"e" * 32,
    reason=7,
    times=TIMES,
)


def step(name: SeizureStep) -> SeizureFact:
    return SeizureFact(step=name, at=NOW + timedelta(days=2))


def test_a_seizure_that_is_upheld_keeps_what_was_said() -> None:
    assert seizure_after([]) is None
    assert seizure_after([PROPOSED]) == OPEN
    contested = replace(OPEN, state=SeizureState.CONTESTED, reply_hash=b"r" * 32, times=LATER)
    assert seizure_after([PROPOSED, CONTESTED]) == contested
    upheld = replace(contested, state=SeizureState.UPHELD)
    assert seizure_after([PROPOSED, CONTESTED, step(SeizureStep.UPHELD)]) == upheld


@pytest.mark.parametrize("last", list(SeizureStep))
def test_every_step_leads_somewhere_whatever_came_before(last: SeizureStep) -> None:
    for before in permutations([PROPOSED, CONTESTED, step(SeizureStep.LAPSED)]):
        found = seizure_after([*before, step(last)])
        state = SeizureState.NONE if found is None else found.state
        assert state is LEADS_TO[last]


def test_a_new_proposal_forgets_the_one_before() -> None:
    again = replace(PROPOSED, at=NOW + timedelta(days=9), evidence_hash=b"f" * 32, reason=8)
    for between in ([], [step(SeizureStep.DISMISSED)]):
        found = seizure_after([PROPOSED, CONTESTED, *between, again])
        assert found == replace(OPEN, proposed_at=again.at, evidence_hash=b"f" * 32, reason=8)


def test_what_a_missing_step_would_have_told_is_missing() -> None:
    found = seizure_after([CONTESTED])
    assert found == Seizure(state=SeizureState.CONTESTED, reply_hash=b"r" * 32, times=LATER)
    assert seizure_after([step(SeizureStep.UPHELD)]) == Seizure(state=SeizureState.UPHELD)


def test_a_reply_of_zeros_is_a_reply() -> None:
    found = seizure_after([PROPOSED, replace(CONTESTED, reply_hash=bytes(32))])
    assert found is not None
    assert found.reply_hash == bytes(32)
