-- name: replayed_cluster
-- The chain and deployment of a cluster; of the only one where none is named.
select c.cluster, c.program_id, c.mint,
       array(select w.address from indexer.watched w
              where w.cluster = c.cluster and w.purpose = 'fee_payer') as payers
  from indexer.cluster c
 where $1::text is null or c.cluster = $1::text
 order by c.cluster limit 2;

-- name: recorded_page
-- Signatures up to a slot whose answer is kept, in the order of slots, after a place in it.
select m.slot, m.signature
  from indexer.watched w
 cross join lateral (
   select x.slot, x.signature from indexer.mention x
    where x.cluster = w.cluster and x.address = w.address
      and (x.slot, x.signature) > ($2::bigint, $3::bytea) and x.slot <= $4::bigint
    order by x.slot, x.signature limit $5::integer) as m
 where w.cluster = $1
 group by m.slot, m.signature
 order by m.slot, m.signature limit $5::integer;

-- name: recorded_count
-- How many answers are kept of transactions at or after a slot, and the highest slot of them.
select count(*) as transactions, max(s.slot) as last_slot
  from indexer.raw_transaction r join indexer.signature s using (cluster, signature)
 where r.cluster = $1 and s.slot >= $2::bigint
   and ($3::integer is null or r.decoder_version = $3::integer);

-- name: recorded_answers
-- What was answered for these signatures, by which version it was read, and what it came to.
select r.signature, r.decoder_version, r.answer, s.slot, s.state
  from indexer.raw_transaction r join indexer.signature s using (cluster, signature)
 where r.cluster = $1 and r.signature = any ($2::bytea[]);

-- name: recorded_movements
-- The movements of these signatures.
select signature, outer_index, inner_index, sub_index, slot, kind, from_vault, to_vault, source,
       destination, amount
  from indexer.movement
 where cluster = $1 and signature = any ($2::bytea[])
 order by signature, outer_index, inner_index, sub_index;

-- name: recorded_events
-- The events of these signatures.
select signature, outer_index, inner_index, sub_index, kind, booked_as, facts::text as facts,
       event_at
  from indexer.event
 where cluster = $1 and signature = any ($2::bytea[])
 order by signature, outer_index, inner_index, sub_index;
