-- name: due
-- Days of charges that are at hand and over since before a day, oldest first; bytes with indexes.
select d.day, pg_total_relation_size(c.oid) as bytes,
       greatest(c.reltuples, 0)::bigint as about_rows
  from settlement.charge_day d
  join pg_class c on c.relname = d.partition and c.relnamespace = 'settlement'::regnamespace
 where d.state = 'attached' and d.day < $1::date
 order by d.day

-- name: unsealed
-- Writers with a row between two names that no seal holds; how far they and their seals are.
select w.name, m.batch_seq, coalesce(s.to_seq, 0) as sealed
  from settlement.writer w
 cross join lateral (select c.batch_seq from settlement.charge c
                      where c.request_id >= $1::uuid and c.request_id < $2::uuid
                        and c.writer_id = w.writer_id
                      order by c.batch_seq desc, c.ord desc limit 1) as m
  left join lateral (select y.to_seq from settlement.seal_cut y where y.writer_id = w.writer_id
                      order by y.to_seq desc limit 1) as s on true
 where m.batch_seq > coalesce(s.to_seq, 0)
 order by w.name

-- name: close
-- Lets nobody settle requests of a day any more; done when those who were settling are.
select settlement.close_charge_day_v1($1::date)

-- name: fold
-- Adds the next rows of a closed day up; how many they were.
select settlement.fold_charge_day_v1($1::date, $2::integer)

-- name: folded
-- What a day has been added up to.
select coalesce(sum(n), 0)::bigint from settlement.archived_span where day = $1::date

-- name: stretches
-- Where a day's rows are in the seals' tree, leaves in order: batches of a writer in one seal's cut.
-- `base` is how many rows the writer had before the cut's first leaf.
select c.writer_id, w.treasury_account, c.first_leaf, f.rows_before as base,
       greatest(c.from_seq, s.first_seq) as from_seq, least(c.to_seq, s.last_seq) as to_seq
  from settlement.archived_span s
  join settlement.writer w using (writer_id)
  join settlement.seal_cut c on c.writer_id = s.writer_id
   and c.to_seq >= s.first_seq and c.from_seq <= s.last_seq
  join settlement.batch f on f.writer_id = c.writer_id and f.seq = c.from_seq
 where s.day = $1::date
 order by c.first_leaf

-- name: rows
-- One page of a day's charges of a writer, after one of them and up to a batch.
select c.request_id, c.writer_id, c.batch_seq, c.ord, c.hold_id, c.user_account,
       c.operator_account, c.gross, c.operator_share, c.treasury_share, c.split_bps, c.user_entry,
       c.operator_entry, c.treasury_entry, c.user_balance_after, b.created_at, b.rows_before
  from (select * from settlement.charge
         where request_id >= $1::uuid and request_id < $2::uuid and writer_id = $3::integer
           and (batch_seq, ord) > ($4::bigint, $5::integer) and batch_seq <= $6::bigint
         order by batch_seq, ord limit $7::integer) as c
  join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
 order by c.batch_seq, c.ord

-- name: leaves
-- Which batches have the leaves from one to before another, for each such pair.
select c.writer_id, c.first_leaf, f.rows_before as base,
       settlement.batch_of_row_v1(c.writer_id, f.rows_before
         + greatest(x.start - c.first_leaf, 0)) as from_seq,
       least(c.to_seq, settlement.batch_of_row_v1(c.writer_id, f.rows_before
         + x.stop - c.first_leaf - 1)) as to_seq
  from unnest($1::bigint[], $2::bigint[]) as x (start, stop)
  join settlement.seal_cut c on c.first_leaf < x.stop
   and c.first_leaf >= (select max(y.first_leaf) from settlement.seal_cut y
                         where y.first_leaf <= x.start)
  join settlement.batch f on f.writer_id = c.writer_id and f.seq = c.from_seq

-- name: archived_nodes
-- Subtrees of archived leaves over some leaves of the tree.
select n.level, n.index, n.hash
  from unnest($1::bigint[], $2::bigint[]) as x (start, stop)
 cross join generate_series(0, 7) as l (level)
  join settlement.archived_node n on n.level = l.level
   and n.index between x.start >> l.level and (x.stop - 1) >> l.level

-- name: keep_nodes
-- Keeps subtrees of archived leaves that stand among others.
select settlement.keep_archived_nodes_v1($1::smallint[], $2::bigint[], $3::bytea[])

-- name: archive
-- Takes a day out of the journal; its manifest takes its place.
select settlement.archive_charge_day_v1($1::date, $2::jsonb)

-- name: rows_before
-- How many rows a writer had before each of a range of its batches.
select seq, rows_before from settlement.batch
 where writer_id = $1::integer and seq between $2::bigint and $3::bigint

-- name: is_archived
-- Whether a day is archived with this manifest.
select archive = $2::jsonb from settlement.charge_day where day = $1::date
