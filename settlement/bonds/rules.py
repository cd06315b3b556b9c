"""The life of a bond as the books know it: two tables. Pure.

The chain decides; we write down what it did. An event that is not in the first table is one we do
not understand: it raises. Only a posted bond lets its operator work.

A seizure moves no money until it is carried out, so its steps are kept whatever was known before:
what the newest step on chain led to is where it stands, in whatever order the steps were read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from settlement.errors import Conflict


class BondState(StrEnum):
    """Where a bond is; the last two are final."""

    NONE = "none"  # nothing was posted
    POSTED = "posted"
    RETIRING = "retiring"
    RELEASED = "released"
    SEIZED = "seized"


class BondEvent(StrEnum):
    """What the chain can do to a bond."""

    POSTED = "posted"  # by its depositor
    FUNDED = "funded"  # from the till, with pending bond money
    RETIRED = "retired"
    RETIREMENT_CANCELLED = "retirement_cancelled"
    HANDED_OVER = "handed_over"  # to another beneficiary
    RELEASED = "released"
    SEIZED = "seized"


class UnexpectedBondEvent(Conflict):
    """The chain did to a bond what our table says it cannot."""


TRANSITIONS: Final[Mapping[tuple[BondState, BondEvent], BondState]] = {
    (BondState.NONE, BondEvent.POSTED): BondState.POSTED,
    (BondState.NONE, BondEvent.FUNDED): BondState.POSTED,
    (BondState.POSTED, BondEvent.RETIRED): BondState.RETIRING,
    (BondState.POSTED, BondEvent.HANDED_OVER): BondState.POSTED,
    (BondState.POSTED, BondEvent.SEIZED): BondState.SEIZED,
    (BondState.RETIRING, BondEvent.RETIREMENT_CANCELLED): BondState.POSTED,
    (BondState.RETIRING, BondEvent.HANDED_OVER): BondState.RETIRING,
    (BondState.RETIRING, BondEvent.RELEASED): BondState.RELEASED,
    (BondState.RETIRING, BondEvent.SEIZED): BondState.SEIZED,
}

ACTIVE: Final = frozenset({BondState.POSTED})


def after(state: BondState, event: BondEvent) -> BondState:
    """The state that `event` leads to. Raises `UnexpectedBondEvent`."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise UnexpectedBondEvent(state=state.value, event=event.value) from None


class SeizureState(StrEnum):
    """Where the seizure of a bond stands."""

    NONE = "none"
    PROPOSED = "proposed"
    CONTESTED = "contested"  # the arbiter decides
    UPHELD = "upheld"


class SeizureStep(StrEnum):
    """What the chain can do to the seizure of a bond."""

    PROPOSED = "proposed"
    WITHDRAWN = "withdrawn"
    CONTESTED = "contested"
    UPHELD = "upheld"
    DISMISSED = "dismissed"
    LAPSED = "lapsed"
    EXECUTED = "executed"


LEADS_TO: Final[Mapping[SeizureStep, SeizureState]] = {
    SeizureStep.PROPOSED: SeizureState.PROPOSED,
    SeizureStep.WITHDRAWN: SeizureState.NONE,
    SeizureStep.CONTESTED: SeizureState.CONTESTED,
    SeizureStep.UPHELD: SeizureState.UPHELD,
    SeizureStep.DISMISSED: SeizureState.NONE,
    SeizureStep.LAPSED: SeizureState.NONE,
    SeizureStep.EXECUTED: SeizureState.NONE,
}


@dataclass(frozen=True, kw_only=True)
class SeizureTimes:
    """From when on what may happen, in chain time, as the bond's account says."""

    execute_after: datetime
    decide_by: datetime
    dies_at: datetime


@dataclass(frozen=True, kw_only=True)
class SeizureFact:
    """One step and what came with it: evidence and reason with a proposal, a reply with a contest.

    `times` are None when the account had gone on by the time it was read.
    """

    step: SeizureStep
    at: datetime
    evidence_hash: bytes | None = None
    reason: int | None = None
    reply_hash: bytes | None = None
    times: SeizureTimes | None = None


@dataclass(frozen=True, kw_only=True)
class Seizure:
    """A seizure that is open; what a step we have not read would tell is None."""

    state: SeizureState
    proposed_at: datetime | None = None
    evidence_hash: bytes | None = None
    reason: int | None = None
    reply_hash: bytes | None = None
    times: SeizureTimes | None = None


def seizure_after(steps: Iterable[SeizureFact]) -> Seizure | None:
    """The open seizure that these steps, in the order of the chain, led to; None if there is none.

    Of a missing step only what it would have told is missing.
    """
    found: Seizure | None = None
    for step in steps:
        found = _stepped(found, step)
    return found


def _stepped(before: Seizure | None, step: SeizureFact) -> Seizure | None:
    state = LEADS_TO[step.step]
    if state is SeizureState.NONE:
        return None
    if step.step is SeizureStep.PROPOSED:
        return Seizure(
            state=state,
            proposed_at=step.at,
            evidence_hash=step.evidence_hash,
            reason=step.reason,
            times=step.times,
        )
    known = before or Seizure(state=state)
    return replace(
        known,
        state=state,
        reply_hash=step.reply_hash or known.reply_hash,
        times=step.times or known.times,
    )
