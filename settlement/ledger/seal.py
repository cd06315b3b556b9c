"""Seals the books: a tree over every row up to a cut, and where each account stood that moved.

What is sealed was verified just before: from the last seal on, every chain is followed, every row
hashed again and entries added up, by the code that checks the books (`verify`). Only holds are left
to that check. The cut is read at one moment, so the accounts of a seal add up to zero; rows are
read in short pages, so no snapshot is long and what a seal costs is what came since the last one.
What is remembered meanwhile is an entry per account that moved, and a hash per 256 rows.

Two that seal at once cannot both succeed, and neither does harm: one waits for nobody and gives up.
A seal that was made although its maker never heard of it is simply the last one for the next.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final

import asyncpg

from settlement.db.pool import Pool, only_one, retried, transaction
from settlement.errors import Conflict
from settlement.ledger import seal_read
from settlement.ledger.merkle import Node
from settlement.ledger.seal_rows import FIRST_LINK, Cut, Seal, Snapshot, balances_hash, cut_hash
from settlement.ledger.seal_tree import Part
from settlement.ledger.verify_chain import FullBatch, Head, Place, Wrong
from settlement.ledger.verify_fold import Account, Fold
from settlement.ledger.verify_read import by_time, heads, snapshot

_DOES_NOT_FOLLOW: Final = "PL013"
_WRITTEN_WITHIN_SECONDS: Final = 3_600


class BooksBroken(Conflict):
    """What was to be sealed does not verify: no seal was made; see pod ledger verify."""


class SealRefused(Conflict):
    """The books do not take the seal: it does not follow the one before it."""


def _nobody(done: int, total: int) -> None:
    """Nobody watches."""


async def make_seal(pool: Pool, told: Callable[[int, int], None] = _nobody) -> Seal | None:
    """Seal what came since the last seal; None when nothing did. `told` hears rows done, and all.

    Raises `BooksBroken`, `SealRefused`, `AlreadyRunning` when another one is at it, and
    `DatabaseUnavailable`.
    """
    async with only_one(pool, "seal"):
        making = await retried(lambda: _begin(pool))
        if not making.cut:
            return None
        await making.follow(told)
        return await making.write()


async def _begin(pool: Pool) -> "_Making":
    async with snapshot(pool) as conn:
        last = await seal_read.last_seal(conn)
        places = await seal_read.sealed_places(conn)
        return _Making(pool, last, places, await heads(conn))


class _Making:
    def __init__(
        self, pool: Pool, last: Seal | None, places: dict[int, Place], now: Sequence[Head]
    ) -> None:
        self._pool = pool
        self._last = last
        self._tree = Part(0) if last is None else Part.tree(last.tree_size, last.peaks)
        self._fold = Fold(with_holds=False)
        self._fold.places = places
        self._heads = [head for head in now if head.head_seq > self._fold.place(head).seq]
        self._parts: dict[int, Part] = {}
        self.cut: list[Cut] = []
        first = self._tree.end
        for head in self._heads:  # by their ids
            place = self._fold.place(head)
            self._parts[head.writer_id] = Part(first)
            self.cut.append(
                Cut(head.writer_id, place.seq + 1, head.head_seq, first, head.head_hash)
            )
            first += head.head_rows - place.rows
        self._size = first
        self._kept: dict[Node, bytes] = {}
        self._snapshots: list[Snapshot] = []

    async def follow(self, told: Callable[[int, int], None]) -> None:
        """Read, verify and add up all rows up to the cut. Raises `BooksBroken`."""
        total = self._size - self._tree.end
        async with aclosing(by_time(self._pool, self._heads, self._fold.places)) as lists:
            async for ready in lists:
                await self._learn(ready)
                for full in ready:
                    _stop(self._fold.take(full))
                    part = self._parts[full.head.writer_id]
                    self._kept.update(part.extend(full.leaves))
                told(self._fold.rows, total)
        for head in self._heads:
            unlike = self._fold.place(head).unlike(head)
            if unlike is not None:
                _stop(Wrong(rule="head", detail=unlike, writer=head.writer_id))
        _stop(self._fold.at_cut())

    async def _learn(self, ready: Sequence[FullBatch]) -> None:
        """Where accounts stood at the last seal, for those met for the first time."""
        met = {
            movement.account
            for full in ready
            for row in full.rows
            for movement in row.movements(full.head.treasury_account)
        }
        unknown = sorted(met - self._fold.accounts.keys())
        if not unknown:
            return

        async def read() -> list[Snapshot]:
            async with snapshot(self._pool) as conn:
                return await seal_read.newest_snapshots(conn, unknown)

        for found in await retried(read):
            account = Account(dr=found.dr, cr=found.cr, entries=found.entry)
            self._fold.accounts[found.account_id] = account

    def prepare(self) -> tuple[object, ...]:
        """What the database is asked to keep: the tree, the cut, new nodes, snapshots."""
        for part in self._parts.values():
            self._kept.update(self._tree.append(part))
        for key in sorted(self._fold.moved):
            account = self._fold.accounts[key]
            self._snapshots.append(Snapshot(key, account.entries, account.dr, account.cr))
        nodes = sorted(self._kept)
        return (
            *(self._number, self._tree.end, self._tree.peaks, self._tree.root()),
            [cut.writer_id for cut in self.cut],
            [cut.to_seq for cut in self.cut],
            [cut.hash for cut in self.cut],
            [node.level for node in nodes],
            [node.index for node in nodes],
            [self._kept[node] for node in nodes],
            [one.account_id for one in self._snapshots],
            [one.entry for one in self._snapshots],
            [one.dr for one in self._snapshots],
            [one.cr for one in self._snapshots],
        )

    async def write(self) -> Seal:
        """Add the seal, in one transaction. Raises `SealRefused`."""
        arguments = self.prepare()
        try:
            async with transaction(self._pool) as tx:
                await tx.execute(seal_read.QUERIES["room_for_a_seal"])
                row = await tx.fetchrow(
                    seal_read.QUERIES["make"], *arguments, timeout=_WRITTEN_WITHIN_SECONDS
                )
                assert row is not None, "a seal answers with one row"
                seal = self._seal(row)
                # Made twice, by the database and here: what they do not agree on is taken back.
                if seal.hash != seal.true_hash:
                    raise SealRefused(seal=seal.seal_no, problem="its hash is not its content's")
        except asyncpg.PostgresError as error:
            if error.sqlstate == _DOES_NOT_FOLLOW:
                raise SealRefused(problem=str(error)) from error
            raise
        return seal

    @property
    def _number(self) -> int:
        return 1 if self._last is None else self._last.seal_no + 1

    def _seal(self, row: asyncpg.Record) -> Seal:
        """The seal as it is here; its era, time and hash are the database's."""
        before = 0 if self._last is None else self._last.tree_size
        return Seal(
            seal_no=self._number,
            rows=self._tree.end - before,
            tree_size=self._tree.end,
            root=self._tree.root(),
            peaks=self._tree.peaks,
            cut_hash=cut_hash(self.cut),
            balances_hash=balances_hash(self._snapshots),
            prev_hash=FIRST_LINK if self._last is None else self._last.hash,
            **dict(row),
        )


def _stop(wrong: Wrong | None) -> None:
    if wrong is not None:
        named = {name: value for name, value in vars(wrong).items() if value is not None}
        raise BooksBroken(**named)
