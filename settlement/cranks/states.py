"""The life of a crank (one step on chain that needs nobody's word), as a table. Pure.

    waiting -sign-> signed -send-> sent
       ^               |             |
       +---- expire ---+-------------+

    waiting | signed | sent:  -done->       done       the books have seen the step, whoever took it
                              -overtaken->  overtaken  the bond went on by another way

Nothing here takes the step twice: the bond's own state on chain allows it once. `expire` means that
a blockhash died. Only what the indexer booked ends a crank. What is not in the table raises; the
database holds the same table.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from settlement.errors import Conflict


class CrankState(StrEnum):
    """Where a crank stands. The last two are final."""

    WAITING = "waiting"  # to be built, to be signed, or put off until `retry_at`
    SIGNED = "signed"
    SENT = "sent"
    DONE = "done"
    OVERTAKEN = "overtaken"


class CrankEvent(StrEnum):
    """What can happen to a crank."""

    SIGN = "sign"
    SEND = "send"
    EXPIRE = "expire"
    DONE = "done"
    OVERTAKEN = "overtaken"


class WrongCrankState(Conflict):
    """This cannot happen to a crank where it stands."""


_S, _E = CrankState, CrankEvent
TRANSITIONS: Final[Mapping[tuple[CrankState, CrankEvent], CrankState]] = {
    (_S.WAITING, _E.SIGN): _S.SIGNED,
    (_S.WAITING, _E.EXPIRE): _S.WAITING,
    (_S.WAITING, _E.DONE): _S.DONE,
    (_S.WAITING, _E.OVERTAKEN): _S.OVERTAKEN,
    (_S.SIGNED, _E.SEND): _S.SENT,
    (_S.SIGNED, _E.EXPIRE): _S.WAITING,
    (_S.SIGNED, _E.DONE): _S.DONE,
    (_S.SIGNED, _E.OVERTAKEN): _S.OVERTAKEN,
    (_S.SENT, _E.SEND): _S.SENT,
    (_S.SENT, _E.EXPIRE): _S.WAITING,
    (_S.SENT, _E.DONE): _S.DONE,
    (_S.SENT, _E.OVERTAKEN): _S.OVERTAKEN,
}
FINAL: Final = frozenset({_S.DONE, _S.OVERTAKEN})


def after(state: CrankState, event: CrankEvent) -> CrankState:
    """The state that follows; raises `WrongCrankState` for a pair that is not in the table."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise WrongCrankState(state=state.value, event=event.value)
    return found
