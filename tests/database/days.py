"""Days of requests that are over: their partitions, and names that say when a request was made."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg

from settlement.clock import new_id
from tests import factories

DAY = timedelta(days=1)
# What a service does not: the window of ids is opened to days that are long over.
_OPEN = """
select settlement.make_charge_day_v1(day::date)
  from generate_series($1::date, $2::date, interval '1 day') as day
"""
_WINDOW = """
update settlement.charge_window
   set low = (select settlement.uuid_floor_v1(min(day)::timestamp at time zone 'utc')
                from settlement.charge_day where state = 'attached'),
       high = (select settlement.uuid_floor_v1((max(day) + 1)::timestamp at time zone 'utc')
                 from settlement.charge_day)
"""


def today() -> date:
    """The day it is, as the books count: in UTC."""
    return datetime.now(UTC).date()


def start_of(day: date) -> datetime:
    """The first moment of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def floor_of(day: date) -> UUID:
    """The smallest name that a request of a day may have, and then some."""
    return UUID(int=round(start_of(day).timestamp() * 1000) << 80)


def partition_of(day: date) -> str:
    """What a day's partition is called."""
    return f"charge_{day:%Y%m%d}"


def day_of(partition: str) -> date:
    """The day of a partition."""
    return date.fromisoformat(partition.removeprefix("charge_"))


def id_at(moment: datetime) -> UUID:
    """A name for a request of that moment."""
    return new_id(factories.FixedClock(moment=moment))


def ids_of(day: date, count: int) -> list[UUID]:
    """Names for requests spread over a day."""
    return [id_at(start_of(day) + DAY * n / count) for n in range(count)]


async def open_days(dsn: str, first: date, last: date) -> None:
    """Make the partitions of days that are over, as if the books had been there then."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_OPEN, first, last)
        await connection.execute(_WINDOW)
    finally:
        await connection.close()
