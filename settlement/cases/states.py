"""The life of a case, as a table. Pure.

    open -review-> reviewed    -the chain-> proposed | contested | upheld | dismissed | withdrawn
     |                |                     | lapsed | executed
     | refuse         | no bond
     v                v
    refused        crediting <-approve- executed
                      |
                      v
    dismissed | withdrawn | lapsed | reviewed | executed -close-> closed <-close- crediting

People move a case by what they decide; between them the chain does, whatever people thought: where
its newest step led, there the case stands, in whatever order steps were read. What was executed
stays executed. A case that is closed or refused stays so. What is not in the table raises; the
database holds the same table.
"""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Final

from settlement.errors import Conflict


class CaseState(StrEnum):
    """Where a case stands."""

    OPEN = "open"  # said by one person
    REFUSED = "refused"  # another person looked and said no
    REVIEWED = "reviewed"  # another person looked and agrees
    PROPOSED = "proposed"
    CONTESTED = "contested"
    UPHELD = "upheld"
    DISMISSED = "dismissed"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    EXECUTED = "executed"  # the bond is in the refund pool
    CREDITING = "crediting"  # a list was approved
    CLOSED = "closed"


class Mover(StrEnum):
    """Who moves a case."""

    PERSON = "person"
    CHAIN = "chain"


class CaseNotThere(Conflict):
    """The case does not stand where this can be done."""


_S = CaseState
# The states that the chain leads to; their words are those of its steps.
ON_CHAIN: Final = (
    _S.PROPOSED,
    _S.CONTESTED,
    _S.UPHELD,
    _S.DISMISSED,
    _S.WITHDRAWN,
    _S.LAPSED,
    _S.EXECUTED,
)
FINAL: Final = frozenset({_S.REFUSED, _S.CLOSED})
_BY_PEOPLE: Final = (
    (_S.OPEN, _S.REVIEWED),
    (_S.OPEN, _S.REFUSED),
    (_S.REVIEWED, _S.CREDITING),  # there is no bond to seize any more
    (_S.REVIEWED, _S.CLOSED),
    (_S.DISMISSED, _S.CLOSED),
    (_S.WITHDRAWN, _S.CLOSED),
    (_S.LAPSED, _S.CLOSED),
    (_S.EXECUTED, _S.CREDITING),
    (_S.EXECUTED, _S.CLOSED),
    (_S.CREDITING, _S.CLOSED),
)
_FROM_CHAIN: Final = (_S.OPEN, _S.REVIEWED, *ON_CHAIN[:-1])

TRANSITIONS: Final[Mapping[tuple[CaseState, CaseState], Mover]] = {
    **dict.fromkeys(_BY_PEOPLE, Mover.PERSON),
    **{
        (before, after): Mover.CHAIN
        for before, after in product(_FROM_CHAIN, ON_CHAIN)
        if before is not after
    },
}


def moved(before: CaseState, after: CaseState) -> CaseState:
    """The state a person moves a case to. Raises `CaseNotThere`."""
    if TRANSITIONS.get((before, after)) is not Mover.PERSON:
        raise CaseNotThere(state=before.value, wanted=after.value)
    return after


def followed(stored: CaseState, newest_step: str | None) -> CaseState:
    """Where a case stands, given the newest step that the chain took about its evidence."""
    if newest_step is None:
        return stored
    led_to = CaseState(newest_step)
    return led_to if TRANSITIONS.get((stored, led_to)) is Mover.CHAIN else stored
