"""Hashes of the seals' tree: what a day's proof is made of, and what is kept when its leaves go.

Of the tree each eighth level is kept. What is below is made again from the rows that are there;
where rows were archived, the subtrees that stand over them alone were kept (`archived_node`), so
proofs of the rows beside them go on.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from settlement.db.pool import Pool, ReadConn, reading, retried
from settlement.ledger import seal_read, verify_hash
from settlement.ledger.archive_read import QUERIES
from settlement.ledger.archive_rows import Archived
from settlement.ledger.merkle import TILE_LEVELS, Node, join, perfect, stored_under
from settlement.ledger.merkle_proof import Span
from settlement.ledger.seal_tree import Part
from settlement.ledger.verify_read import rows_between

_TILE: Final = 1 << TILE_LEVELS
# Leaves this near are read at once.
_NEAR: Final = 2 * _TILE


async def hashes_of(pool: Pool, nodes: Collection[Node]) -> dict[Node, bytes]:
    """The hashes of perfect subtrees. Raises `KeyError` for what cannot be made any more."""

    async def read() -> dict[Node, bytes]:
        async with reading(pool) as conn:
            return await _hashes(conn, nodes)

    return await retried(read)


async def _hashes(conn: ReadConn, nodes: Collection[Node]) -> dict[Node, bytes]:
    under = {node: stored_under(node) for node in nodes}
    high = {
        Node(stored.level, index)
        for stored in under.values()
        if stored.level
        for index in range(stored.start, stored.end)
    }
    kept = await seal_read.nodes(conn, high) if high else {}
    low = await _low(conn, [(node.start, node.end) for node, s in under.items() if not s.level])
    return {
        node: perfect([kept[Node(stored.level, at)] for at in range(stored.start, stored.end)])
        if stored.level
        else _made(node, low)
        for node, stored in under.items()
    }


def _made(node: Node, known: dict[Node, bytes]) -> bytes:
    """A subtree below the kept levels, from what is known below it."""
    found = known.get(node)
    if found is not None or node.level == 0:
        return found if found is not None else known[node]
    left, right = (Node(node.level - 1, 2 * node.index + side) for side in (0, 1))
    return join(_made(left, known), _made(right, known))


async def _low(conn: ReadConn, spans: Iterable[Span]) -> dict[Node, bytes]:
    """Leaves between these bounds, and subtrees over those that were archived."""
    bounds = list(_joined(spans))
    if not bounds:
        return {}
    starts, stops = zip(*bounds, strict=True)
    known = {
        Node(row["level"], row["index"]): row["hash"]
        for row in await conn.fetch(QUERIES["archived_nodes"], starts, stops)
    }
    for stretch in await conn.fetch(QUERIES["leaves"], starts, stops):
        writer_id, first_leaf, base, first, last = stretch
        batches = await rows_between(conn, writer_id, first, last)
        before = await conn.fetch(QUERIES["rows_before"], writer_id, first, last)
        for seq, rows_before in before:
            for row in batches.get(seq, ()):
                at = first_leaf + rows_before - base + row.ord - 1
                known[Node(0, at)] = verify_hash.leaf(row.text)
    return known


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans, those that are near each other as one."""
    start = stop = None
    for one, other in sorted(spans):
        if start is None or stop is None:
            start, stop = one, other
        elif one - stop < _NEAR:
            stop = max(stop, other)
        else:
            yield start, stop
            start, stop = one, other
    if start is not None and stop is not None:
        yield start, stop


class Loose:
    """Subtrees of archived leaves that no kept hash stands over alone: those in a mixed tile.

    They end where a seal begins (`starts`), so that the tree of each seal can be made of them too.
    """

    def __init__(self, starts: Iterable[int]) -> None:
        self._starts = frozenset(starts)
        self._part: Part | None = None

    def take(self, rows: Iterable[Archived]) -> Iterator[tuple[Node, bytes]]:
        """Leaves that go, in order; what of those before them is to be kept."""
        for row in rows:
            at, part = row.leaf_index, self._part
            if part is None or part.end != at or at % _TILE == 0 or at in self._starts:
                yield from self.end()
                part = self._part = Part(at)
            part.extend((row.leaf,))

    def end(self) -> Iterator[tuple[Node, bytes]]:
        """There are no leaves beyond; what of the last ones is to be kept."""
        part, self._part = self._part, None
        if part is None or part.end - part.start == _TILE:
            return
        at = part.start
        for level, root in part.subtrees:
            yield Node(level, at >> level), root
            at += 1 << level
