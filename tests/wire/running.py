"""Tasks that a test starts and that end with it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager

Task = asyncio.Task[None]


@asynccontextmanager
async def cancelled_at_end(work: Coroutine[object, object, None]) -> AsyncGenerator[Task]:
    """Run the work beside the body; cancel it when the body is left."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
