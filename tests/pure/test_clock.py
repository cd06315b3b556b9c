"""Wall time in UTC, and ids that sort by it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from settlement.clock import SystemClock, new_id
from tests.factories import FixedClock

moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


def test_now_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


@given(moments)
def test_an_id_is_a_version_7_uuid_of_its_millisecond(moment: datetime) -> None:
    made = new_id(FixedClock(moment=moment))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert made.int >> 80 == (moment - epoch) // timedelta(milliseconds=1)


@given(moments)
def test_a_later_id_sorts_later(moment: datetime) -> None:
    later = FixedClock(moment=moment + timedelta(milliseconds=1))
    assert new_id(FixedClock(moment=moment)) < new_id(later)


def test_ids_of_one_millisecond_differ() -> None:
    clock = FixedClock()
    assert len({new_id(clock) for _ in range(1_000)}) == 1_000
