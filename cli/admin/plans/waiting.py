"""A change that waits for its time: whether there is one, and whether it may be applied. Pure."""

from cli.transaction.moments import moment
from settlement.errors import Conflict, NotFound


class NothingWaits(NotFound):
    """No such change is waiting."""


class TooEarly(Conflict):
    """It cannot be applied before its time."""


class ChangeWaits(Conflict):
    """Another change waits already: it is applied or cancelled first."""


def require_waiting(ready_at: int, what: str) -> None:
    """There is a change. Raises `NothingWaits`."""
    if not ready_at:
        raise NothingWaits(what=what)


def require_ready(ready_at: int, now: int, what: str) -> None:
    """There is a change and its time has come. Raises `NothingWaits` or `TooEarly`."""
    require_waiting(ready_at, what)
    if now < ready_at:
        raise TooEarly(what=what, possible=moment(ready_at, now))


def require_none_waiting(ready_at: int, now: int, what: str) -> None:
    """Nothing waits. Raises `ChangeWaits`."""
    if ready_at:
        raise ChangeWaits(what=what, possible=moment(ready_at, now))
