"""Another process that verifies the books again and again while they are pushed.

It runs `settlement.ledger.verify` from the start of history, in a role that only reads, as
`pod ledger verify` does, and tells how much it had read when it was stopped.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from settlement.db.pool import open_pool
from settlement.ledger.verify import verify
from settlement.ledger.verify_read import read_books
from settlement.ledger.verify_state import Progress
from tests.bench.harness import Number

_ENDS_WITHIN_SECONDS = 10


@dataclass(kw_only=True)
class Verified:
    """How many rows were read while it was asked to, and what was wrong."""

    rows: int = 0
    wrong: int = 0

    def figures(self) -> dict[str, Number]:
        """For the report."""
        return {"rows_verified": self.rows, "broken_rules": self.wrong}


@asynccontextmanager
async def verifying(dsn: str) -> AsyncGenerator[Verified]:
    """Verify beside what is done within; the figures are there afterwards."""
    verified = Verified()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.ledger_verifier", dsn),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n", "the verifier begins"
    try:
        yield verified
    finally:
        process.send_signal(signal.SIGTERM)
        told, _ = await asyncio.wait_for(process.communicate(), _ENDS_WITHIN_SECONDS)
        verified.rows, verified.wrong = (int(word) for word in told.split())


async def _verify_until_stopped(dsn: str) -> None:
    rows = wrong = 0
    stop = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set_result, None)
    pool = await open_pool(dsn, role="pod_finance", application="verifier", size=2)
    progress = Progress(books=await read_books(pool))

    async def again_and_again() -> None:
        nonlocal rows, wrong, progress
        while True:
            verdict = await verify(pool, progress, lambda _: None)
            rows += verdict.rows
            wrong += verdict.wrong is not None
            progress = Progress(books=progress.books)

    work = asyncio.ensure_future(again_and_again())
    print("begun", flush=True)
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    failure = None if not work.done() else work.exception()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    print(rows + progress.fold.rows, wrong)
    await pool.close()
    if failure is not None:
        raise failure


if __name__ == "__main__":
    asyncio.run(_verify_until_stopped(sys.argv[1]))
