-- What else the program can do to a bond: take steps towards its seizure, carry it out, stop its
-- cooldown, hand it over.
set local role pod_owner;

-- A bond's address is made of its code and its first beneficiary; it stays when another one comes.
alter table settlement.bond add column first_beneficiary text;
update settlement.bond set first_beneficiary = beneficiary;
alter table settlement.bond alter column first_beneficiary set not null;

-- The open seizure, as the newest step on chain left it. What a step not read yet tells is null.
alter table settlement.bond
  add column seizure_state text not null default 'none'
    check (seizure_state in ('none', 'proposed', 'contested', 'upheld')),
  add column seizure_proposed_at timestamptz,
  add column seizure_evidence bytea check (octet_length(seizure_evidence) = 32),
  add column seizure_reason integer,
  add column seizure_reply bytea check (octet_length(seizure_reply) = 32),
  add column seizure_execute_after timestamptz,
  add column seizure_decide_by timestamptz,
  add column seizure_dies_at timestamptz;

-- Every step of every seizure. The address is no reference: a step may be read before its bond.
create table settlement.seizure_step (
  step_id bigint generated always as identity primary key,
  external_ref text not null unique,                -- the movement or instruction that said so
  address text not null,
  step text not null check (step in ('proposed', 'withdrawn', 'contested', 'upheld', 'dismissed',
                                     'lapsed', 'executed')),
  signer text,                                      -- null where nobody needs to sign
  evidence bytea check (octet_length(evidence) = 32),
  reason integer,
  reply bytea check (octet_length(reply) = 32),
  execute_after timestamptz,
  decide_by timestamptz,
  dies_at timestamptz,
  slot bigint not null,
  event_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  check (num_nulls(execute_after, decide_by, dies_at) in (0, 3))
);
create index seizure_step_of_bond on settlement.seizure_step (address, slot, step_id);

create trigger only_grows before update or delete or truncate on settlement.seizure_step
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.seizure_step
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert on settlement.seizure_step to pod_indexer;
grant update (provider_id, beneficiary, seizure_state, seizure_proposed_at, seizure_evidence,
              seizure_reason, seizure_reply, seizure_execute_after, seizure_decide_by,
              seizure_dies_at) on settlement.bond to pod_indexer;

reset role;
