-- Several providers, none of which is trusted: who they are, what each one has proven about an
-- address, and which signatures one lists and another does not.
set local role pod_owner;

-- Whom we ask, what it was like when we last looked, and what it cannot be trusted with.
create table indexer.provider (
  cluster text not null references indexer.cluster,
  provider text not null,           -- its host or a short name, never its key
  distrust text[] not null,         -- in words for people; empty: nothing is known against it
  version text,
  first_block bigint,               -- where its history begins; null: it does not say
  finalized_slot bigint,
  lag_slots bigint not null check (lag_slots >= 0),
  latency_ms integer not null check (latency_ms >= 0),
  errors_per_mille integer not null check (errors_per_mille between 0 and 1000),
  leads boolean not null,
  demoted boolean not null,
  problem text,                     -- the newest one
  seen_at timestamptz not null default clock_timestamp(),
  primary key (cluster, provider)
);

-- One provider's word that it listed everything about an address from `floor_slot` to `slot`. The
-- digest is over what it listed, so that two providers' words can be compared afterwards. A proof
-- counts only while it has as many signatures as are known of these slots.
create table indexer.proof (
  cluster text not null,
  address text not null,
  provider text not null,
  floor_slot bigint not null check (floor_slot >= 0),
  slot bigint not null,
  signatures bigint not null check (signatures >= 0),
  digest bytea not null check (octet_length(digest) = 32),
  proven_at timestamptz not null default clock_timestamp(),
  primary key (cluster, address, provider, slot),
  foreign key (cluster, address) references indexer.watched,
  check (floor_slot <= slot)
);

-- A signature that one provider does not list for an address though another has listed it. The
-- frontier waits until the provider lists it, or a person has decided that it need not.
create table indexer.unlisted (
  cluster text not null,
  address text not null,
  provider text not null,
  signature bytea not null,
  slot bigint not null,
  since_slot bigint not null,       -- up to where it had listed when it was first missed
  missed_at timestamptz not null default clock_timestamp(),
  listed_at timestamptz,            -- since when it lists it after all
  decided_at timestamptz,
  decided_by text,
  primary key (cluster, address, provider, signature),
  foreign key (cluster, address, slot, signature) references indexer.mention,
  check ((decided_at is null) = (decided_by is null))
);

create trigger nothing_lost before delete or truncate on indexer.unlisted
  for each statement execute function settlement.refuse_change_v1();

grant select on indexer.provider, indexer.proof, indexer.unlisted
  to pod_indexer, pod_coordinator, pod_settlement, pod_finance;
grant insert on indexer.provider, indexer.proof, indexer.unlisted to pod_indexer;
grant update, delete on indexer.provider, indexer.proof to pod_indexer;
grant update (since_slot, listed_at) on indexer.unlisted to pod_indexer;
grant update (decided_at, decided_by) on indexer.unlisted to pod_finance;
-- Where two providers list one signature at two slots, the lower one counts.
grant update (slot) on indexer.signature to pod_indexer;

reset role;
