-- name: see
-- Deposits that are confirmed. Seen again in another slot, or after it seemed to be gone, a deposit
-- arrives again; one that is final stays so.
insert into settlement.arrival as known (cluster, reference, signature, slot, vault, amount,
                                         user_id, provider_id)
select $1, seen.reference, $2, $3, seen.vault, seen.amount, seen.user_id, seen.provider_id
  from unnest($4::text[], $5::text[], $6::bigint[], $7::uuid[], $8::uuid[])
       as seen (reference, vault, amount, user_id, provider_id)
on conflict (cluster, reference) do update
  set slot = excluded.slot, state = 'arriving', ended_at = null
 where known.state <> 'final' and (known.slot <> excluded.slot or known.state = 'gone');

-- name: move
-- A signature was seen in another slot.
update settlement.arrival set slot = $3, state = 'arriving', ended_at = null
 where cluster = $1 and signature = $2 and state <> 'final' and (slot <> $3 or state = 'gone');

-- name: finish
-- What the books have taken in by now.
update settlement.arrival a
   set state = 'final', slot = coalesce(x.slot, a.slot), credited_as = x.kind, ended_at = clock_timestamp()
  from settlement.txn x
 where a.cluster = $1 and a.state <> 'final' and x.external_ref = a.reference;

-- name: give_up
-- Arrivals that will not come: these references.
update settlement.arrival set state = 'gone', ended_at = clock_timestamp()
 where cluster = $1 and reference = any ($2::text[]) and state = 'arriving';

-- name: open
-- What is still arriving.
select reference, signature, slot, vault from settlement.arrival
 where cluster = $1 and state = 'arriving' order by slot, reference;

-- name: prune
-- Forget what ended long ago.
delete from settlement.arrival
 where ended_at < clock_timestamp() - make_interval(hours => $1);

-- name: of_user
-- What arrives for a user, but for what the books have taken in already.
select a.signature, a.slot, a.amount, a.vault, a.first_seen_at from settlement.arrival a
 where a.user_id = $1 and a.state = 'arriving'
   and not exists (select from settlement.txn x where x.external_ref = a.reference)
 order by a.slot, a.reference limit $2;

-- name: of_provider
-- What arrives for an operator's bond, but for what the books have taken in already.
select a.signature, a.slot, a.amount, a.vault, a.first_seen_at from settlement.arrival a
 where a.provider_id = $1 and a.state = 'arriving'
   and not exists (select from settlement.txn x where x.external_ref = a.reference)
 order by a.slot, a.reference limit $2;
