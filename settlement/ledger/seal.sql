-- name: seal_after
-- The first seal after a number.
select seal_no, era, made_at, rows, tree_size, root, peaks, cut_hash, balances_hash, prev_hash, hash
  from settlement.seal where seal_no > $1::integer order by seal_no limit 1

-- name: last_seal
-- The newest seal.
select seal_no, era, made_at, rows, tree_size, root, peaks, cut_hash, balances_hash, prev_hash, hash
  from settlement.seal order by seal_no desc limit 1

-- name: seal
-- The seal of a number.
select seal_no, era, made_at, rows, tree_size, root, peaks, cut_hash, balances_hash, prev_hash, hash
  from settlement.seal where seal_no = $1::integer

-- name: cuts
-- The batches that a seal added, by writer.
select writer_id, from_seq, to_seq, first_leaf, hash from settlement.seal_cut
 where seal_no = $1::integer order by writer_id

-- name: sealed_places
-- How far each writer's chain is sealed.
select w.writer_id, c.to_seq as seq, c.hash, b.rows_before + b.n as rows
  from settlement.writer w
 cross join lateral (select y.to_seq, y.hash from settlement.seal_cut y
                      where y.writer_id = w.writer_id order by y.to_seq desc limit 1) as c
  join settlement.batch b on b.writer_id = w.writer_id and b.seq = c.to_seq

-- name: newest_snapshots
-- Where accounts stood at the last seal that they had moved before.
select s.account_id, s.entry, s.dr, s.cr
  from unnest($1::bigint[]) as a (account_id)
 cross join lateral (select * from settlement.snapshot y where y.account_id = a.account_id
                      order by y.entry desc limit 1) as s

-- name: snapshot_page
-- One page of a seal's snapshots, by account.
select account_id, entry, dr, cr from settlement.snapshot
 where seal_no = $1::integer and account_id > $2::bigint
 order by account_id limit $3::integer

-- name: nodes
-- The hashes of nodes, where they are kept.
select n.level, n.index, n.hash
  from unnest($1::integer[], $2::bigint[]) as x (level, index)
  join settlement.seal_node n on n.level = x.level and n.index = x.index

-- name: stray_of_seals
-- What belongs to no seal: a cut, a snapshot, or a node over leaves that no seal has.
(select 'its cut is there, it is not' as problem, c.seal_no from settlement.seal_cut c
  where not exists (select from settlement.seal s where s.seal_no = c.seal_no) limit 1)
union all
(select 'a snapshot of it is there, it is not', p.seal_no from settlement.snapshot p
  where p.seal_no > coalesce((select max(s.seal_no) from settlement.seal s), 0) limit 1)
union all
(select format('node %s/%s is there, its leaves are not', n.level, n.index), null
   from settlement.seal_node n
  where n.index >= coalesce((select max(s.tree_size) from settlement.seal s), 0) >> n.level limit 1)
limit 1

-- name: row_place
-- Where a request or a transaction stands in the journal.
select writer_id, batch_seq, ord from settlement.charge where request_id = $1::uuid
union all
select writer_id, batch_seq, ord from settlement.txn where txn_id = $1::uuid

-- name: leaf_place
-- Which leaf of the tree a row is, and which seal was the first to have it.
select c.seal_no, c.first_leaf + b.rows_before - f.rows_before + $3::integer - 1 as index
  from settlement.batch b
 cross join lateral (select * from settlement.seal_cut y
                      where y.writer_id = b.writer_id and y.to_seq >= b.seq
                      order by y.to_seq limit 1) as c
  join settlement.batch f on f.writer_id = c.writer_id and f.seq = c.from_seq
 where b.writer_id = $1::integer and b.seq = $2::bigint

-- name: room_for_a_seal
-- This transaction may take its time: a seal is written at once, however many accounts moved.
select set_config('statement_timeout', '0', true)

-- name: make
-- Adds a seal; what it must fit is checked there.
select era, made_at, hash from settlement.seal_v1($1::integer, $2::bigint, $3::bytea[], $4::bytea,
  $5::integer[], $6::bigint[], $7::bytea[], $8::integer[], $9::bigint[], $10::bytea[],
  $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
