"""Sealed books with a complete node in their tree, and what a superuser can do to their seals."""

from dataclasses import dataclass

from settlement.db.pool import Pool
from settlement.ledger.seal import make_seal
from settlement.ledger.verify_chain import Wrong
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.damages import lived


async def sealed(database: Database, pool: Pool, sealer: Pool) -> Books:
    """Three seals: of 18 rows, of 300 more (a node of level 8 is complete then), and of one."""
    books = await lived(database, pool)
    await make_seal(sealer)
    for _ in range(3):
        await books.apply(*(factories.deposit(books.user, 5 + number) for number in range(100)))
    await make_seal(sealer)
    await books.apply(factories.deposit(books.host, 1))
    await make_seal(sealer)
    return books


@dataclass(frozen=True, kw_only=True)
class SealDamage:
    """What is done, which seal must be named (0: none), and what must be said of it."""

    statement: str
    seal: int
    told: str
    rule: str = "seal"


def _rehashed(*seals: int) -> str:
    """Seals that hash well again, each after the one before it."""
    return "".join(
        "update settlement.seal s set prev_hash = coalesce((select hash from settlement.seal"
        f" where seal_no = {seal} - 1), prev_hash) where seal_no = {seal};"
        " update settlement.seal set hash = settlement.seal_hash_v1(seal_no, era, tree_size, rows,"
        f" made_at, prev_hash, root, cut_hash, balances_hash) where seal_no = {seal};"
        for seal in seals
    )


# Another reason for a hold that was given back, and the writer's chain made good again from there.
_REWRITTEN = """
update settlement.hold_event set reason = 'other' where event = 'voided' and batch_seq = 3;
do $$
declare
  b settlement.batch;
  v_hash bytea := (select hash from settlement.batch where writer_id = 1 and seq = 2);
begin
  for b in select * from settlement.batch where writer_id = 1 and seq > 2 order by seq loop
    b.root := settlement.batch_root_v2((select string_agg(leaf, ''::bytea order by ord)
                                          from settlement.batch_leaves_v2(1, b.seq)));
    b.hash := settlement.batch_hash_v2(1, b.epoch, b.seq, b.n, b.rows_before, b.created_at, v_hash,
                                       b.root);
    update settlement.batch set root = b.root, prev_hash = v_hash, hash = b.hash
     where writer_id = 1 and seq = b.seq;
    v_hash := b.hash;
  end loop;
  update settlement.writer set head_hash = v_hash where writer_id = 1;
end
$$;
"""
_RECUT = """
update settlement.seal_cut c set hash = b.hash from settlement.batch b
 where b.writer_id = c.writer_id and b.seq = c.to_seq;
update settlement.seal s set cut_hash = (select sha256(convert_to(string_agg(
  concat_ws('|', writer_id, from_seq, to_seq, first_leaf, encode(hash, 'hex')), E'\\n'
  order by writer_id), 'UTF8'))
  from settlement.seal_cut c where c.seal_no = s.seal_no);
"""
SEAL_DAMAGES = {
    "a root": SealDamage(
        statement="update settlement.seal set root = sha256(root) where seal_no = 2",
        seal=2, told="its hash",
    ),
    "a root, and the hashes after it": SealDamage(
        statement="update settlement.seal set root = sha256(root) where seal_no = 2;"
        + _rehashed(2, 3),
        seal=2, told="its root",
    ),
    "a time": SealDamage(
        statement="update settlement.seal set made_at = made_at + interval '1 us'"
        " where seal_no = 1",
        seal=1, told="its hash",
    ),
    "a hash": SealDamage(
        statement="update settlement.seal set hash = sha256(hash) where seal_no = 1",
        seal=1, told="its hash",
    ),
    "a link": SealDamage(
        statement="update settlement.seal set prev_hash = sha256(hash) where seal_no = 2",
        seal=2, told="the seal before it",
    ),
    "a seal removed": SealDamage(
        statement="delete from settlement.seal where seal_no = 2", seal=2, told="missing",
    ),
    "the last seal removed": SealDamage(
        statement="delete from settlement.seal where seal_no = 3", seal=3, told="its cut",
    ),
    "the last seal and its cut removed": SealDamage(
        statement="delete from settlement.seal where seal_no = 3;"
        " delete from settlement.seal_cut where seal_no = 3",
        seal=3, told="a snapshot",
    ),
    "peaks": SealDamage(
        statement="update settlement.seal set peaks = peaks[2:] where seal_no = 2",
        seal=2, told="its peaks",
    ),
    "a cut that goes less far": SealDamage(
        statement="update settlement.seal_cut set to_seq = to_seq - 1"
        " where seal_no = 2 and writer_id = 1",
        seal=2, told="its cut",
    ),
    "a cut removed": SealDamage(
        statement="delete from settlement.seal_cut where seal_no = 1 and writer_id = 2",
        seal=1, told="its cut",
    ),
    "a cut that leaves out a batch": SealDamage(
        statement="update settlement.seal_cut set from_seq = from_seq + 1"
        " where seal_no = 2 and writer_id = 1;" + _RECUT + _rehashed(2, 3),
        seal=2, told="it leaves out",
    ),
    "leaves that begin elsewhere": SealDamage(
        statement="update settlement.seal_cut set first_leaf = first_leaf + 1"
        " where seal_no = 1 and writer_id = 2;" + _RECUT + _rehashed(1, 2, 3),
        seal=1, told="what it sealed",
    ),
    "a node": SealDamage(
        statement="update settlement.seal_node set hash = sha256(hash)",
        seal=2, told="node 8/0 is not",
    ),
    "a node removed": SealDamage(
        statement="delete from settlement.seal_node", seal=2, told="node 8/0 is missing",
    ),
    "a node of nothing": SealDamage(
        statement="insert into settlement.seal_node values (8, 1, sha256(''))",
        seal=0, told="node 8/1",
    ),
    "a snapshot": SealDamage(
        statement="update settlement.snapshot set cr = cr + 1 where seal_no = 2 and cr > 0",
        seal=2, told="its snapshot says",
    ),
    "a snapshot of another entry": SealDamage(
        statement="update settlement.snapshot set entry = entry + 9 where seal_no = 3 and cr > 0",
        seal=3, told="its snapshot says",
    ),
    "a snapshot removed": SealDamage(
        statement="delete from settlement.snapshot where seal_no = 2 and dr > 0",
        seal=2, told="no snapshot",
    ),
    "a snapshot too many": SealDamage(
        statement="insert into settlement.snapshot (seal_no, account_id, entry, dr, cr)"
        " select 2, account_id, 99, 0, 0 from settlement.account where name = 'bad-debt'",
        seal=2, told="its snapshot says",
    ),
    "balances": SealDamage(
        statement="update settlement.seal set balances_hash = root where seal_no = 3;"
        + _rehashed(3),
        seal=3, told="its balances",
    ),
    "history rewritten below a seal": SealDamage(
        statement=_REWRITTEN, seal=1, told="what it sealed",
    ),
    "history and the cuts": SealDamage(
        statement=_REWRITTEN + _RECUT + _rehashed(1, 2, 3), seal=1, told="its root",
    ),
}  # fmt: skip


def names_seal(wrong: Wrong, damage: SealDamage) -> bool:
    named = (wrong.rule, wrong.seal) == (damage.rule, damage.seal or None)
    return named and damage.told in wrong.detail
