-- The books. Journal rows (charge, txn, transfer, hold_event, batch) are only ever added; balance
-- and hold are projections of them that settlement.apply_v1 alone moves. Amounts are microunits.
set local role pod_owner;

-- What accounts there are: the same chart as settlement/ledger/accounts.py, which a test compares.
create table settlement.account_kind (
  kind text primary key,
  pattern text not null,                            -- what a name of this kind looks like
  side text not null check (side in ('asset', 'liability', 'equity', 'revenue', 'expense')),
  asset text not null check (asset in ('USDC', 'SOL')),
  floored boolean not null,                         -- credits - debits - holds stays >= 0
  parent text,                                      -- reports add children up under this name
  gl_code text not null
);
insert into settlement.account_kind (kind, pattern, side, asset, floored, parent, gl_code) values
  ('chain_vault', '^chain:(till|bond)$', 'asset', 'USDC', false, null, '1010'),
  ('unexplained_out', '^unexplained-out$', 'asset', 'USDC', false, null, '1090'),
  ('bad_debt', '^bad-debt$', 'expense', 'USDC', false, null, '5090'),
  ('user', '^user:[0-9a-f-]{36}$', 'liability', 'USDC', true, null, '2010'),
  ('host', '^host:[0-9a-f-]{36}$', 'liability', 'USDC', true, null, '2020'),
  ('bond', '^bond:[0-9a-f-]{36}$', 'liability', 'USDC', true, null, '2030'),
  ('bond_pending', '^bond-pending:[0-9a-f-]{36}$', 'liability', 'USDC', true, null, '2040'),
  ('bond_unenrolled', '^bond-unenrolled:[1-9A-HJ-NP-Za-km-z]{32,44}$', 'liability', 'USDC', true,
   null, '2050'),
  ('suspense', '^suspense$', 'liability', 'USDC', true, null, '2060'),
  ('quarantine', '^quarantine$', 'liability', 'USDC', true, null, '2070'),
  ('refund_pool', '^refund-pool$', 'liability', 'USDC', true, null, '2080'),
  ('treasury', '^treasury$', 'revenue', 'USDC', false, null, '4010'),
  ('treasury_child', '^treasury:[a-z][a-z0-9_-]*$', 'revenue', 'USDC', false, 'treasury', '4010');

create table settlement.account (
  account_id bigint generated always as identity primary key,
  name text not null unique,
  kind text not null references settlement.account_kind,
  asset text not null,
  floored boolean not null,
  opened_at timestamptz not null default clock_timestamp(),
  closed_at timestamptz
);

-- The only table that is updated on every request: no second index, so each update can be HOT.
create table settlement.balance (
  account_id bigint primary key references settlement.account,
  dr bigint not null default 0 check (dr >= 0),
  cr bigint not null default 0 check (cr >= 0),
  held bigint not null default 0 check (held >= 0),
  version bigint not null default 0 check (version >= 0),      -- how many entries it has
  floored boolean not null,
  constraint no_overdraft check (not floored or cr - dr - held >= 0)
) with (fillfactor = 50);

-- A posting process. A new life of it raises the epoch, which fences all older ones.
create table settlement.writer (
  writer_id integer generated always as identity primary key,
  name text not null unique,
  epoch integer not null,
  head_seq bigint not null default 0,
  head_hash bytea not null,
  treasury_account bigint not null references settlement.account
);

-- One row per commit of a writer: hash = sha256(header, hash of the one before, Merkle root).
create table settlement.batch (
  writer_id integer not null references settlement.writer,
  seq bigint not null check (seq > 0),
  epoch integer not null,
  n integer not null check (n > 0),
  root bytea not null,
  prev_hash bytea not null,
  hash bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (writer_id, seq),
  unique (writer_id, prev_hash)
);

create table settlement.hold (
  hold_id uuid primary key,
  account_id bigint not null references settlement.account,
  amount bigint not null check (amount > 0),
  purpose text not null check (purpose in ('request', 'payout')),
  writer_id integer not null references settlement.writer,
  epoch integer not null,
  state text not null default 'open' check (state in ('open', 'captured', 'voided')),
  captured bigint not null default 0 check (captured >= 0),
  released bigint not null default 0 check (released >= 0),
  check (case state when 'open' then captured = 0 and released = 0
         when 'voided' then captured = 0 and released = amount
         else captured + released = amount end)
);
create index hold_open on settlement.hold (writer_id, purpose) where state = 'open';

create table settlement.hold_event (
  hold_id uuid not null references settlement.hold,
  event text not null check (event in ('placed', 'voided')),
  reason text,
  available_after bigint not null,
  writer_id integer not null,
  epoch integer not null,
  batch_seq bigint not null,
  ord integer not null,
  recorded_at timestamptz not null,
  check ((event = 'voided') = (reason is not null)),
  primary key (hold_id, event),
  unique (writer_id, batch_seq, ord)
);

-- The hot journal: one row for a settled request, two linked transfers folded into one. No foreign
-- keys on purpose: each would cost a lookup and a lock per row, and apply_v1 joins the accounts.
create table settlement.charge (
  request_id uuid primary key,                                 -- also the id of its hold
  user_account bigint not null,
  operator_account bigint not null,
  treasury_account bigint not null,
  gross bigint not null check (gross >= 0),
  operator_share bigint not null check (operator_share >= 0),
  treasury_share bigint not null check (treasury_share >= 0),
  split_bps integer not null check (split_bps between 0 and 10000),
  user_entry bigint not null,
  operator_entry bigint not null,
  treasury_entry bigint not null,
  user_balance_after bigint not null,
  user_available_after bigint not null check (user_available_after >= 0),
  writer_id integer not null,
  epoch integer not null,
  batch_seq bigint not null,
  ord integer not null,
  recorded_at timestamptz not null,
  constraint gross_is_shared check (gross = operator_share + treasury_share),
  constraint treasury_share_is_floored
    check (treasury_share = div(gross::numeric * split_bps, 10000)),
  check (user_account <> operator_account and operator_account <> treasury_account),
  unique (writer_id, batch_seq, ord),
  unique (user_account, user_entry),
  unique (operator_account, operator_entry)
);

-- Everything else that moves money, one row per business event and one per transfer.
create table settlement.txn (
  txn_id uuid primary key,
  kind text not null,
  slot bigint check (slot >= 0),
  event_at timestamptz not null,
  recorded_at timestamptz not null,
  effective_on date not null,
  external_ref text unique,
  reverses uuid unique references settlement.txn,
  hold_id uuid unique references settlement.hold,             -- the hold that it captured
  hold_captured bigint check (hold_captured > 0),
  available_after bigint,                                     -- of the hold's account
  actor text not null,
  reason text,
  meta jsonb not null,
  content_sha256 bytea not null,
  writer_id integer not null,
  epoch integer not null,
  batch_seq bigint not null,
  ord integer not null,
  check (num_nulls(hold_id, hold_captured, available_after) in (0, 3)),
  check (reverses <> txn_id),
  unique (writer_id, batch_seq, ord)
);

create table settlement.transfer (
  txn_id uuid not null references settlement.txn,
  leg integer not null,
  debit bigint not null references settlement.account,
  credit bigint not null references settlement.account,
  amount bigint not null check (amount > 0),
  debit_entry bigint not null,
  credit_entry bigint not null,
  check (debit <> credit),
  primary key (txn_id, leg),
  unique (debit, debit_entry),
  unique (credit, credit_entry)
);

-- History is not changed, by nobody, whatever was granted.
create function settlement.refuse_change_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '% on %.% is refused: the books only grow', tg_op, tg_table_schema,
    tg_table_name using errcode = 'PL003';
end
$$;
do $$
declare
  v_table text;
begin
  foreach v_table in array array['charge', 'txn', 'transfer', 'hold_event', 'batch'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  foreach v_table in array array['account_kind', 'account', 'balance', 'hold', 'writer'] loop
    execute format('create trigger nothing_lost before delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
end
$$;

-- Every movement, one row per account it touched, numbered per account.
create view settlement.entry as
  select t.debit as account_id, t.debit_entry as entry, t.amount as dr, 0::bigint as cr,
         x.kind, x.txn_id as cause_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select t.credit, t.credit_entry, 0::bigint, t.amount,
         x.kind, x.txn_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select user_account, user_entry, gross, 0::bigint, 'charge', request_id, null, null::bigint,
         recorded_at, recorded_at, writer_id, batch_seq, ord from settlement.charge
  union all
  select operator_account, operator_entry, 0::bigint, operator_share, 'charge', request_id, null,
         null::bigint, recorded_at, recorded_at, writer_id, batch_seq, ord from settlement.charge
  union all
  select treasury_account, treasury_entry, 0::bigint, treasury_share, 'charge', request_id, null,
         null::bigint, recorded_at, recorded_at, writer_id, batch_seq, ord from settlement.charge;

-- What was set aside and given back or spent, one row each.
create view settlement.hold_flow as
  select h.account_id, h.hold_id, case e.event when 'placed' then h.amount else -h.amount end
         as held, e.writer_id, e.batch_seq, e.ord
    from settlement.hold_event e join settlement.hold h using (hold_id)
  union all
  select h.account_id, h.hold_id, -h.amount, c.writer_id, c.batch_seq, c.ord
    from settlement.charge c join settlement.hold h on h.hold_id = c.request_id
  union all
  select h.account_id, h.hold_id, -h.amount, x.writer_id, x.batch_seq, x.ord
    from settlement.txn x join settlement.hold h using (hold_id);

-- What one row contributes to its batch's hash: all that stands in it, in a fixed order.
create function settlement.leaf_v1(p_text text) returns bytea
language sql stable as $$ select sha256('\x00'::bytea || convert_to(p_text, 'UTF8')) $$;

create function settlement.batch_leaves_v1(p_writer integer, p_seq bigint)
returns table (ord integer, leaf bytea)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  select c.ord, settlement.leaf_v1(concat_ws('|', 'charge/1', c.request_id, c.user_account,
    c.operator_account, c.treasury_account, c.gross, c.operator_share, c.treasury_share,
    c.split_bps, c.user_entry, c.operator_entry, c.treasury_entry, c.user_balance_after,
    c.user_available_after, c.writer_id, c.epoch, c.batch_seq, c.ord,
    extract(epoch from c.recorded_at)))
    from settlement.charge c where c.writer_id = p_writer and c.batch_seq = p_seq
  union all
  select e.ord, settlement.leaf_v1(concat_ws('|', 'hold/1', e.hold_id, e.event, h.account_id,
    h.amount, h.purpose, coalesce(to_json(e.reason)::text, '-'), e.available_after, e.writer_id,
    e.epoch, e.batch_seq, e.ord, extract(epoch from e.recorded_at)))
    from settlement.hold_event e join settlement.hold h using (hold_id)
   where e.writer_id = p_writer and e.batch_seq = p_seq
  union all
  select x.ord, settlement.leaf_v1(jsonb_build_array('txn/1', x.txn_id, x.kind, x.slot,
    extract(epoch from x.event_at), extract(epoch from x.recorded_at), x.effective_on,
    x.external_ref, x.reverses, x.hold_id, x.hold_captured, x.available_after, x.actor, x.reason,
    x.meta, encode(x.content_sha256, 'hex'), x.writer_id, x.epoch, x.batch_seq, x.ord,
    (select jsonb_agg(jsonb_build_array(t.debit, t.credit, t.amount, t.debit_entry, t.credit_entry)
                      order by t.leg)
       from settlement.transfer t where t.txn_id = x.txn_id))::text)
    from settlement.txn x where x.writer_id = p_writer and x.batch_seq = p_seq;
end
$$;

-- The Merkle root of RFC 6962: neighbours are paired, an odd last one moves up unchanged.
create function settlement.merkle_root_v1(p_leaves bytea[]) returns bytea
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  v_level bytea[] := p_leaves;
begin
  while cardinality(v_level) > 1 loop
    select array_agg(case when n < cardinality(v_level)
                          then sha256('\x01'::bytea || v_level[n] || v_level[n + 1])
                          else v_level[n] end order by n)
      into v_level from generate_series(1, cardinality(v_level), 2) as n;
  end loop;
  return v_level[1];
end
$$;

create function settlement.batch_hash_v1(
  p_writer integer, p_epoch integer, p_seq bigint, p_n integer, p_prev bytea, p_root bytea)
returns bytea language sql stable as $$
  select sha256(convert_to(concat_ws('|', 'batch/1', p_writer, p_epoch, p_seq, p_n), 'UTF8')
                || p_prev || p_root)
$$;

-- Opens the account of this name if there is none; what it may do follows from its kind.
create function settlement.open_account_v1(p_name text, p_kind text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_id bigint;
begin
  insert into settlement.account (name, kind, asset, floored)
  select p_name, k.kind, k.asset, k.floored from settlement.account_kind k
   where k.kind = p_kind and p_name ~ k.pattern
  on conflict (name) do nothing returning account_id into v_id;
  if v_id is not null then
    insert into settlement.balance (account_id, floored)
    select account_id, floored from settlement.account where account_id = v_id;
    return v_id;
  end if;
  select account_id into v_id from settlement.account where name = p_name and kind = p_kind;
  if v_id is null then
    raise exception 'no account of kind % is called %', p_kind, p_name using errcode = 'PL005';
  end if;
  return v_id;
end
$$;

-- A new life of the writer of this name: older lives are fenced from here on.
create function settlement.open_writer_v1(p_name text)
returns table (writer_id integer, epoch integer, treasury text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_treasury constant text := 'treasury:' || p_name;
  v_account constant bigint := settlement.open_account_v1(v_treasury, 'treasury_child');
begin
  return query
    insert into settlement.writer as x (name, epoch, head_hash, treasury_account)
    values (p_name, 1, sha256(convert_to('writer/1|' || p_name, 'UTF8')), v_account)
    on conflict (name) do update set epoch = x.epoch + 1
    returning x.writer_id, x.epoch, v_treasury;
end
$$;
grant execute on function settlement.open_account_v1(text, text), settlement.open_writer_v1(text)
  to pod_coordinator, pod_indexer, pod_settlement;

-- Accounts there is one of.
select settlement.open_account_v1(name, kind) from (values
  ('chain:till', 'chain_vault'), ('chain:bond', 'chain_vault'),
  ('unexplained-out', 'unexplained_out'), ('bad-debt', 'bad_debt'), ('suspense', 'suspense'),
  ('quarantine', 'quarantine'), ('refund-pool', 'refund_pool'), ('treasury', 'treasury')
) as x (name, kind);

-- Everybody of ours reads the books; nobody but the functions above writes them.
grant select on all tables in schema settlement
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

reset role;
