"""Each seal against history, while that is folded up to the seal's cut.

First what the seal says of itself: that it follows the one before, its hash, its cut. Then history
is followed to the cut; each writer's leaves make a part of the tree meanwhile, and nodes are
compared as they become complete. At the cut the parts make the tree, whose root and size the seal
tells, and the accounts that moved stand where its snapshots say.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final, TypeVar

from settlement.db.pool import Pool, ReadConn, reading, retried
from settlement.ledger import seal_read
from settlement.ledger.merkle import Node, edge
from settlement.ledger.seal_rows import (
    Cut,
    Seal,
    Sealed,
    Snapshot,
    balance_line,
    balances_hash,
    cut_hash,
)
from settlement.ledger.seal_tree import Part
from settlement.ledger.verify_chain import FullBatch, Head, Place, Wrong
from settlement.ledger.verify_fold import Account, Fold

_RULE: Final = "seal"
_PAGE: Final = 5_000
T = TypeVar("T")


async def _read(pool: Pool, ask: Callable[[ReadConn], Awaitable[T]]) -> T:
    async def step() -> T:
        async with reading(pool) as conn:
            return await ask(conn)

    return await retried(step)


async def next_seal(pool: Pool, sealed: Sealed) -> Seal | None:
    """The seal to look at next, if there is one."""
    return await _read(pool, lambda conn: seal_read.seal_after(conn, sealed.seal_no))


async def stray(pool: Pool) -> Wrong | None:
    """What belongs to no seal."""
    row = await _read(pool, seal_read.stray_of_seals)
    return None if row is None else Wrong(rule=_RULE, detail=row["problem"], seal=row["seal_no"])


class SealCheck:
    """One seal, while history is followed to its cut."""

    def __init__(self, pool: Pool, sealed: Sealed, seal: Seal) -> None:
        self._pool = pool
        self._sealed = sealed
        self._seal = seal
        self._cuts: Sequence[Cut] = ()
        self._kept: dict[Node, bytes] = {}

    async def begin(self) -> Wrong | None:
        """What is wrong with the seal by itself and after the one before it."""
        seal, sealed = self._seal, self._sealed
        self._cuts = await _read(self._pool, lambda conn: seal_read.cuts(conn, seal.seal_no))
        if seal.seal_no != sealed.seal_no + 1:
            told = f"it is missing, {seal.seal_no} comes next"
            return Wrong(rule=_RULE, detail=told, seal=sealed.seal_no + 1)
        if seal.prev_hash != sealed.hash:
            return self._wrong("it does not follow the hash of the seal before it")
        if seal.hash != seal.true_hash:
            return self._wrong("its hash is not its content's")
        if cut_hash(self._cuts) != seal.cut_hash:
            return self._wrong("its cut is not what was sealed")
        if seal.tree_size != sealed.tree.end + seal.rows:
            return self._wrong(f"{sealed.tree.end} and {seal.rows} rows are not {seal.tree_size}")
        return None

    def cut(self, now: Sequence[Head], places: Mapping[int, Place]) -> list[Head] | Wrong:
        """Where each of its writers was: the cut that history is followed to."""
        heads = {head.writer_id: head for head in now}
        ends = [cut.first_leaf for cut in self._cuts[1:]] + [self._seal.tree_size]
        wanted: list[Head] = []
        first = self._sealed.tree.end
        for cut, end in zip(self._cuts, ends, strict=True):
            head = heads.get(cut.writer_id)
            if head is None:
                return Wrong(rule="head", detail="the writer is gone", writer=cut.writer_id)
            place = places.get(cut.writer_id) or Place.first(head)
            part = self._sealed.parts.get(cut.writer_id)
            if part is None:
                if cut.from_seq != place.seq + 1:
                    return self._wrong("it leaves out batches", cut)
                part = self._sealed.parts[cut.writer_id] = Part(cut.first_leaf)
            if cut.first_leaf != first or part.start != first:
                return self._wrong("its leaves do not begin where others end", cut)
            rows = place.rows + end - part.end
            wanted.append(replace(head, head_seq=cut.to_seq, head_hash=cut.hash, head_rows=rows))
            first = end
        return wanted

    def take(self, full: FullBatch) -> None:
        """A batch of history was folded."""
        part = self._sealed.parts[full.head.writer_id]
        self._kept.update(part.extend(full.leaves))

    async def compare_nodes(self) -> Wrong | None:
        """Hold the nodes that became complete against those that are kept."""
        made, self._kept = self._kept, {}
        found = await _read(self._pool, lambda conn: seal_read.nodes(conn, made)) if made else {}
        for node in sorted(made):
            if node not in found:
                return self._wrong(f"node {node.level}/{node.index} is missing")
            if found[node] != made[node]:
                return self._wrong(f"node {node.level}/{node.index} is not its leaves'")
        return None

    def unlike(self, heads: Sequence[Head], places: Mapping[int, Place]) -> Wrong | None:
        """History was followed as far as it goes: is it the one that was sealed?"""
        for head in heads:
            told = (places.get(head.writer_id) or Place.first(head)).unlike(head)
            if told is not None:
                detail = f"what it sealed is not what is there: {told}"
                return Wrong(
                    rule=_RULE, detail=detail, seal=self._seal.seal_no, writer=head.writer_id,
                    batch=head.head_seq,
                )  # fmt: skip
        return None

    async def trust(self, heads: Sequence[Head], fold: Fold) -> Wrong | None:
        """Take what the seal has from the seal: where chains and accounts stood, and the tree."""
        seal = self._seal
        if len(seal.peaks) != seal.tree_size.bit_count() or edge(seal.peaks) != seal.root:
            return self._wrong("its peaks are not those of its tree")
        digest, after, lines = sha256(), 0, 0
        while page := await self._snapshot_page(after):
            for one in page:
                digest.update((b"\n" if lines else b"") + balance_line(one))
                lines += 1
                fold.accounts[one.account_id] = Account(dr=one.dr, cr=one.cr, entries=one.entry)
            after = page[-1].account_id
        if digest.digest() != seal.balances_hash:
            return self._wrong("its snapshots are not what was sealed")
        for head in heads:
            fold.places[head.writer_id] = Place(
                seq=head.head_seq, hash=head.head_hash, rows=head.head_rows
            )
        self._next(Part.tree(seal.tree_size, seal.peaks))
        return None

    async def finish(self, fold: Fold) -> Wrong | None:
        """History stands at the cut. The next seal comes then."""
        seal, sealed = self._seal, self._sealed
        tree = Part.tree(sealed.tree.end, sealed.tree.peaks)
        for cut in self._cuts:
            self._kept.update(tree.append(sealed.parts[cut.writer_id]))
        if tree.root() != seal.root:
            return self._wrong("its root is not that of the rows up to its cut")
        if tree.peaks != seal.peaks:
            return self._wrong("its peaks are not those of its tree")
        wrong = await self.compare_nodes() or await self._snapshots(fold)
        if wrong is not None:
            return wrong
        self._next(tree)
        fold.moved.clear()
        return None

    def _next(self, tree: Part) -> None:
        seal, sealed = self._seal, self._sealed
        sealed.seal_no, sealed.hash, sealed.tree = seal.seal_no, seal.hash, tree
        sealed.parts.clear()

    async def _snapshot_page(self, after: int) -> list[Snapshot]:
        number = self._seal.seal_no
        return await _read(
            self._pool, lambda conn: seal_read.snapshot_page(conn, number, after, _PAGE)
        )

    async def _snapshots(self, fold: Fold) -> Wrong | None:
        made = {key: fold.accounts[key] for key in sorted(fold.moved)}
        wanted = [Snapshot(key, one.entries, one.dr, one.cr) for key, one in made.items()]
        seen, after = 0, 0
        while True:
            page = await self._snapshot_page(after)
            expected = wanted[seen : seen + _PAGE]
            if page != expected:
                return self._differs(page, expected)
            if len(page) < _PAGE:
                break
            seen, after = seen + len(page), page[-1].account_id
        if balances_hash(wanted) != self._seal.balances_hash:
            return self._wrong("its balances are not what was sealed")
        return None

    def _differs(self, page: Sequence[Snapshot], expected: Sequence[Snapshot]) -> Wrong:
        """Name the first account whose snapshot is not what history says."""
        found, wanted = set(page), set(expected)
        first = min(found ^ wanted)
        told = next((one for one in page if one.account_id == first.account_id), None)
        detail = (
            "no snapshot says where it stood" if told is None else f"its snapshot says {told[1:]}"
        )
        return replace(self._wrong(detail), account=str(first.account_id))

    def _wrong(self, detail: str, cut: Cut | None = None) -> Wrong:
        writer = None if cut is None else cut.writer_id
        return Wrong(rule=_RULE, detail=detail, seal=self._seal.seal_no, writer=writer)
