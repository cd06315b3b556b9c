-- Steps of a bond that anybody may take on chain (crank), and every message made for one
-- (crank_attempt). The chain takes each once; a crank ends by what the indexer wrote, never by what
-- a sender says.
set local role pod_owner;

create table settlement.crank_transition (
  from_state text not null,
  to_state text not null,
  primary key (from_state, to_state)
);
-- The same table as settlement/cranks/states.py, which a test compares.
insert into settlement.crank_transition (from_state, to_state) values
  ('waiting', 'signed'),
  ('waiting', 'done'),
  ('waiting', 'overtaken'),
  ('signed', 'sent'),
  ('signed', 'waiting'),
  ('signed', 'done'),
  ('signed', 'overtaken'),
  ('sent', 'waiting'),
  ('sent', 'done'),
  ('sent', 'overtaken');

create table settlement.crank (
  crank_id uuid primary key,
  kind text not null check (kind in ('release', 'execute_seizure', 'lapse')),
  address text not null references settlement.bond,
  due_at timestamptz not null,                       -- chain time
  state text not null default 'waiting'
    check (state in ('waiting', 'signed', 'sent', 'done', 'overtaken')),
  opened_at timestamptz not null,
  put_off integer not null default 0 check (put_off >= 0),  -- how often it was not possible
  retry_at timestamptz,                              -- not looked at before
  problem text,                                      -- why it was put off last, for people
  outcome_reference text,                            -- what the indexer saw; only with `done`
  closed_at timestamptz,
  check ((state = 'done') = (outcome_reference is not null)),
  check ((state in ('done', 'overtaken')) = (closed_at is not null))
);
create unique index one_open_crank on settlement.crank (address)
  where state in ('waiting', 'signed', 'sent');
create index crank_of_bond on settlement.crank (address);

create table settlement.crank_attempt (
  crank_id uuid not null references settlement.crank,
  attempt integer not null check (attempt > 0),
  creates_account boolean not null,                  -- we pay the rent of a token account
  message bytea not null,                            -- what is to be signed, and nothing else
  last_valid_height bigint not null check (last_valid_height >= 0),
  built_at timestamptz not null,
  signature text unique,
  wire bytea,                                        -- the signed bytes; these and no others go out
  signed_at timestamptz,
  refusal text,                                      -- why the signer would not sign
  sends integer not null default 0 check (sends >= 0),
  first_sent_at timestamptz,                         -- written before the first send
  last_sent_at timestamptz,
  problem text,                                      -- what the node last answered, for people
  closed_at timestamptz,                             -- dead or decided: never sent again
  primary key (crank_id, attempt),
  check (num_nulls(signature, wire, signed_at) in (0, 3)),
  check (refusal is null or signature is null),
  check ((sends = 0) = (first_sent_at is null) and (sends = 0) = (last_sent_at is null)),
  check (sends = 0 or wire is not null)
);
create unique index one_open_crank_attempt on settlement.crank_attempt (crank_id)
  where closed_at is null;
create index crank_attempt_signed on settlement.crank_attempt (signed_at);

-- Whose clock runs: few of all bonds.
create index bond_cooling on settlement.bond (release_at) where state = 'retiring';
create index bond_in_seizure on settlement.bond (address)
  where seizure_state <> 'none' and state in ('posted', 'retiring');

-- What a crank is for stays as it was, states follow the table, and `done` is what the indexer saw.
create function settlement.keep_crank_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.crank_id, old.kind, old.address, old.due_at, old.opened_at) is distinct from
     (new.crank_id, new.kind, new.address, new.due_at, new.opened_at) then
    raise exception 'crank %: what it is for does not change', old.crank_id
      using errcode = 'PL010';
  end if;
  if old.state in ('done', 'overtaken') and new is distinct from old then
    raise exception 'crank % is over', old.crank_id using errcode = 'PL010';
  end if;
  if old.state <> new.state and not exists (
      select from settlement.crank_transition t
       where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'crank %: no way from % to %', old.crank_id, old.state, new.state
      using errcode = 'PL010';
  end if;
  if new.state = 'done' and not exists (
      select from settlement.bond_event e
       where e.external_ref = new.outcome_reference and e.address = new.address
         and e.event = case new.kind when 'release' then 'released'
                                     when 'execute_seizure' then 'seized' end
      union all
      select from settlement.seizure_step s
       where s.external_ref = new.outcome_reference and s.address = new.address
         and s.step = 'lapsed' and new.kind = 'lapse') then
    raise exception 'crank %: the indexer has not seen this', old.crank_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_crank before update on settlement.crank
  for each row execute function settlement.keep_crank_v1();

-- A message is signed once, and signed bytes are never replaced.
create function settlement.keep_crank_attempt_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.message, old.creates_account, old.last_valid_height) is distinct from
     (new.message, new.creates_account, new.last_valid_height)
     or (old.wire is not null and (old.wire, old.signature) is distinct from
                                  (new.wire, new.signature)) then
    raise exception 'attempt % of crank % does not change', old.attempt, old.crank_id
      using errcode = 'PL010';
  end if;
  if old.closed_at is not null and new is distinct from old then
    raise exception 'attempt % of crank % is over', old.attempt, old.crank_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_crank_attempt before update on settlement.crank_attempt
  for each row execute function settlement.keep_crank_attempt_v1();

create trigger nothing_lost before delete or truncate on settlement.crank
  for each statement execute function settlement.refuse_change_v1();
create trigger nothing_lost before delete or truncate on settlement.crank_attempt
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.crank, settlement.crank_attempt, settlement.crank_transition
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;

-- The worker opens, builds, sends and closes. It can write no signature, and nothing that the
-- indexer did not see.
grant insert (crank_id, kind, address, due_at, opened_at) on settlement.crank to pod_settlement;
grant update (state, put_off, retry_at, problem, outcome_reference, closed_at)
  on settlement.crank to pod_settlement;
grant insert (crank_id, attempt, creates_account, message, last_valid_height, built_at)
  on settlement.crank_attempt to pod_settlement;
grant update (sends, first_sent_at, last_sent_at, problem, closed_at)
  on settlement.crank_attempt to pod_settlement;

-- The signer signs what follows from the bond, which only the indexer writes.
grant select on settlement.bond to pod_signer;
grant update (state) on settlement.crank to pod_signer;
grant update (signature, wire, signed_at, refusal) on settlement.crank_attempt to pod_signer;

reset role;
