-- name: entries_since
-- The indexer's entries after a place in its chain of batches: what of the chain each one names.
select x.batch_seq, x.external_ref from settlement.txn x
 where x.writer_id = $1 and x.batch_seq > $2 and x.external_ref is not null
 order by x.batch_seq limit $3;

-- name: without_event
-- How many of these movements and instructions no finalized event stands behind.
select count(*) from unnest($2::bytea[], $3::integer[], $4::integer[], $5::integer[])
       as named (signature, outer_index, inner_index, sub_index)
 where not exists (select from indexer.event e
                    where e.cluster = $1
                      and (e.signature, e.outer_index, e.inner_index, e.sub_index) =
                          (named.signature, named.outer_index, named.inner_index, named.sub_index));

-- name: passed_over
-- Signatures at or below a frontier that are in no final state, those a person has let go left out.
select count(*) from indexer.signature s
  join indexer.mention m on m.cluster = s.cluster and m.signature = s.signature
  join settlement.frontier f on f.cluster = m.cluster and f.address = m.address
 where s.cluster = $1 and s.state in ('wanted', 'unreadable') and m.slot <= f.slot
   and not exists (select from indexer.unlisted u
                    where u.cluster = m.cluster and u.address = m.address
                      and u.signature = m.signature and u.decided_at is not null);

-- name: incidents_by_kind
-- How many incidents of each kind nobody has closed, and for how long something waits.
select kind, count(*) as n from indexer.incident
 where cluster = $1 and closed_at is null group by kind;

-- name: oldest_open
-- For how many seconds the oldest signature that is in no final state has been waiting.
select coalesce(extract(epoch from clock_timestamp() - min(discovered_at)), 0)::float8
  from indexer.signature where cluster = $1 and state in ('wanted', 'unreadable');
