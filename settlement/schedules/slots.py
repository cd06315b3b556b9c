"""The six hours of scheduled payouts: they begin at 00, 06, 12 and 18 o'clock UTC. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

LENGTH: Final = timedelta(hours=6)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def slot_of(moment: datetime) -> datetime:
    """When the six hours began that this moment is in."""
    return _EPOCH + (moment - _EPOCH) // LENGTH * LENGTH


def following(moment: datetime) -> datetime:
    """When the next six hours begin."""
    return slot_of(moment) + LENGTH


def key_of(slot: datetime) -> str:
    """The idempotency key of a slot's withdrawal: an operator has one a slot, whoever asks."""
    return f"schedule/{slot.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
