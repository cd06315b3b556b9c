"""The clock of scheduled payouts: APScheduler, which rings and does nothing else.

What is due is found in the database by whoever is woken. So a ring that is missed, late or doubled
changes nothing; and it rings once at the start, for what was missed while nobody was there.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol, cast

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger


class _Scheduler(Protocol):
    """What we use of APScheduler 3, which has no types."""

    def add_job(self, job: Callable[[], None], trigger: object, **options: object) -> object: ...

    def start(self) -> None: ...

    def shutdown(self, wait: bool = True) -> None: ...


class Trigger(Protocol):
    """When it rings."""

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None: ...


def every_six_hours() -> Trigger:
    """At 00, 06, 12 and 18 o'clock UTC."""
    return cast("Trigger", CronTrigger(hour="*/6", timezone=UTC))


@asynccontextmanager
async def ringing() -> AsyncGenerator[asyncio.Event]:
    """An event that is set now and at each beginning of six hours; whoever hears it clears it."""
    bell = asyncio.Event()
    bell.set()
    scheduler = cast("_Scheduler", AsyncIOScheduler(timezone=UTC))
    scheduler.add_job(
        bell.set, every_six_hours(), coalesce=True, max_instances=1, misfire_grace_time=None
    )
    scheduler.start()
    try:
        yield bell
    finally:
        scheduler.shutdown(wait=False)
