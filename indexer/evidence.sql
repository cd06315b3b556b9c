-- name: remember_whole
-- One provider's word about an address up to a slot, with nothing missing in it; a later word about
-- the same slot replaces it. What it had not listed before, it lists after all. Of its older proofs
-- those go that newer ones stand for: the newest that is so many slots older is kept, and what lies
-- between.
with listed as (
  update indexer.unlisted set listed_at = clock_timestamp()
   where cluster = $1 and address = $2 and provider = $3 and slot between $4 and $5
     and listed_at is null and decided_at is null
), forgotten as (
  delete from indexer.proof p
   where p.cluster = $1 and p.address = $2 and p.provider = $3
     and p.slot < (select max(q.slot) from indexer.proof q
                    where q.cluster = p.cluster and q.address = p.address
                      and q.provider = p.provider and q.slot <= $5 - $8::bigint)
)
insert into indexer.proof (cluster, address, provider, floor_slot, slot, signatures, digest)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (cluster, address, provider, slot) do update
   set floor_slot = excluded.floor_slot, signatures = excluded.signatures,
       digest = excluded.digest, proven_at = clock_timestamp();

-- name: proven
-- The highest slot that two proofs stand for: of two providers, or ($4) of one provider, so many
-- slots ($5) apart. A proof joins on to the frontier ($3) and lists all that is known of its slots.
with whole as (
  select p.provider, p.slot from indexer.proof p
   where p.cluster = $1 and p.address = $2 and p.floor_slot <= $3 + 1
     and p.signatures >= (
           select count(*) from indexer.mention m
            where m.cluster = p.cluster and m.address = p.address
              and m.slot between p.floor_slot and p.slot
              and not exists (select from indexer.unlisted u
                               where u.cluster = m.cluster and u.address = m.address
                                 and u.provider = p.provider and u.signature = m.signature
                                 and u.decided_at is not null)
              and not exists (select from settlement.hidden_signature h
                               where h.cluster = m.cluster and h.address = m.address
                                 and h.signature = m.signature))
)
select max(a.slot) from whole a join whole b
    on (a.provider <> b.provider and a.slot <= b.slot)
    or ($4::boolean and a.provider = b.provider and a.slot + $5::bigint <= b.slot);

-- name: excused
-- What this provider need not list of these slots: a person has decided so, or a rescan has found
-- it where listings did not show it.
select slot, signature from indexer.unlisted
 where cluster = $1 and address = $2 and provider = $3 and slot between $4 and $5
   and decided_at is not null
union
select slot, signature from settlement.hidden_signature
 where cluster = $1 and address = $2 and slot between $4 and $5;

-- name: remember_missing
-- What a provider does not list; since when stays, unless it had listed it after all.
insert into indexer.unlisted as known (cluster, address, provider, signature, slot, since_slot)
select $1, $2, $3, page.signature, page.slot, $4
  from unnest($5::bytea[], $6::bigint[]) as page (signature, slot)
on conflict (cluster, address, provider, signature) do update
   set since_slot = excluded.since_slot, listed_at = null
 where known.listed_at is not null and known.decided_at is null;

-- name: remember_listed
-- What a provider lists after all, of these slots: all that is not among the missing ones.
update indexer.unlisted set listed_at = clock_timestamp()
 where cluster = $1 and address = $2 and provider = $3 and slot between $4 and $5
   and listed_at is null and decided_at is null and signature <> all ($6::bytea[]);

-- name: missing_for_long
-- What a provider has not listed although it went on listing for so many slots.
select signature, slot, since_slot from indexer.unlisted
 where cluster = $1 and address = $2 and provider = $3
   and listed_at is null and decided_at is null and since_slot + $5::bigint <= $4;

-- name: count_unlisted
-- How many signatures the frontiers wait for because providers do not agree.
select count(distinct signature) from indexer.unlisted
 where cluster = $1 and listed_at is null and decided_at is null;

-- name: remember_provider
-- What a provider is like now.
insert into indexer.provider (cluster, provider, distrust, version, first_block, finalized_slot,
                              lag_slots, latency_ms, errors_per_mille, leads, demoted, problem)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (cluster, provider) do update
   set distrust = excluded.distrust, version = excluded.version,
       first_block = excluded.first_block, finalized_slot = excluded.finalized_slot,
       lag_slots = excluded.lag_slots, latency_ms = excluded.latency_ms,
       errors_per_mille = excluded.errors_per_mille, leads = excluded.leads,
       demoted = excluded.demoted, problem = excluded.problem, seen_at = clock_timestamp();

-- name: forget_providers
-- Those that are not in the settings any more.
delete from indexer.provider where cluster = $1 and provider <> all ($2::text[]);
