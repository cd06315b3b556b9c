-- name: remember_cluster
-- Which chain and deployment a cluster's name stands for, from the first time it was seen.
insert into indexer.cluster (cluster, genesis_hash, program_id, mint) values ($1, $2, $3, $4)
on conflict do nothing;

-- name: read_cluster
-- What the cluster's name stands for.
select genesis_hash, program_id, mint from indexer.cluster where cluster = $1;

-- name: watch
-- An address whose every signature is wanted.
insert into indexer.watched (cluster, address, purpose) values ($1, $2, $3) on conflict do nothing;

-- name: remember_signatures
-- One page of a listing. A later listing may tell the place inside the slot better. Where listings
-- contradict each other the transaction itself is asked: at the lower of two slots, and it did not
-- fail only because one provider says so.
insert into indexer.signature as known (cluster, signature, slot, place, state, finished_at)
select $1, page.signature, page.slot, page.place,
       case when page.failed then 'failed' else 'wanted' end,
       case when page.failed then clock_timestamp() end
  from unnest($2::bytea[], $3::bigint[], $4::integer[], $5::boolean[])
       as page (signature, slot, place, failed)
on conflict (cluster, signature) do update
  set place = coalesce(excluded.place, known.place), slot = least(known.slot, excluded.slot),
      state = case when (known.state, excluded.state) = ('failed', 'wanted') and not exists (
                     select from indexer.raw_transaction r
                      where r.cluster = known.cluster and r.signature = known.signature)
                   then 'wanted' else known.state end,
      finished_at = case when (known.state, excluded.state) = ('failed', 'wanted') and not exists (
                           select from indexer.raw_transaction r
                            where r.cluster = known.cluster and r.signature = known.signature)
                         then null else known.finished_at end
 where (excluded.place is not null and known.place is distinct from excluded.place)
    or excluded.slot < known.slot
    or (known.state, excluded.state) = ('failed', 'wanted');

-- name: remember_mentions
-- That these signatures are about this address.
insert into indexer.mention (cluster, address, slot, signature)
select $1, $2, page.slot, page.signature
  from unnest($3::bytea[], $4::bigint[]) as page (signature, slot)
on conflict do nothing;

-- name: known_between
-- The signatures of an address in a range of slots, both ends included.
select slot, signature from indexer.mention
 where cluster = $1 and address = $2 and slot between $3 and $4;

-- name: next_open
-- What is not booked yet, in the order of the chain, each with the addresses it is about.
select s.signature, s.slot, s.place, s.state,
       array(select m.address from indexer.mention m
              where m.cluster = s.cluster and m.signature = s.signature) as addresses
  from indexer.signature s
 where s.cluster = $1 and s.slot <= $2 and s.state in ('wanted', 'unreadable')
   and (s.slot, coalesce(s.place, -2147483648), s.signature) > ($3, $4, $5)
 order by s.slot, coalesce(s.place, -2147483648), s.signature
 limit $6;

-- name: lock
-- These signatures, locked in one order. (Asked for the open ones only, the planner would rather
-- read all that are open than look these up.)
select signature, state from indexer.signature
 where cluster = $1 and signature = any ($2::bytea[])
 order by signature for update;

-- name: record
-- What transactions were, all at once: the answers, movements, events, and that they are final.
-- Movements and events say by its place in $2 which transaction they are of.
with raw as (
  insert into indexer.raw_transaction (cluster, signature, decoder_version, answer)
  select $1, tx.signature, $7, tx.answer
    from unnest($2::bytea[], $3::bytea[]) as tx (signature, answer)
  on conflict do nothing
), moved as (
  insert into indexer.movement (cluster, signature, outer_index, inner_index, sub_index, slot,
                                kind, from_vault, to_vault, source, destination, amount)
  select $1, ($2::bytea[])[m.n], m.outer_index, m.inner_index, m.sub_index, ($4::bigint[])[m.n],
         m.kind, m.from_vault, m.to_vault, m.source, m.destination, m.amount::numeric
    from unnest($8::integer[], $9::integer[], $10::integer[], $11::integer[], $12::text[],
                $13::text[], $14::text[], $15::text[], $16::text[], $17::text[])
         as m (n, outer_index, inner_index, sub_index, kind, from_vault, to_vault, source,
               destination, amount)
  on conflict do nothing
), meant as (
  insert into indexer.event (cluster, signature, outer_index, inner_index, sub_index, kind,
                             booked_as, facts, event_at)
  select $1, ($2::bytea[])[e.n], e.outer_index, e.inner_index, e.sub_index, e.kind, e.booked_as,
         e.facts::jsonb, ($5::timestamptz[])[e.n]
    from unnest($18::integer[], $19::integer[], $20::integer[], $21::integer[], $22::text[],
                $23::text[], $24::text[])
         as e (n, outer_index, inner_index, sub_index, kind, booked_as, facts)
  on conflict do nothing
)
update indexer.signature
   set state = case when signature = any ($6::bytea[]) then 'failed' else 'booked' end,
       problem = null, finished_at = clock_timestamp()
 where cluster = $1 and signature = any ($2::bytea[]);

-- name: set_unreadable
-- The signature cannot be read; its addresses stand still.
update indexer.signature set state = 'unreadable', problem = $3
 where cluster = $1 and signature = $2 and state in ('wanted', 'unreadable');

-- name: open_incident
-- Something for a person to look at, told once.
insert into indexer.incident (cluster, kind, reference, detail) values ($1, $2, $3, $4)
on conflict do nothing;

-- name: lowest_open
-- The lowest slot at which an address still has a signature that is not final, those left out of
-- which a person has decided that nobody need list them.
select min(m.slot) from indexer.mention m
  join indexer.signature s on s.cluster = m.cluster and s.signature = m.signature
 where m.cluster = $1 and m.address = $2 and m.slot <= $3 and s.state in ('wanted', 'unreadable')
   and not exists (select from indexer.unlisted u
                    where u.cluster = m.cluster and u.address = m.address
                      and u.signature = m.signature and u.decided_at is not null);

-- name: standing
-- What waits and what is wrong, for health and metrics; nobody waits any more for what a person has
-- let go.
select count(*) filter (
         where state = 'wanted' and not exists (
           select from indexer.unlisted u
            where u.cluster = $1 and u.signature = s.signature and u.decided_at is not null)
       ) as wanted,
       count(*) filter (where state = 'unreadable') as unreadable,
       (select count(*) from indexer.incident i where i.cluster = $1 and i.closed_at is null)
         as incidents
  from indexer.signature s where cluster = $1 and state in ('wanted', 'unreadable');
