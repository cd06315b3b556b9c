-- Who asks for a payout (an operator or a user), what kind of account its destination is, when it
-- may go at the earliest, and who let it go. An approval is a row of its own, written by a person
-- of finance and by no service; a payout that needs two has them from two different names.
set local role pod_owner;

alter table settlement.payout
  alter column provider_id drop not null,
  add column user_id uuid,
  add column destination_kind text not null default 'wallet'
    check (destination_kind in ('wallet', 'token_account')),
  add column not_before timestamptz,                 -- it has no number before this moment
  add column delay_reason text,                      -- why, in words for its owner
  add column second_approval boolean not null default false,
  add column refused_by text check (refused_by <> ''),
  add constraint payout_has_one_owner check (num_nonnulls(provider_id, user_id) = 1),
  add constraint bonds_are_operators check (
    kind = 'pay' or (provider_id is not null and destination_kind = 'wallet')),
  add constraint a_delay_has_a_reason check ((not_before is null) = (delay_reason is null)),
  add constraint two_are_more_than_one check (needs_approval or not second_approval),
  add constraint only_the_cancelled_are_refused check (refused_by is null or state = 'cancelled'),
  add unique (user_id, idempotency_key);
create index payout_of_user on settlement.payout (user_id, requested_at) where user_id is not null;

create table settlement.payout_approval (
  payout_id uuid not null references settlement.payout,
  approved_by text not null
    check (approved_by = btrim(approved_by) and length(approved_by) between 1 and 100),
  approved_at timestamptz not null,
  login text not null default session_user,          -- as whom that person was in the database
  primary key (payout_id, approved_by)
);
-- Ada and ada are one person.
create unique index one_approval_each on settlement.payout_approval
  (payout_id, lower(approved_by));

-- What was promised stays as it was, states follow the table, and what awaits approval goes on only
-- when as many people have approved it as it needs.
create function settlement.keep_payout_v2() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.payout_id, old.kind, old.provider_id, old.user_id, old.account, old.amount,
      old.destination, old.destination_kind, old.code, old.reference, old.idempotency_key,
      old.requested_at, old.not_before, old.delay_reason, old.needs_approval, old.second_approval)
     is distinct from
     (new.payout_id, new.kind, new.provider_id, new.user_id, new.account, new.amount,
      new.destination, new.destination_kind, new.code, new.reference, new.idempotency_key,
      new.requested_at, new.not_before, new.delay_reason, new.needs_approval, new.second_approval)
  then
    raise exception 'payout %: what was asked for does not change', old.payout_id
      using errcode = 'PL010';
  end if;
  if old.state <> new.state and not exists (
      select from settlement.payout_transition t
       where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'payout %: no way from % to %', old.payout_id, old.state, new.state
      using errcode = 'PL010';
  end if;
  if old.state = 'awaiting_approval' and new.state = 'requested' and new.needs_approval
     and (select count(*) from settlement.payout_approval a where a.payout_id = new.payout_id)
         < 1 + new.second_approval::integer then
    raise exception 'payout %: not enough people have approved it', old.payout_id
      using errcode = 'PL010';
  end if;
  if new.sequence is distinct from old.sequence
     and not (old.state = 'requested' or new.state = 'requested') then
    raise exception 'payout %: its number does not change', old.payout_id using errcode = 'PL010';
  end if;
  if old.state in ('paid', 'skipped', 'cancelled') and new is distinct from old then
    raise exception 'payout % is over', old.payout_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
drop trigger keep_payout on settlement.payout;
drop function settlement.keep_payout_v1();
create trigger keep_payout before update on settlement.payout
  for each row execute function settlement.keep_payout_v2();
create trigger only_grows before update or delete or truncate on settlement.payout_approval
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.payout_approval
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;
grant insert (user_id, destination_kind, not_before, delay_reason, second_approval)
  on settlement.payout to pod_coordinator, pod_settlement;
-- People approve, by their own role; the worker that numbers and sends cannot.
revoke update (approved_at, approved_by) on settlement.payout from pod_settlement;
grant insert (payout_id, approved_by, approved_at) on settlement.payout_approval to pod_finance;
grant update (state, approved_at, approved_by) on settlement.payout to pod_finance;
grant update (refused_by) on settlement.payout to pod_settlement;

reset role;
