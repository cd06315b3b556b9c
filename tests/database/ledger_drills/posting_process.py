"""A coordinator in miniature, to be killed: paid requests by group commit, and a journal of them.

What is about to be asked is written down before, what was told after. A next life asks again what
nobody was told of, gives back what earlier lives left open, and goes on; until a file says that it
is enough. `python -m tests.database.ledger_drills.posting_process DSN FOLDER SEED BATCH_SIZE`.
"""

import asyncio
import os
import sys
from pathlib import Path
from random import Random
from typing import Final

from settlement.db.pool import Limits, Pool, open_pool, reading
from settlement.ledger import store
from settlement.ledger.encode import encode
from settlement.ledger.operations import Void
from settlement.ledger.store import WriterFenced
from settlement.ledger.writer import GroupCommit
from tests.database.ledger_drills.business import Business, Paid, Record, operation_of

WRITER: Final = "coordinator"
SESSIONS: Final = 12
FENCED: Final = 3  # what it ends with when a newer life has begun


class Journal(Record):
    """A record that outlives its process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._asked_file, self._told_file = folder / "asked", folder / "told"
        for line in _lines(self._asked_file):
            super().ask(operation_of(line))
        for line in _lines(self._told_file):
            code, _, key = line.partition(" ")
            super().tell(key, code)

    def ask(self, operation: Paid) -> str:
        _append(self._asked_file, encode(operation))
        return super().ask(operation)

    def tell(self, key: str, code: str) -> None:
        _append(self._told_file, f"{code} {key}")
        super().tell(key, code)


async def live(dsn: str, folder: Path, seed: int, batch_size: int) -> None:
    """One life, to its end or until it is fenced."""
    journal = Journal(folder)
    limits = Limits(idle_in_transaction_ms=1_000)
    pool = await open_pool(dsn, role="pod_coordinator", application="drill", size=2, limits=limits)
    try:
        writer = await store.open_writer(pool, WRITER)
        (folder / f"epoch{writer.epoch}").touch()
        async with GroupCommit(pool, writer, batch_size=batch_size) as group:
            await _ask_again(group, journal)
            await _give_back(pool, group, journal)
            business = Business(group.submit, journal, Random(seed * 1_000 + writer.epoch))
            watching = asyncio.create_task(_until_enough(folder, business))
            try:
                await business.run(SESSIONS)
            finally:
                watching.cancel()
    finally:
        pool.terminate()


async def _ask_again(group: GroupCommit, journal: Journal) -> None:
    """All at once: none of it waited for an answer of another."""
    await asyncio.gather(*(_ask(group, journal, each) for each in journal.unanswered))


async def _give_back(pool: Pool, group: GroupCommit, journal: Journal) -> None:
    async with reading(pool) as conn:
        left = await store.abandoned_holds(conn, group.writer)
    voids = [Void(hold_id=hold_id, reason="abandoned") for hold_id in left]
    await asyncio.gather(*(_ask(group, journal, each) for each in voids))


async def _ask(group: GroupCommit, journal: Journal, operation: Paid) -> None:
    key = journal.ask(operation)
    outcome = await group.submit(operation)
    journal.tell(key, outcome.code.value)


async def _until_enough(folder: Path, business: Business) -> None:
    while not (folder / "enough").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    business.enough = True


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _append(path: Path, line: str) -> None:
    """In one write, which a kill does not divide."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def main() -> None:
    """End with 3 when fenced."""
    dsn, folder, seed, batch_size = sys.argv[1:]
    try:
        asyncio.run(live(dsn, Path(folder), int(seed), int(batch_size)))
    except WriterFenced:
        sys.exit(FENCED)


if __name__ == "__main__":
    main()
