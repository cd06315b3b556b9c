"""Follows history to a cut, for the check of the books: every row is folded once.

What is remembered between two calls stands in `Progress`, between two batches.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from itertools import islice

from settlement.db.pool import Pool
from settlement.ledger import verify_read
from settlement.ledger.verify_chain import FullBatch, Head, Wrong
from settlement.ledger.verify_holds import Holds
from settlement.ledger.verify_seals import SealCheck
from settlement.ledger.verify_state import Progress


class Follower:
    """History as far as `progress` says; `told` hears of batches done, and how many there are."""

    def __init__(
        self, pool: Pool, progress: Progress, told: Callable[[int, int], None], page_size: int
    ) -> None:
        self._pool = pool
        self._progress = progress
        self._fold = progress.fold
        self._told = told
        self._page_size = page_size
        self._batches = 0

    @property
    def holds(self) -> Holds:
        """What history says of holds."""
        assert self._fold.holds is not None, "a check of the books follows holds"
        return self._fold.holds

    async def heads(self) -> list[Head]:
        """A cut: how far each writer is now."""
        found = await verify_read.current_heads(self._pool)
        self._batches = max(self._batches, sum(head.head_seq for head in found))
        return found

    async def to(self, cut: Sequence[Head], seal: SealCheck | None = None) -> Wrong | None:
        """Fold history up to a cut, which is a seal's where one is named."""
        self._batches = max(self._batches, sum(head.head_seq for head in cut))
        self._told(self._fold.batches, self._batches)
        async with aclosing(verify_read.by_time(self._pool, cut, self._fold.places)) as lists:
            async for ready in lists:
                wrong = await self._take(ready, seal)
                if wrong is not None:
                    return wrong
                self._told(self._fold.batches, self._batches)
        gap = self._at_heads(cut) if seal is None else seal.unlike(cut, self._fold.places)
        gap = gap or self._fold.at_cut()
        if gap is None:
            return await self._ended(1)
        # What is missing may be in a row that no batch has: then that one is named.
        return await self.stray() or gap

    async def _take(self, ready: Sequence[FullBatch], seal: SealCheck | None) -> Wrong | None:
        if self._progress.from_seal:
            await self._remember(ready)
        for full in ready:
            wrong = self._fold.take(full)
            if wrong is not None:
                return wrong
            if seal is not None:
                seal.take(full)
        wrong = await self._ended(self._page_size)
        return wrong if seal is None else wrong or await seal.compare_nodes()

    async def _remember(self, ready: Sequence[FullBatch]) -> None:
        """Holds that were placed before what is checked, where rows go on from them."""
        rows = (row for full in ready for row in full.rows)
        unknown = {hold_id for row in rows if (hold_id := self.holds.unknown(row)) is not None}
        if not unknown:
            return
        for found in await verify_read.holds_before(self._pool, sorted(unknown)):
            hold_id, account, amount, purpose, writer, batch = found
            if batch <= self._progress.base.get(writer, 0):
                self.holds.remember(
                    hold_id, writer=writer, account=account, amount=amount, purpose=purpose
                )

    async def _ended(self, least: int) -> Wrong | None:
        """Look up how holds ended that were open when their first row was read, in pages."""
        ended = self.holds.ended
        while len(ended) >= least:
            ids = list(islice(ended, self._page_size))
            _, found = await verify_read.holds_now(self._pool, ids)
            for hold_id in ids:
                self.holds.compare(hold_id, ended.pop(hold_id), found.get(hold_id))
        return self.holds.wrong

    def _at_heads(self, cut: Sequence[Head]) -> Wrong | None:
        for head in cut:
            place = self._fold.place(head)
            told = place.unlike(head)
            if told is not None:
                batch = min(place.seq, head.head_seq) + 1
                return Wrong(rule="head", detail=told, writer=head.writer_id, batch=batch)
        gone = set(self._fold.places) - {head.writer_id for head in cut}
        if gone:
            return Wrong(rule="head", detail="the writer is gone", writer=min(gone))
        return None

    async def stray(self) -> Wrong | None:
        """A row that no batch has."""
        row = await verify_read.stray_row(self._pool)
        if row is None:
            return None
        return Wrong(
            rule="row without batch",
            detail="its writer has no such batch",
            writer=row["writer_id"],
            batch=row["batch_seq"],
            ord=row["ord"],
            row_id=None if row["row_id"] is None else str(row["row_id"]),
        )
