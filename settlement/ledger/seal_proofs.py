"""Makes proofs about the sealed books: that a row is in a seal, that a seal goes on from another.

Of the tree each eighth level is kept; what is below is made again from the rows. A proof that would
not hold is never handed out: then the books do not say any more what was sealed.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from settlement.db.pool import Pool, ReadConn, reading, retried
from settlement.errors import NotFound
from settlement.ledger import seal_read
from settlement.ledger.archive_tree import hashes_of
from settlement.ledger.merkle import Node
from settlement.ledger.merkle_json import Consistency, Inclusion
from settlement.ledger.merkle_proof import (
    consistency_needs,
    consistency_path,
    inclusion_needs,
    inclusion_path,
)
from settlement.ledger.seal_file import GrowthProof, ProofFails, RowProof
from settlement.ledger.seal_rows import Seal
from settlement.ledger.verify_read import rows_between

T = TypeVar("T")


class RowMissing(NotFound):
    """The books at hand have no request or transaction of that id."""


class RowUnsealed(NotFound):
    """The row is in no such seal."""


async def prove_row(pool: Pool, row_id: UUID, seal_no: int | None = None) -> RowProof:
    """That a request or a transaction is in a seal: in the newest one, if none is named.

    Raises `RowMissing`, `RowUnsealed`, `SealMissing`, `ProofFails`.
    """
    text, index, seal = await _read(pool, lambda conn: _find(conn, row_id, seal_no))
    needed = await _hashes(pool, inclusion_needs(index, seal.tree_size))
    path = inclusion_path(index, seal.tree_size, needed)
    inclusion = Inclusion(index=index, size=seal.tree_size, path=tuple(path))
    proof = RowProof(row_id=row_id, text=text, inclusion=inclusion, seal=seal)
    proof.check()
    return proof


async def prove_growth(pool: Pool, old_no: int, new_no: int) -> GrowthProof:
    """That the newer of two seals begins with the older. Raises `SealMissing`, `ProofFails`."""
    old_no, new_no = sorted((old_no, new_no))
    old = await _read(pool, lambda conn: seal_read.seal_of(conn, old_no))
    new = await _read(pool, lambda conn: seal_read.seal_of(conn, new_no))
    needed = await _hashes(pool, consistency_needs(old.tree_size, new.tree_size))
    path = consistency_path(old.tree_size, new.tree_size, needed)
    consistency = Consistency(old=old.tree_size, new=new.tree_size, path=tuple(path))
    proof = GrowthProof(old=old, new=new, consistency=consistency)
    proof.check()
    return proof


async def _find(conn: ReadConn, row_id: UUID, seal_no: int | None) -> tuple[str, int, Seal]:
    """What a row says, which leaf it is, and the seal to prove it in."""
    place = await conn.fetchrow(seal_read.QUERIES["row_place"], row_id)
    if place is None:
        raise RowMissing(id=row_id)
    writer_id, batch, order = place
    leaf = await conn.fetchrow(seal_read.QUERIES["leaf_place"], writer_id, batch, order)
    if leaf is None:
        raise RowUnsealed(id=row_id)
    last = await seal_read.last_seal(conn) if seal_no is None else None
    seal = last or await seal_read.seal_of(conn, seal_no or leaf["seal_no"])
    if seal.seal_no < leaf["seal_no"]:
        raise RowUnsealed(id=row_id, seal=seal.seal_no, first=leaf["seal_no"])
    rows = await rows_between(conn, writer_id, batch, batch)
    (text,) = (row.text for row in rows[batch] if row.ord == order)
    return text, leaf["index"], seal


async def _hashes(pool: Pool, nodes: list[Node]) -> dict[Node, bytes]:
    try:
        return await hashes_of(pool, nodes)
    except (KeyError, AssertionError) as error:
        raise ProofFails(problem=f"the books lack rows or nodes of the tree: {error}") from error


async def _read(pool: Pool, ask: Callable[[ReadConn], Awaitable[T]]) -> T:
    async def step() -> T:
        async with reading(pool) as conn:
            return await ask(conn)

    return await retried(step)
