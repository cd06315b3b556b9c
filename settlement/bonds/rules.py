"""The life of a bond as the books know it: one table. Pure.

The chain decides; we write down what it did. An event that is not in the table is one we do not
understand: it raises, which stops the line. Only a posted bond lets its operator work.
"""

from collections.abc import Mapping
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
    RELEASED = "released"
    SEIZED = "seized"


class UnexpectedBondEvent(Conflict):
    """The chain did to a bond what our table says it cannot."""


TRANSITIONS: Final[Mapping[tuple[BondState, BondEvent], BondState]] = {
    (BondState.NONE, BondEvent.POSTED): BondState.POSTED,
    (BondState.NONE, BondEvent.FUNDED): BondState.POSTED,
    (BondState.POSTED, BondEvent.RETIRED): BondState.RETIRING,
    (BondState.POSTED, BondEvent.SEIZED): BondState.SEIZED,
    (BondState.RETIRING, BondEvent.RETIREMENT_CANCELLED): BondState.POSTED,
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
