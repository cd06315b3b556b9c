-- What the signer has let through, for its rates: see ADR 0034. Only the signer writes here.
set local role pod_owner;

create table settlement.signed_payment (
  payout_id uuid primary key references settlement.payout,
  amount bigint not null check (amount > 0),
  signed_at timestamptz not null,                    -- when it was first let through
  opened_at timestamptz                              -- and when together with opening an account
);
create index signed_payment_lately on settlement.signed_payment (signed_at);
create index signed_payment_openings on settlement.signed_payment (opened_at)
  where opened_at is not null;

-- What was counted stays counted.
create function settlement.keep_signed_payment_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.payout_id, old.amount, old.signed_at) is distinct from
     (new.payout_id, new.amount, new.signed_at)
     or (old.opened_at is not null and old.opened_at is distinct from new.opened_at) then
    raise exception 'payout % was counted: that does not change', old.payout_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_signed_payment before update on settlement.signed_payment
  for each row execute function settlement.keep_signed_payment_v1();
create trigger nothing_lost before delete or truncate on settlement.signed_payment
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.signed_payment to pod_signer, pod_settlement, pod_finance;
grant insert, update (opened_at) on settlement.signed_payment to pod_signer;

reset role;
