"""The six hours of scheduled payouts, and the clock that rings for them."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.schedules.alarm import every_six_hours, ringing
from settlement.schedules.slots import LENGTH, following, key_of, slot_of

MOMENTS = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 -- the zone is drawn beside it
    max_value=datetime(2090, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)


@given(MOMENTS)
def test_every_moment_is_in_one_slot(moment: datetime) -> None:
    slot = slot_of(moment)
    assert slot <= moment < following(moment) == slot + LENGTH
    assert slot.astimezone(UTC).hour in (0, 6, 12, 18)
    assert slot_of(slot) == slot


@given(MOMENTS)
def test_the_clock_rings_when_slots_begin(moment: datetime) -> None:
    assert every_six_hours().get_next_fire_time(None, slot_of(moment)) == slot_of(moment)
    just_after = slot_of(moment) + timedelta(seconds=1)
    assert every_six_hours().get_next_fire_time(None, just_after) == following(moment)


@given(MOMENTS, MOMENTS)
def test_a_slot_has_one_key(one: datetime, other: datetime) -> None:
    assert (key_of(slot_of(one)) == key_of(slot_of(other))) == (slot_of(one) == slot_of(other))


def test_a_key_as_it_is_stored() -> None:
    assert key_of(datetime(2026, 11, 28, 6, tzinfo=UTC)) == "schedule/2026-11-28T06:00Z"


async def test_it_rings_at_the_start_and_only_once() -> None:
    async with ringing() as bell:
        await asyncio.wait_for(bell.wait(), timeout=5)
        bell.clear()
        assert not bell.is_set()


@pytest.mark.parametrize("hour", range(24))
def test_slots_do_not_follow_anybodys_summer(hour: int) -> None:
    """Clocks were put back in Europe that night."""
    moment = datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
    assert slot_of(moment).hour == hour - hour % 6
