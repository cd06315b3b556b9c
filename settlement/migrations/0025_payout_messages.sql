-- A message pays one payout or several: what is signed and sent is a row of its own, and an attempt
-- says which message a payout is in, and where.
set local role pod_owner;

create table settlement.payout_message (
  message_id bigint generated always as identity primary key,
  payer bytea not null check (octet_length(payer) = 32),  -- whose signature it needs
  members integer not null check (members > 0),
  message bytea not null,                            -- what is to be signed, and nothing else
  cost_lamports bigint not null check (cost_lamports >= 0),  -- fees and rents, at most
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
  rejected boolean not null default false,           -- its program said no, and would again
  confirmed_at timestamptz,                          -- seen, not final: shown, it completes nothing
  closed_at timestamptz,                             -- dead or decided: never sent again
  ended text check (ended in ('decided', 'expired', 'failed', 'refused', 'broken')),
  check (num_nulls(signature, wire, signed_at) in (0, 3)),
  check (refusal is null or signature is null),
  check ((sends = 0) = (first_sent_at is null) and (sends = 0) = (last_sent_at is null)),
  check (sends = 0 or wire is not null),
  check (confirmed_at is null or sends > 0),
  check ((closed_at is null) = (ended is null))
);
create index payout_message_open on settlement.payout_message (message_id)
  where closed_at is null;

-- What was there: each attempt had a message of its own, whose first key is its payer.
drop trigger keep_attempt on settlement.payout_attempt;
drop function settlement.keep_attempt_v1();
alter table settlement.payout_attempt
  add message_id bigint,
  add position integer not null default 0 check (position >= 0);
update settlement.payout_attempt a set message_id = n.message_id
  from (select payout_id, attempt, row_number() over (order by built_at, payout_id, attempt)
               as message_id from settlement.payout_attempt) n
 where (n.payout_id, n.attempt) = (a.payout_id, a.attempt);
insert into settlement.payout_message (
  message_id, payer, members, message, cost_lamports, last_valid_height, built_at, signature, wire,
  signed_at, refusal, sends, first_sent_at, last_sent_at, problem, closed_at, ended)
overriding system value
select a.message_id, substr(a.message, 5, 32), 1, a.message, 0, a.last_valid_height, a.built_at,
       a.signature, a.wire, a.signed_at, a.refusal, a.sends, a.first_sent_at, a.last_sent_at,
       a.problem, a.closed_at,
       case when a.closed_at is null then null
            when p.state in ('paid', 'skipped') and not exists (
              select from settlement.payout_attempt later
               where later.payout_id = a.payout_id and later.attempt > a.attempt) then 'decided'
            else 'expired' end
  from settlement.payout_attempt a join settlement.payout p using (payout_id);
select setval(pg_get_serial_sequence('settlement.payout_message', 'message_id'),
              coalesce((select max(message_id) from settlement.payout_message), 0) + 1, false);
alter table settlement.payout_attempt
  alter message_id set not null,
  alter position drop default,
  add foreign key (message_id) references settlement.payout_message,
  add unique (message_id, position),
  drop message,
  drop last_valid_height,
  drop built_at,
  drop signature,
  drop wire,
  drop signed_at,
  drop refusal,
  drop sends,
  drop first_sent_at,
  drop last_sent_at,
  drop problem;

-- A message is signed once, and signed bytes are never replaced.
create function settlement.keep_message_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.message_id, old.payer, old.members, old.message, old.cost_lamports,
      old.last_valid_height, old.built_at) is distinct from
     (new.message_id, new.payer, new.members, new.message, new.cost_lamports,
      new.last_valid_height, new.built_at)
     or (old.wire is not null and (old.wire, old.signature) is distinct from
                                  (new.wire, new.signature)) then
    raise exception 'message % does not change', old.message_id using errcode = 'PL010';
  end if;
  if old.closed_at is not null and new is distinct from old then
    raise exception 'message % is over', old.message_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_message before update on settlement.payout_message
  for each row execute function settlement.keep_message_v1();

create function settlement.keep_attempt_v2() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.payout_id, old.attempt, old.message_id, old.position, old.action, old.creates_account)
     is distinct from
     (new.payout_id, new.attempt, new.message_id, new.position, new.action, new.creates_account)
  then
    raise exception 'attempt % of payout % does not change', old.attempt, old.payout_id
      using errcode = 'PL010';
  end if;
  if old.closed_at is not null and new is distinct from old then
    raise exception 'attempt % of payout % is over', old.attempt, old.payout_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_attempt before update on settlement.payout_attempt
  for each row execute function settlement.keep_attempt_v2();
create trigger nothing_lost before delete or truncate on settlement.payout_message
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.payout_message
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;
-- The worker builds and sends; the signer alone writes a signature.
grant insert (payer, members, message, cost_lamports, last_valid_height, built_at),
  update (sends, first_sent_at, last_sent_at, problem, rejected, confirmed_at, closed_at, ended)
  on settlement.payout_message to pod_settlement;
grant insert (message_id, position) on settlement.payout_attempt to pod_settlement;
grant update (signature, wire, signed_at, refusal) on settlement.payout_message to pod_signer;
grant update (closed_at, ended) on settlement.payout_message to pod_indexer;

reset role;
