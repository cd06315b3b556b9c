-- What the indexer knows of the chain: which signatures mention our addresses, what each one was,
-- what moved, what it meant, and what is wrong. How far each address has been read stands in
-- settlement.frontier, where reconcile looks for it.
set local role pod_owner;

create schema indexer;
grant usage on schema indexer to pod_indexer, pod_coordinator, pod_settlement, pod_finance;

-- The chain and the deployment these rows are about. They never change under one name.
create table indexer.cluster (
  cluster text primary key,
  genesis_hash text not null,
  program_id text not null,
  mint text not null,
  first_seen_at timestamptz not null default clock_timestamp()
);

create table indexer.watched (
  cluster text not null references indexer.cluster,
  address text not null check (length(address) between 32 and 44),
  purpose text not null,
  watched_since timestamptz not null default clock_timestamp(),
  primary key (cluster, address)
);

-- Every finalized signature that mentions a watched address, failed ones too.
create table indexer.signature (
  cluster text not null references indexer.cluster,
  signature bytea not null check (octet_length(signature) = 64),
  slot bigint not null check (slot >= 0),
  place integer,                    -- order inside the slot, as far as a listing told it
  state text not null check (state in ('wanted', 'booked', 'failed', 'unreadable')),
  problem text,                     -- why it is unreadable
  discovered_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  primary key (cluster, signature),
  check ((state in ('booked', 'failed')) = (finished_at is not null)),
  check ((state = 'unreadable') = (problem is not null))
);
create index signature_open on indexer.signature (cluster, slot, place)
  where state in ('wanted', 'unreadable');

create table indexer.mention (
  cluster text not null,
  address text not null,
  slot bigint not null,
  signature bytea not null,
  primary key (cluster, address, slot, signature),
  foreign key (cluster, signature) references indexer.signature,
  foreign key (cluster, address) references indexer.watched
);
create index mention_of_signature on indexer.mention (cluster, signature);

-- What the node answered, so that a later decoder can read it again without asking.
create table indexer.raw_transaction (
  cluster text not null,
  signature bytea not null,
  decoder_version integer not null check (decoder_version > 0),
  answer bytea not null,            -- JSON, compressed with zlib
  primary key (cluster, signature),
  foreign key (cluster, signature) references indexer.signature
);

-- Tokens that entered or left a vault of ours. A movement never changes, whatever it comes to mean.
create table indexer.movement (
  cluster text not null,
  signature bytea not null,
  outer_index integer not null check (outer_index >= -1),
  inner_index integer not null check (inner_index >= -1),
  sub_index integer not null check (sub_index >= 0),
  slot bigint not null,
  kind text not null check (kind in ('transfer', 'mint', 'burn', 'unexplained')),
  from_vault text check (from_vault in ('till', 'bond')),
  to_vault text check (to_vault in ('till', 'bond')),
  source text,
  destination text,
  amount numeric(20, 0) not null check (amount > 0),
  primary key (cluster, signature, outer_index, inner_index, sub_index),
  foreign key (cluster, signature) references indexer.signature,
  check (num_nonnulls(from_vault, to_vault) > 0),
  check (from_vault is distinct from to_vault)
);
create index movement_by_slot on indexer.movement (cluster, slot);

-- What a movement or an instruction meant, and whether the books took it as that.
create table indexer.event (
  cluster text not null,
  signature bytea not null,
  outer_index integer not null,
  inner_index integer not null,
  sub_index integer not null,
  kind text not null,
  booked_as text not null check (booked_as in ('itself', 'unexplained', 'nothing')),
  facts jsonb not null,
  event_at timestamptz,             -- the block's time; null for events read before this column
  primary key (cluster, signature, outer_index, inner_index, sub_index),
  foreign key (cluster, signature) references indexer.signature
);
create index event_by_kind on indexer.event (cluster, kind);

-- What a person has to look at. Closed by a person, never by the indexer.
create table indexer.incident (
  incident_id bigint generated always as identity primary key,
  cluster text not null references indexer.cluster,
  kind text not null,
  reference text not null,          -- the movement, signature or address it is about
  detail text not null,
  opened_at timestamptz not null default clock_timestamp(),
  closed_at timestamptz,
  closed_by text,
  unique (cluster, kind, reference),
  check ((closed_at is null) = (closed_by is null))
);

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

do $$
declare
  v_table text;
begin
  foreach v_table in array array['cluster', 'watched', 'mention', 'movement', 'event'] loop
    execute format('create trigger only_grows before update or delete or truncate on indexer.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  foreach v_table in array array['signature', 'raw_transaction', 'incident', 'unlisted'] loop
    execute format('create trigger nothing_lost before delete or truncate on indexer.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
end
$$;

grant select on all tables in schema indexer
  to pod_indexer, pod_coordinator, pod_settlement, pod_finance;
grant insert on all tables in schema indexer to pod_indexer;
grant update (slot, place, state, problem, finished_at) on indexer.signature to pod_indexer;
grant update, delete on indexer.provider, indexer.proof to pod_indexer;
grant update (since_slot, listed_at) on indexer.unlisted to pod_indexer;
grant update (decided_at, decided_by) on indexer.unlisted to pod_finance;
grant update (closed_at, closed_by) on indexer.incident to pod_finance;

-- 0004_stops_close_their_incidents ---------------------------------------------------------------

-- A stop of crediting that ends by itself ends its incident, too; the indexer may close no other.
create function indexer.close_stop_incident_v1(p_stop bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  update indexer.incident i set closed_at = s.lifted_at, closed_by = s.lifted_by
    from settlement.crediting_stop s
   where s.stop_id = p_stop and s.lifted_at is not null and i.cluster = s.cluster
     and i.kind = 'the balance is not the sum of the movements'
     and i.reference = format('%s stop %s', s.address, s.stop_id) and i.closed_at is null
$$;
grant execute on function indexer.close_stop_incident_v1(bigint) to pod_indexer, pod_finance;

reset role;
