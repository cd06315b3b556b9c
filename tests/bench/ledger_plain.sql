-- The plain design, as most services keep their books: one call and one transaction for a request,
-- a balance row for each account, one journal row. It holds less than ours does: no hold, no hash
-- chain, no content compared on a replay. The row everybody shares, the treasury's, is locked last.
create schema plain;

create table plain.account (
  account_id bigint primary key,
  balance bigint not null,
  floored boolean not null,
  check (not floored or balance >= 0)
) with (fillfactor = 50);

create table plain.charge (
  request_id uuid primary key,
  user_account bigint not null,
  operator_account bigint not null,
  treasury_account bigint not null,
  gross bigint not null check (gross >= 0),
  operator_share bigint not null,
  treasury_share bigint not null,
  user_balance_after bigint not null,
  recorded_at timestamptz not null default clock_timestamp(),
  check (gross = operator_share + treasury_share)
);
-- What statements are read by; ours has the same two.
create index on plain.charge (user_account, recorded_at);
create index on plain.charge (operator_account, recorded_at);

create function plain.settle(p_request uuid, p_user bigint, p_operator bigint, p_treasury bigint,
                             p_gross bigint) returns text
language plpgsql as $$
declare
  v_share constant bigint := p_gross * 2000 / 10000;
  v_after bigint;
begin
  update plain.account set balance = balance - p_gross
   where account_id = p_user and balance >= p_gross returning balance into v_after;
  if not found then
    return 'insufficient';
  end if;
  insert into plain.charge (request_id, user_account, operator_account, treasury_account, gross,
    operator_share, treasury_share, user_balance_after)
  values (p_request, p_user, p_operator, p_treasury, p_gross, p_gross - v_share, v_share, v_after);
  update plain.account set balance = balance + p_gross - v_share where account_id = p_operator;
  update plain.account set balance = balance + v_share where account_id = p_treasury;
  return 'applied';
end
$$;
