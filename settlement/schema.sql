-- The whole truth about settlement's tables and functions, readable top to bottom; the numbered
-- migrations lead to the same (a test compares). Roles come first: migrations/0001_roles.sql.
-- Amounts are microunits. Each part is called by the migration it is made by.
set local role pod_owner;

-- 0002_ledger -------------------------------------------------------------------------------

-- The books. Journal rows (charge, txn, transfer, hold_event, batch) are only ever added; balance
-- and hold are projections of them that settlement.apply_v1 alone moves. Amounts are microunits.
-- What accounts there are: the same chart as settlement/ledger/accounts.py, which a test compares.
create table settlement.account_kind (
  kind text primary key,
  pattern text not null,                            -- what a name of this kind looks like
  side text not null check (side in ('asset', 'liability', 'equity', 'revenue', 'expense')),
  asset text not null check (asset in ('USDC', 'SOL')),
  floored boolean not null,                         -- credits - debits - holds stays >= 0
  -- Reports add an account up under regexp_replace(name, pattern, parent).
  parent text,
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
  ('treasury_child', '^treasury:[a-z][a-z0-9_-]*$', 'revenue', 'USDC', false, 'treasury', '4010'),
  ('recovery', '^recovery$', 'revenue', 'USDC', false, null, '4090'),
  ('upstream', '^upstream:[a-z][a-z0-9_-]*$', 'liability', 'USDC', false, null, '2090'),
  ('upstream_cost', '^cost:upstream:[a-z][a-z0-9_-]*$', 'expense', 'USDC', false, null, '5010'),
  ('upstream_cost_child', '^(cost:upstream:[a-z][a-z0-9_-]*):[a-z][a-z0-9_-]*$', 'expense', 'USDC',
   false, '\1', '5010'),
  ('external', '^external:[a-z][a-z0-9_-]*$', 'asset', 'USDC', false, null, '1110'),
  ('receivable_card', '^receivable:card$', 'asset', 'USDC', false, null, '1120'),
  ('card_fees', '^fees:card$', 'expense', 'USDC', false, null, '5130'),
  ('drawings', '^drawings$', 'equity', 'USDC', false, null, '3010'),
  ('chain_sol', '^chain:sol:[1-9A-HJ-NP-Za-km-z]{32,44}$', 'asset', 'SOL', false, null, '1020'),
  ('funding_sol', '^funding:sol$', 'equity', 'SOL', false, null, '3020'),
  ('rent', '^rent$', 'expense', 'SOL', false, null, '5110'),
  ('network_fees', '^fees:network$', 'expense', 'SOL', false, null, '5120');

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
  account_id bigint primary key,
  dr bigint not null default 0,
  cr bigint not null default 0,
  held bigint not null default 0,
  version bigint not null default 0,                           -- how many entries it has
  floored boolean not null,
  earns boolean not null,                           -- requests may be paid to it: a host's
  constraint no_overdraft check (not floored or cr - dr - held >= 0),
  constraint nothing_is_negative check (least(dr, cr, held, version) >= 0)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, fillfactor = 20);

-- What a deployment's books are after a restore: a new era, in which every writer begins a chain of
-- its own, so that two histories that parted at the restore are never taken for one.
create table settlement.era (
  era integer primary key check (era > 0),
  begun_at timestamptz not null default clock_timestamp(),
  actor text not null,
  reason text not null
);
insert into settlement.era (era, actor, reason) values (1, 'migration', 'the first');

-- A posting process. A new life of it raises the epoch, which fences all older ones.
create table settlement.writer (
  writer_id integer generated always as identity primary key,
  name text not null,
  epoch integer not null,
  head_seq bigint not null default 0,
  head_hash bytea not null,
  treasury_account bigint not null references settlement.account,
  role text,                                        -- who may use it: who opened it first
  era integer not null default 1 references settlement.era,
  head_rows bigint not null default 0,              -- how many rows its batches have together
  leases_until timestamptz,                         -- it is known to be alive up to then
  unique (name, era)
) with (fillfactor = 50);

-- One row per commit of a writer: hash = sha256(header, hash of the one before, root of its rows).
create table settlement.batch (
  writer_id integer not null,
  seq bigint not null check (seq > 0),
  epoch integer not null,
  n integer not null check (n > 0),
  root bytea not null,
  prev_hash bytea not null,
  hash bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  rows_before bigint not null,                      -- of the same writer
  primary key (writer_id, seq),
  unique (writer_id, prev_hash)
);

-- A lease is a hold for many requests of a user; it is spent in parts, and it alone expires.
create table settlement.hold (
  hold_id uuid primary key,
  account_id bigint not null,
  amount bigint not null check (amount > 0),
  purpose text not null check (purpose in ('request', 'lease', 'payout')),
  writer_id integer not null,
  epoch integer not null,
  state text not null default 'open' check (state in ('open', 'captured', 'voided')),
  captured bigint not null default 0,
  released bigint not null default 0,
  expires_at timestamptz,
  constraint only_leases_expire check ((purpose = 'lease') = (expires_at is not null)),
  constraint hold_adds_up check (captured + released <= amount
    and least(captured, released) >= 0 and
    case state when 'open' then released = 0 and (captured = 0 or purpose = 'lease')
         when 'voided' then captured = 0 and released = amount
         else captured + released = amount end)
) with (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 50);
create index hold_open on settlement.hold (writer_id, purpose) where state = 'open';
create index hold_expiring on settlement.hold (expires_at)
  where state = 'open' and purpose = 'lease';

create table settlement.hold_event (
  hold_id uuid not null,
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
-- keys on purpose: each would cost a lookup and a lock per row, and the functions that write it look
-- the accounts up. When it was recorded stands in its batch. Kept in a partition for each day of its
-- id, which says when the request was admitted: unique indexes other than the key are the
-- partition's own, so what they promise holds within a day (and across days by the balance's lock).
create table settlement.charge (
  request_id uuid not null,
  hold_id uuid not null,                            -- what it was captured from; nil: nothing
  user_account bigint not null,
  operator_account bigint not null,
  gross bigint not null,
  operator_share bigint not null,
  treasury_share bigint not null,
  user_entry bigint not null,
  operator_entry bigint not null,
  treasury_entry bigint not null,                   -- of its writer's treasury account
  user_balance_after bigint not null,
  batch_seq bigint not null,
  writer_id integer not null,
  ord integer not null,
  split_bps integer not null check (split_bps between 0 and 10000),
  constraint gross_is_shared check (gross = operator_share + treasury_share
    and least(operator_share, treasury_share) >= 0),
  -- The floor of gross * split_bps / 10000, without passing what a bigint holds.
  constraint treasury_share_is_floored check (treasury_share =
    gross / 10000 * split_bps + gross % 10000 * split_bps / 10000),
  constraint three_accounts check (user_account <> operator_account),
  primary key (request_id)
) partition by range (request_id);

-- How much of a paid request went back to its user, all refunds together: never more than was paid.
create table settlement.refund (
  request_id uuid primary key,
  user_account bigint not null references settlement.account,
  gross bigint not null,
  refunded bigint not null check (refunded > 0),
  constraint refunds_stay_within_gross check (refunded <= gross)
);

-- Which request a client's attempt is: whoever sends the same again is told the first one's id.
create table settlement.request_name (
  user_id uuid not null,
  fingerprint bytea not null check (octet_length(fingerprint) = 32),
  request_id uuid not null unique,
  named_at timestamptz not null default clock_timestamp(),
  primary key (user_id, fingerprint)
);

-- Which days have a partition, and what became of those that have not any more.
create table settlement.charge_day (
  day date primary key,
  partition text not null unique,
  state text not null default 'attached' check (state in ('attached', 'archived')),
  archived_at timestamptz,
  archive jsonb,                                    -- what the archive's manifest says
  check ((state = 'archived') = (archived_at is not null)),
  check ((archived_at is null) = (archive is null))
);

-- Ids that may be settled: not below what is kept at hand, not above what has a partition.
create table settlement.charge_window (
  singleton boolean primary key default true check (singleton),
  low uuid not null,
  high uuid not null,
  check (low <= high)
);

-- The smallest version-7 id of a moment (RFC 9562: 48 bits of milliseconds come first).
create function settlement.uuid_floor_v1(p_at timestamptz) returns uuid
language sql immutable as $$
  select (lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0')
          || '00000000000000000000')::uuid
$$;

-- Makes the partition of a day (in UTC) if there is none. Not for callers: see the next function.
-- It is made beside the journal and then attached, which waits for nobody who reads or settles.
create function settlement.make_charge_day_v1(p_day date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_name constant text := 'charge_' || to_char(p_day, 'YYYYMMDD');
  v_index text;
begin
  insert into settlement.charge_day (day, partition) values (p_day, v_name) on conflict do nothing;
  if not found then
    return;
  end if;
  -- Analysed and frozen early: on empty statistics plans are made for a table that is not there.
  execute format('create table settlement.%I (like settlement.charge including all)
    with (autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.2)', v_name);
  foreach v_index in array array['writer_id, batch_seq, ord', 'user_account, user_entry',
                                 'operator_account, operator_entry'] loop
    execute format('create unique index on settlement.%I (%s)', v_name, v_index);
  end loop;
  execute format('create trigger only_grows before update or delete or truncate on settlement.%I
    for each statement execute function settlement.refuse_change_v1()', v_name);
  execute format('grant select on settlement.%I to pod_coordinator, pod_indexer, pod_settlement,
    pod_finance', v_name);
  execute format('alter table settlement.charge attach partition settlement.%I
    for values from (%L) to (%L)', v_name,
    settlement.uuid_floor_v1(p_day::timestamp at time zone 'utc'),
    settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc'));
end
$$;

-- Makes partitions up to so many days ahead, and lets ids of those days be settled. Returns how many
-- it made. Called by whoever opens a writer and, day by day, by the settlement worker.
create function settlement.ensure_charge_days_v1(p_days_ahead integer default 3) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  v_today constant date := current_date;
  v_before bigint;
begin
  if p_days_ahead is null or p_days_ahead not between 1 and 31 then
    raise exception 'between 1 and 31 days ahead, not %', p_days_ahead using errcode = 'PL012';
  end if;
  if (select max(day) from settlement.charge_day) >= v_today + p_days_ahead then
    return 0;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('podledger:charge-days', 0));
  select count(*) into v_before from settlement.charge_day;
  -- From the day after the last one there is: a gap would refuse a day's ids.
  perform settlement.make_charge_day_v1(day::date)
     from generate_series(coalesce((select max(day) + 1 from settlement.charge_day), v_today - 1),
                          v_today + p_days_ahead, interval '1 day') as day;
  insert into settlement.charge_window as x (low, high)
  select settlement.uuid_floor_v1(min(day)::timestamp at time zone 'utc'),
         settlement.uuid_floor_v1((max(day) + 1)::timestamp at time zone 'utc')
    from settlement.charge_day where state = 'attached'
  on conflict (singleton) do update set high = excluded.high;
  return (select count(*) from settlement.charge_day) - v_before;
end
$$;
grant insert (user_id, fingerprint, request_id) on settlement.request_name to pod_coordinator;
grant execute on function settlement.ensure_charge_days_v1(integer)
  to pod_coordinator, pod_indexer, pod_settlement;

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
  hold_id uuid,                                     -- the hold that it captured, or a part of it
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
  refunds uuid,                                     -- the request that it pays back, or a part
  check (num_nulls(hold_id, hold_captured, available_after) in (0, 3)),
  check (reverses <> txn_id),
  unique (writer_id, batch_seq, ord)
);
create index txn_of_hold on settlement.txn (hold_id) where hold_id is not null;

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
  foreach v_table in array array['charge', 'txn', 'transfer', 'hold_event', 'batch',
                                 'era', 'request_name'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  foreach v_table in array array['account_kind', 'account', 'balance', 'hold', 'writer',
                                 'charge_day', 'charge_window', 'refund'] loop
    execute format('create trigger nothing_lost before delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
end
$$;

-- What was set aside and given back or spent, one row each. What is spent in parts gives back the
-- rest only when it ends; everything else ends with its one capture.
create view settlement.hold_flow as
  select h.account_id, h.hold_id,
         case e.event when 'placed' then h.amount else h.captured - h.amount end as held,
         e.writer_id, e.batch_seq, e.ord, e.event as kind, e.hold_id as cause_id
    from settlement.hold_event e join settlement.hold h using (hold_id)
  union all
  select h.account_id, h.hold_id,
         case h.purpose when 'lease' then -c.gross else -h.amount end, c.writer_id, c.batch_seq,
         c.ord, 'charge', c.request_id
    from settlement.charge c join settlement.hold h using (hold_id)
  union all
  select h.account_id, h.hold_id,
         case h.purpose when 'lease' then -x.hold_captured else -h.amount end, x.writer_id,
         x.batch_seq, x.ord, x.kind, x.txn_id
    from settlement.txn x join settlement.hold h using (hold_id);

-- What one row contributes to its batch's hash: all that stands in it, in a fixed order. These
-- functions are written so that the planner puts them in place of their calls.
create function settlement.leaf_v1(p_text text) returns bytea
language sql stable as $$ select sha256('\x00'::bytea || convert_to(p_text, 'UTF8')) $$;
create function settlement.charge_leaf_v2(p_request uuid, p_hold uuid, p_user bigint,
  p_operator bigint, p_gross bigint, p_operator_share bigint, p_treasury_share bigint,
  p_bps integer, p_user_entry bigint, p_operator_entry bigint, p_treasury_entry bigint,
  p_after bigint, p_writer integer, p_seq bigint, p_ord integer) returns bytea
language sql stable as $$
  select sha256('\x00'::bytea || convert_to(concat_ws('|', 'charge/2', p_request, p_hold, p_user,
    p_operator, p_gross, p_operator_share, p_treasury_share, p_bps, p_user_entry,
    p_operator_entry, p_treasury_entry, p_after, p_writer, p_seq, p_ord), 'UTF8'))
$$;
create function settlement.hold_leaf_v2(p_hold uuid, p_event text, p_account bigint,
  p_amount bigint, p_purpose text, p_expires timestamptz, p_reason text, p_available bigint,
  p_writer integer, p_epoch integer, p_seq bigint, p_ord integer) returns bytea
language sql stable as $$
  select sha256('\x00'::bytea || convert_to(concat_ws('|', 'hold/2', p_hold, p_event, p_account,
    p_amount, p_purpose, coalesce(extract(epoch from p_expires)::text, '-'),
    coalesce(to_json(p_reason)::text, '-'), p_available, p_writer, p_epoch, p_seq, p_ord), 'UTF8'))
$$;

-- The leaves of a batch's rows; who knows its charges' first and last name spares the other days.
create function settlement.batch_leaves_v2(p_writer integer, p_seq bigint,
  p_first uuid default '00000000-0000-0000-0000-000000000000',
  p_last uuid default 'ffffffff-ffff-ffff-ffff-ffffffffffff')
returns table (ord integer, leaf bytea)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  select c.ord, settlement.charge_leaf_v2(c.request_id, c.hold_id, c.user_account,
    c.operator_account, c.gross, c.operator_share, c.treasury_share, c.split_bps, c.user_entry,
    c.operator_entry, c.treasury_entry, c.user_balance_after, c.writer_id, c.batch_seq, c.ord)
    from settlement.charge c where c.writer_id = p_writer and c.batch_seq = p_seq
     and c.request_id between p_first and p_last
  union all
  select e.ord, settlement.hold_leaf_v2(e.hold_id, e.event, h.account_id, h.amount, h.purpose,
    h.expires_at, e.reason, e.available_after, e.writer_id, e.epoch, e.batch_seq, e.ord)
    from settlement.hold_event e join settlement.hold h using (hold_id)
   where e.writer_id = p_writer and e.batch_seq = p_seq
  union all
  select x.ord, settlement.leaf_v1(jsonb_build_array('txn/1', x.txn_id, x.kind, x.slot,
    extract(epoch from x.event_at), extract(epoch from x.recorded_at), x.effective_on,
    x.external_ref, x.reverses, x.refunds, x.hold_id, x.hold_captured, x.available_after, x.actor,
    x.reason, x.meta, encode(x.content_sha256, 'hex'), x.writer_id, x.epoch, x.batch_seq, x.ord,
    (select jsonb_agg(jsonb_build_array(t.debit, t.credit, t.amount, t.debit_entry, t.credit_entry)
                      order by t.leg)
       from settlement.transfer t where t.txn_id = x.txn_id))::text)
    from settlement.txn x where x.writer_id = p_writer and x.batch_seq = p_seq;
end
$$;

-- A batch's root is the hash of its leaves in their order: a tree of one level. Whoever proves one
-- row shows the other rows' leaves, never the rows; short proofs come from the seals' tree.
create function settlement.batch_root_v2(p_leaves bytea) returns bytea
language sql immutable as $$ select sha256('\x02'::bytea || p_leaves) $$;

create function settlement.batch_hash_v2(p_writer integer, p_epoch integer, p_seq bigint,
  p_n integer, p_rows_before bigint, p_created_at timestamptz, p_prev bytea, p_root bytea)
returns bytea language sql stable as $$
  select sha256(convert_to(concat_ws('|', 'batch/2', p_writer, p_epoch, p_seq, p_n, p_rows_before,
                                     extract(epoch from p_created_at)), 'UTF8') || p_prev || p_root)
$$;

-- What the first batch of a writer follows.
create function settlement.first_link_v2(p_name text, p_era integer) returns bytea
language sql stable as $$
  select sha256(convert_to(concat_ws('|', 'writer/2', p_era, p_name), 'UTF8'))
$$;

-- Where each chain stood before it was made anew.
create table settlement.chain_before (
  writer_id integer primary key references settlement.writer,
  head_seq bigint not null,
  head_hash bytea not null,
  ended_at timestamptz not null default clock_timestamp()
);
create trigger only_grows before update or delete or truncate on settlement.chain_before
  for each statement execute function settlement.refuse_change_v1();

-- Who is calling, also from inside a function that runs as its owner: there current_user is the
-- owner, but the setting stays what SET ROLE made it, and a login needs to be a member for that.
-- Without a setting of its own it costs its callers nothing.
create function settlement.caller_role_v1() returns text
language sql stable as $$
  select coalesce(nullif(current_setting('role'), 'none'), session_user::text)
$$;

-- Locks the writer's head and returns it. Raises PL001 when this life of the writer is over, or the
-- books have lost the last batch the caller saw (null: it saw none), PL006 when the writer belongs
-- to another role, PL002 at another isolation level: what a lock protects must be read by a later
-- statement than the one that waited for it, which only READ COMMITTED allows.
create function settlement.claim_head_v2(
  p_writer integer, p_epoch integer, p_seen_seq bigint, p_seen_hash bytea)
returns settlement.writer
language plpgsql as $$
declare
  v_role constant text := settlement.caller_role_v1();
  w settlement.writer;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'the books need READ COMMITTED' using errcode = 'PL002';
  end if;
  select * into w from settlement.writer x where x.writer_id = p_writer for update;
  if w.epoch is distinct from p_epoch then
    raise exception 'epoch % of writer % is over', p_epoch, p_writer using errcode = 'PL001';
  end if;
  if w.role is null then
    -- A name of before writers belonged to roles: whoever posts first has it.
    w.role := v_role;
    update settlement.writer x set role = v_role where x.writer_id = p_writer;
  elsif w.role <> v_role then
    raise exception 'writer % is not the writer of %', p_writer, v_role using errcode = 'PL006';
  end if;
  if coalesce(p_seen_seq, w.head_seq) > 0 and not exists (
      select from settlement.batch x where x.writer_id = p_writer
         and x.seq = coalesce(p_seen_seq, w.head_seq) and x.hash = coalesce(p_seen_hash, w.head_hash))
     or p_seen_seq > w.head_seq then
    raise exception 'writer % has lost what was seen of it', p_writer using errcode = 'PL001';
  end if;
  return w;
end
$$;

-- Links a batch of so many rows to the writer's chain; returns its number and hash.
create function settlement.close_batch_v2(
  w settlement.writer, p_n integer, p_leaves bytea, p_now timestamptz, out seq bigint, out hash bytea)
language plpgsql as $$
declare
  v_root constant bytea := settlement.batch_root_v2(p_leaves);
begin
  seq := w.head_seq + 1;
  hash := settlement.batch_hash_v2(w.writer_id, w.epoch, seq, p_n, w.head_rows, p_now, w.head_hash,
                                   v_root);
  with linked as (
    insert into settlement.batch (writer_id, seq, epoch, n, rows_before, root, prev_hash, hash,
      created_at)
    values (w.writer_id, seq, w.epoch, p_n, w.head_rows, v_root, w.head_hash, hash, p_now)
  )
  update settlement.writer x
     set head_seq = close_batch_v2.seq, head_hash = close_batch_v2.hash,
         head_rows = w.head_rows + p_n
   where x.writer_id = w.writer_id;
end
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
    insert into settlement.balance (account_id, floored, earns)
    select account_id, floored, kind = 'host' from settlement.account where account_id = v_id;
    return v_id;
  end if;
  select account_id into v_id from settlement.account where name = p_name and kind = p_kind;
  if v_id is null then
    raise exception 'no account of kind % is called %', p_kind, p_name using errcode = 'PL005';
  end if;
  return v_id;
end
$$;

-- A new life of the writer of this name: older lives are fenced from here on. Raises PL006 when it
-- belongs to another role. In a new era the name begins a new chain.
create function settlement.open_writer_v2(p_name text)
returns table (writer_id integer, epoch integer, treasury text, head_seq bigint, head_hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_treasury constant text := 'treasury:' || p_name;
  v_account constant bigint := settlement.open_account_v1(v_treasury, 'treasury_child');
  v_role constant text := settlement.caller_role_v1();
  v_era constant integer := (select max(era) from settlement.era);
begin
  perform settlement.ensure_charge_days_v1();
  if exists (select from settlement.writer x where x.name = p_name and x.role <> v_role) then
    raise exception 'writer % is not the writer of %', p_name, v_role using errcode = 'PL006';
  end if;
  return query
    insert into settlement.writer as x (name, era, epoch, head_hash, treasury_account, role)
    values (p_name, v_era, 1, settlement.first_link_v2(p_name, v_era), v_account, v_role)
    on conflict (name, era) do update set epoch = x.epoch + 1, role = v_role
      where coalesce(x.role, v_role) = v_role
    returning x.writer_id, x.epoch, v_treasury, x.head_seq, x.head_hash;
  if not found then
    raise exception 'writer % is not the writer of %', p_name, v_role using errcode = 'PL006';
  end if;
end
$$;

-- A writer says that it is alive: until then its leases do not expire. Raises PL001 when it is
-- fenced, PL006 when it is another role's.
create function settlement.keep_leases_v1(p_writer integer, p_epoch integer, p_until timestamptz)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_until is null or p_until > clock_timestamp() + interval '1 hour' then
    raise exception 'leases are kept for an hour at most' using errcode = 'PL012';
  end if;
  perform settlement.claim_head_v2(p_writer, p_epoch, null, null);
  update settlement.writer set leases_until = greatest(leases_until, p_until)
   where writer_id = p_writer;
end
$$;

-- Fences the writers whose leases have expired and that do not say that they are alive; returns
-- those. Only then may somebody else give back what they set aside.
create function settlement.fence_expired_v1() returns table (writer_id integer, epoch integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
    update settlement.writer x set epoch = x.epoch + 1
     where coalesce(x.leases_until, '-infinity') < clock_timestamp()
       and exists (select from settlement.hold h where h.writer_id = x.writer_id
                      and h.state = 'open' and h.purpose = 'lease' and h.epoch = x.epoch
                      and h.expires_at < clock_timestamp())
    returning x.writer_id, x.epoch;
end
$$;

-- The books were restored from a backup: every writer is fenced, and new chains begin.
create function settlement.begin_era_v1(p_actor text, p_reason text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_era integer;
begin
  if coalesce(trim(p_actor), '') = '' or coalesce(trim(p_reason), '') = '' then
    raise exception 'who restored the books, and why?' using errcode = 'PL012';
  end if;
  perform from settlement.writer order by writer_id for update;
  insert into settlement.era (era, actor, reason)
  select max(era) + 1, p_actor, p_reason from settlement.era returning era into v_era;
  update settlement.writer set epoch = epoch + 1;
  return v_era;
end
$$;
grant execute on function settlement.open_account_v1(text, text)
  to pod_coordinator, pod_indexer, pod_settlement;
grant execute on function settlement.keep_leases_v1(integer, integer, timestamptz),
  settlement.open_writer_v2(text) to pod_coordinator, pod_indexer, pod_settlement;
grant execute on function settlement.fence_expired_v1(), settlement.begin_era_v1(text, text)
  to pod_settlement;

select settlement.ensure_charge_days_v1();

-- Accounts there is one of.
select settlement.open_account_v1(name, kind) from (values
  ('chain:till', 'chain_vault'), ('chain:bond', 'chain_vault'),
  ('unexplained-out', 'unexplained_out'), ('bad-debt', 'bad_debt'), ('suspense', 'suspense'),
  ('quarantine', 'quarantine'), ('refund-pool', 'refund_pool'), ('treasury', 'treasury'),
  ('recovery', 'recovery'), ('receivable:card', 'receivable_card'), ('fees:card', 'card_fees'),
  ('drawings', 'drawings'), ('funding:sol', 'funding_sol'), ('rent', 'rent'),
  ('fees:network', 'network_fees')
) as x (name, kind);

-- Everybody of ours reads the books; nobody but the functions above writes them.
grant select on all tables in schema settlement
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

-- 0003_enrollment_and_bonds -----------------------------------------------------------------

-- Who a deposit code belongs to, which operators are enrolled, what is known of each bond; and the
-- check of the books as a whole.
create table settlement.operator (
  provider_id uuid primary key,
  wallet text not null check (length(wallet) between 32 and 44),
  enrolled_at timestamptz not null default now()
);

-- One space of 8 bytes for users and bonds, as on chain: a bond's code is eight letters or digits,
-- a user's never is. A code is reserved for ever.
create table settlement.deposit_code (
  code bytea primary key check (octet_length(code) = 8),
  user_id uuid unique,
  provider_id uuid unique references settlement.operator,
  reserved_at timestamptz not null default now(),
  check (num_nonnulls(user_id, provider_id) = 1),
  check ((provider_id is not null) = (encode(code, 'escape') ~ '^[A-Za-z0-9]{8}$'))
);

-- Each bond account seen on chain. It counts for a provider only when its beneficiary is the wallet
-- enrolled; else provider_id is null and its money is booked under its address.
create table settlement.bond (
  address text primary key,
  code bytea not null check (octet_length(code) = 8),
  provider_id uuid references settlement.operator,
  beneficiary text not null,
  rent_payer text not null,
  amount bigint not null check (amount > 0),
  cooldown_seconds bigint not null check (cooldown_seconds >= 0),
  state text not null check (state in ('posted', 'retiring', 'released', 'seized')),
  posted_at timestamptz not null,
  release_at timestamptz,
  -- A bond's address is made of its code and its first beneficiary; it stays when another comes.
  first_beneficiary text not null,
  -- The open seizure, as the newest step on chain left it. What a step not read yet tells is null.
  seizure_state text not null default 'none'
    check (seizure_state in ('none', 'proposed', 'contested', 'upheld')),
  seizure_proposed_at timestamptz,
  seizure_evidence bytea check (octet_length(seizure_evidence) = 32),
  seizure_reason integer,
  seizure_reply bytea check (octet_length(seizure_reply) = 32),
  seizure_execute_after timestamptz,
  seizure_decide_by timestamptz,
  seizure_dies_at timestamptz,
  check (state <> 'retiring' or release_at is not null)
);
create index bond_of_provider on settlement.bond (provider_id) where provider_id is not null;

create table settlement.bond_event (
  external_ref text primary key,                    -- the movement or instruction that said so
  address text not null references settlement.bond,
  event text not null,
  state_after text not null,
  slot bigint not null,
  event_at timestamptz not null,
  recorded_at timestamptz not null default now()
);
create index bond_event_of_bond on settlement.bond_event (address);

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

create trigger only_grows before update or delete or truncate on settlement.operator
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.deposit_code
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.bond_event
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.seizure_step
  for each statement execute function settlement.refuse_change_v1();
create trigger nothing_lost before delete or truncate on settlement.bond
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.operator, settlement.deposit_code, settlement.bond,
  settlement.bond_event, settlement.seizure_step
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert on settlement.operator, settlement.deposit_code to pod_coordinator;
grant insert on settlement.bond, settlement.bond_event, settlement.seizure_step to pod_indexer;
grant update (state, release_at, provider_id, beneficiary, seizure_state, seizure_proposed_at,
              seizure_evidence, seizure_reason, seizure_reply, seizure_execute_after,
              seizure_decide_by, seizure_dies_at) on settlement.bond to pod_indexer;

-- 0004_apply, 0014_settle, 0015_asked, 0016_apply ------------------------------------------------

-- Writes the rows of charges whose balances have moved; m_: the accounts that did, each with its
-- number of entries and its balance from before. A part of settle_v2, apart because its plan must be
-- another: every set here is in memory and joined by hashing, however few rows are foretold.
create function settlement.write_charges_v2(
  w settlement.writer, p_requests uuid[], p_holds uuid[], p_users bigint[], p_operators bigint[],
  p_gross bigint[], p_bps integer[], m_account bigint[], m_version bigint[], m_balance bigint[],
  out written bigint, out leaves bytea, out balances bigint[])
language plpgsql
set enable_nestloop = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
set jit = off as $$
#variable_conflict use_column
declare
  v_writer constant integer := w.writer_id;
  v_seq constant bigint := w.head_seq + 1;
  v_treasury_entry constant bigint := m_version[array_position(m_account, w.treasury_account)];
begin
  with
  standing as materialized (
    select * from unnest(m_account, m_version, m_balance) as m (account_id, version, balance)
  ),
  added as (
    insert into settlement.charge (request_id, hold_id, user_account, operator_account, gross,
      operator_share, treasury_share, user_entry, operator_entry, treasury_entry,
      user_balance_after, batch_seq, writer_id, ord, split_bps)
    select p.id, p.hold, p.payer, p.operator, p.gross, p.gross - p.share, p.share,
           u.version + p.user_place, o.version + p.operator_place, v_treasury_entry + p.ord,
           u.balance - p.spent, v_seq, v_writer, p.ord, p.bps
      from (select d.*, d.gross / 10000 * d.bps + d.gross % 10000 * d.bps / 10000 as share,
                   row_number() over (partition by d.payer order by d.ord) as user_place,
                   sum(d.gross) over (partition by d.payer order by d.ord
                                      rows unbounded preceding) as spent,
                   row_number() over (partition by d.operator order by d.ord) as operator_place
              from unnest(p_requests, p_holds, p_users, p_operators, p_gross, p_bps)
                   with ordinality as d (id, hold, payer, operator, gross, bps, ord)) as p
      join standing u on u.account_id = p.payer
      join standing o on o.account_id = p.operator
    returning ord, user_balance_after, settlement.charge_leaf_v2(request_id, hold_id,
      user_account, operator_account, gross, operator_share, treasury_share, split_bps,
      user_entry, operator_entry, treasury_entry, user_balance_after, writer_id, batch_seq, ord)
      as leaf
  )
  select count(*), string_agg(leaf, ''::bytea order by ord),
         array_agg(user_balance_after order by ord)
    into written, leaves, balances from added;
end
$$;

-- Charges first, then holds and voids, in one batch: what charges give back can be set aside again.
-- Answers exactly what settlement.apply_v2 would for the same operations in that order, or raises
-- PL011 when they are not of the everyday kind: the caller then asks apply_v2. That is so when a
-- charge is anything but new and covered by its hold (so everything a charge says is that it is
-- done), when a hold's id is named twice, when two holds of one account are too much (the second
-- may have fitted once the first was refused), when what somebody else set aside is given back, or when an
-- amount is large. A charge of a name that is there raises 23505, which means the same.
--
-- Hold verbs: 1 hold, 3 void. Raises what settlement.claim_head_v2 raises, and 40001 when another
-- writer took the same name at the same moment (do it again: it will be a plain answer).
create function settlement.settle_v2(
  p_writer integer, p_epoch integer, p_seen_seq bigint, p_seen_hash bytea,
  p_requests uuid[], p_request_holds uuid[], p_users bigint[], p_operators bigint[],
  p_gross bigint[], p_bps integer[],
  p_verbs integer[], p_holds uuid[], p_accounts bigint[], p_amounts bigint[], p_purposes text[],
  p_expiries timestamptz[], p_reasons text[])
returns table (balances bigint[], codes text[], available bigint[], head_seq bigint, head_hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Plans are made once, when nothing is known of the tables yet. Every table is looked into by key
-- for each row asked for; reading a whole one would cost what the table has grown to.
set enable_seqscan = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
set jit = off as $$
#variable_conflict use_column
declare
  -- Far from 2^63 - 1, whatever a batch adds to it.
  c_large constant bigint := 8000000000000000000;
  c_large_amount constant bigint := 1000000000000000;
  w constant settlement.writer :=
    settlement.claim_head_v2(p_writer, p_epoch, p_seen_seq, p_seen_hash);
  v_seq constant bigint := w.head_seq + 1;
  v_treasury constant bigint := w.treasury_account;
  v_charges constant integer := cardinality(p_requests);
  v_touched bigint[];
  v_unusual boolean;
  v_balances bigint[];
  v_codes text[];
  v_available bigint[];
  v_leaves bytea := '';
  v_more bytea;
  v_n bigint := 0;
  v_now timestamptz;
  m_account bigint[];
  m_version bigint[];
  m_balance bigint[];
  v_wanted bigint;
  v_written bigint;
  v_closed record;
begin
  if cardinality(p_verbs) > 0 then
    -- Locks go by account, then by hold; charges alone take theirs as they go, in the same order.
    v_touched := array(
      select a from unnest(p_accounts || p_operators || v_treasury) as a where a is not null
      union select x.account_id from settlement.hold x
             where x.hold_id = any (p_holds || p_request_holds));
    perform from settlement.balance x where x.account_id = any (v_touched)
      order by x.account_id for update;
    perform from settlement.hold x where x.hold_id = any (p_holds || p_request_holds)
      order by x.hold_id for update;
  end if;

  if v_charges > 0 then
    with
    span as materialized (
      select x.low, least(x.high, settlement.uuid_floor_v1(
               clock_timestamp() + interval '5 minutes')) as high
        from settlement.charge_window x
    ),
    asked as materialized (
      select o.id, o.hold, o.payer, o.operator, o.gross,
             o.gross / 10000 * o.bps + o.gross % 10000 * o.bps / 10000 as share
        from unnest(p_requests, p_request_holds, p_users, p_operators, p_gross, p_bps)
             as o (id, hold, payer, operator, gross, bps)
       cross join span k
       where o.id >= k.low and o.id < k.high and get_byte(uuid_send(o.id), 6) / 16 = 7
         and o.gross between 0 and c_large_amount
    ),
    -- A lease stays open and may be spent again; any other hold ends and gives back the rest. Only
    -- this writer spends its holds, so its head's lock is what keeps others away.
    taken as (
      update settlement.hold x
         set captured = x.captured + t.total,
             released = case x.purpose when 'lease' then 0 else x.amount - t.total end,
             state = case x.purpose when 'lease' then 'open' else 'captured' end
        from (select hold, payer, sum(gross)::bigint as total, count(*) as n from asked
               group by hold, payer order by hold) as t
       where x.hold_id = t.hold and x.account_id = t.payer and x.state = 'open'
         and x.purpose <> 'payout' and x.writer_id = p_writer and x.captured + t.total <= x.amount
         and (x.purpose = 'lease' or t.n = 1)
      returning x.account_id, t.n,
                case x.purpose when 'lease' then t.total else x.amount end as held
    ),
    moved as (
      update settlement.balance x
         set dr = x.dr + d.dr, cr = x.cr + d.cr, held = x.held - d.held, version = x.version + d.n
        from (select s.account_id, sum(s.dr)::bigint as dr, sum(s.cr)::bigint as cr,
                     sum(s.held)::bigint as held, sum(s.n)::bigint as n
                from (select payer as account_id, gross as dr, 0::bigint as cr, 0::bigint as held,
                             1 as n from asked
                      union all select account_id, 0, 0, held, 0 from taken
                      union all select operator, 0, gross - share, 0, 1 from asked
                      union all select v_treasury, 0, share, 0, 1 from asked) as s
               -- Nothing moves where a hold did not give what was asked of it. (Said here and not
               -- of x: what is said of x is asked again, without CTEs, after waiting for its row.)
               cross join (select sum(n) as n from taken) as t
               where t.n = v_charges
               group by s.account_id order by s.account_id) as d
       where x.account_id = d.account_id and greatest(x.dr, x.cr) <= c_large
         and (x.earns or d.cr = 0 or x.account_id = v_treasury)
      returning x.account_id, x.version - d.n as version, x.cr - x.dr + d.dr as balance
    )
    select array_agg(account_id), array_agg(version), array_agg(balance),
           coalesce((select sum(n) from taken), 0)
      into m_account, m_version, m_balance, v_n from moved;
    -- A request that was settled by a post of its name is not settled again. Looked for now that the
    -- balances are ours: such a post moves one of them.
    if v_n = v_charges and not exists (
        select from unnest(p_requests) as r (id) cross join lateral (
          select from settlement.txn y where y.txn_id = r.id limit 1) as t) then
      select c.written, c.leaves, c.balances into v_n, v_leaves, v_balances
        from settlement.write_charges_v2(w, p_requests, p_request_holds, p_users, p_operators,
          p_gross, p_bps, m_account, m_version, m_balance) as c;
    end if;
    if v_balances is null or v_n <> v_charges then
      raise exception 'not of the everyday kind' using errcode = 'PL011';
    end if;
  end if;

  v_now := clock_timestamp();
  if cardinality(p_verbs) > 0 then
    with
    asked as materialized (
      select o.verb, o.id, o.account, o.amount, o.purpose as wanted_purpose, o.expires_at as until,
             o.reason, o.ord, x.hold_id is not null as known, x.account_id as holder,
             x.amount as set_aside, x.amount - x.captured as rest, x.purpose, x.writer_id as owner,
             x.epoch, x.expires_at, x.state,
             case when o.verb = 1 then o.account else x.account_id end as payer
        from unnest(p_verbs, p_holds, p_accounts, p_amounts, p_purposes, p_expiries, p_reasons)
             with ordinality as o (verb, id, account, amount, purpose, expires_at, reason, ord)
        left join settlement.hold x on x.hold_id = o.id
    ),
    -- What can be said without asking who else wants the same money; null where that matters.
    judged as materialized (
      select k.*, b.cr - b.dr - b.held as free, b.floored,
             coalesce(greatest(b.dr, b.cr), 0) > c_large
               or coalesce(k.amount, 1) not between 1 and c_large_amount
               or (k.verb = 3 and k.purpose <> 'payout' and k.owner <> p_writer) as large,
             case k.verb when 1 then placed.available_after else voided.available_after end as told,
             case
               when k.verb = 1 and k.known then
                 case when (k.holder, k.set_aside, k.purpose, k.owner, k.expires_at)
                           is not distinct from
                           (k.account, k.amount, k.wanted_purpose, p_writer, k.until)
                      then 'replayed' else 'conflict' end
               when k.verb = 1 and p.kind is distinct from 'user' then 'account_unknown'
               when k.verb = 1 and p.closed_at is not null then 'account_closed'
               when k.verb = 1 then null
               when not k.known then 'hold_unknown'
               when k.state <> 'open' and voided.reason = k.reason then 'replayed'
               when k.state <> 'open' then 'hold_closed'
             end as code
        from asked k
        left join settlement.account p on p.account_id = k.payer
        left join settlement.balance b on b.account_id = k.payer
        -- The limits keep these a look by key each, however the tables are thought to be.
        left join lateral (select available_after from settlement.hold_event y
                            where k.verb = 1 and k.known and y.hold_id = k.id
                              and y.event = 'placed' limit 1) as placed on true
        left join lateral (select available_after, reason from settlement.hold_event y
                            where k.verb = 3 and k.state <> 'open' and y.hold_id = k.id
                              and y.event = 'voided' limit 1) as voided on true
    ),
    -- Holds meet what is free once everything asked before them was granted.
    decided as materialized (
      select j.*, coalesce(j.code,
               case when j.verb = 1 and j.floored and j.free + coalesce(j.before, 0) < j.amount
                    then 'insufficient' else 'applied' end) as verdict
        from (select x.*, sum(case when x.code is not null then 0
                                   when x.verb = 1 then -x.amount else x.rest end)
                            over (partition by x.payer order by x.ord
                                  rows between unbounded preceding and 1 preceding) as before
                from judged x) as j
    ),
    answered as materialized (
      select d.*, d.free + sum(case when d.verdict <> 'applied' then 0
                                    when d.verb = 1 then -d.amount else d.rest end)
                           over (partition by d.payer order by d.ord) as left_over
        from decided d
    ),
    unusual as materialized (
      select count(*) <> count(distinct d.id) or bool_or(d.large)
             or exists (select from decided x where x.verdict = 'insufficient'
                         group by x.payer having count(*) > 1) as so
        from decided d
    ),
    done as materialized (
      select f.*, v_n + row_number() over (order by f.ord) as place
        from answered f
       where f.verdict = 'applied' and not (select so from unusual)
    ),
    placed as (
      insert into settlement.hold (hold_id, account_id, amount, purpose, writer_id, epoch,
        expires_at)
      select f.id, f.account, f.amount, f.wanted_purpose, p_writer, p_epoch, f.until
        from done f where f.verb = 1
      on conflict do nothing
      returning hold_id
    ),
    noted as (
      insert into settlement.hold_event (hold_id, event, reason, available_after, writer_id, epoch,
        batch_seq, ord, recorded_at)
      select f.id, case f.verb when 1 then 'placed' else 'voided' end,
             case f.verb when 3 then f.reason end, f.left_over, p_writer, p_epoch, v_seq, f.place,
             v_now
        from done f
      returning hold_id
    ),
    ended as (
      update settlement.hold x
         set state = case when x.captured = 0 then 'voided' else 'captured' end,
             released = x.amount - x.captured
        from done f where f.verb = 3 and x.hold_id = f.id
      returning x.hold_id
    ),
    moved as (
      update settlement.balance x set held = x.held + d.held
        from (select f.payer, sum(case f.verb when 1 then f.amount else -f.rest end)::bigint as held
                from done f group by f.payer) as d
       where x.account_id = d.payer
      returning x.account_id
    )
    select (select so from unusual),
           (select count(*) from done where verb = 1) - (select count(*) from placed),
           (select count(*) from done),
           (select string_agg(settlement.hold_leaf_v2(f.id,
              case f.verb when 1 then 'placed' else 'voided' end, f.payer,
              case f.verb when 1 then f.amount else f.set_aside end,
              case f.verb when 1 then f.wanted_purpose else f.purpose end,
              case f.verb when 1 then f.until else f.expires_at end,
              case f.verb when 3 then f.reason end, f.left_over::bigint, p_writer, p_epoch, v_seq,
              f.place::integer), ''::bytea order by f.place) from done f),
           array_agg(d.verdict order by d.ord),
           array_agg(case d.verdict when 'applied' then d.left_over when 'replayed' then d.told
                                    when 'insufficient' then d.free + coalesce(d.before, 0) end
                     order by d.ord)
      into v_unusual, v_wanted, v_written, v_more, v_codes, v_available
      from answered d;
    if v_unusual is distinct from false then
      raise exception 'not of the everyday kind' using errcode = 'PL011';
    elsif v_wanted <> 0 then
      raise exception 'another writer took the same name' using errcode = '40001';
    end if;
    v_n := v_n + v_written;
    v_leaves := v_leaves || coalesce(v_more, '');
  end if;

  if v_n = 0 then
    return query select v_balances, v_codes, v_available, w.head_seq, w.head_hash;
    return;
  end if;
  v_closed := settlement.close_batch_v2(w, v_n::integer, v_leaves, v_now);
  return query select v_balances, v_codes, v_available, v_closed.seq, v_closed.hash;
end
$$;
grant execute on function settlement.settle_v2(integer, integer, bigint, bytea, uuid[], uuid[],
  bigint[], bigint[], bigint[], integer[], integer[], uuid[], bigint[], bigint[], text[], timestamptz[],
  text[]) to pod_coordinator, pod_indexer, pod_settlement;

-- One element per operation; q_: one per transfer, those of operation i being q_first[i] to q_last[i].
-- `problem` is what is wrong with an operation whatever the books say. Amounts that no bigint holds
-- are cut off at the largest.
create function settlement.asked_v2(
  p_operations jsonb, out verbs text[], out ids uuid[], out holds uuid[], out accounts text[],
  out operators text[], out amounts bigint[], out bps integer[], out purposes text[],
  out expiries timestamptz[], out reasons text[], out refs text[], out reverse uuid[],
  out refunds uuid[],
  out hashes bytea[], out problems text[], out q_first integer[], out q_last integer[],
  out q_debit text[], out q_credit text[], out q_amount bigint[])
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  c_max constant numeric := 9223372036854775807;
  c_meta_bytes constant integer := 16384;
begin
  select array_agg(o.verb order by o.n), array_agg(o.id order by o.n),
         array_agg(case when o.verb in ('hold', 'void') then o.id else o.hold end order by o.n),
         array_agg(o.account order by o.n), array_agg(o.operator order by o.n),
         array_agg(least(o.amount, c_max)::bigint order by o.n), array_agg(o.split_bps order by o.n),
         array_agg(o.purpose order by o.n), array_agg(o.expires_at order by o.n),
         array_agg(o.reason order by o.n), array_agg(o.external_ref order by o.n),
         array_agg(o.reverses order by o.n), array_agg(o.refunds order by o.n),
         array_agg(case when o.moves then sha256(convert_to(
           jsonb_strip_nulls(o.op - 'id')::text, 'UTF8')) end order by o.n),
         array_agg(case
           when o.id is null then 'malformed'
           when o.amount > c_max or l.largest > c_max then 'overflow'
           when o.moves and (l.n = 0 or l.wrong) then 'malformed'
           when o.moves and octet_length(o.op ->> 'meta') > c_meta_bytes then 'meta_too_large'
           when o.moves then null
           when o.verb = 'hold' and (o.amount > 0 and o.purpose in ('request', 'lease', 'payout')
             and (o.purpose = 'lease') = (o.expires_at is not null)) is not true then 'malformed'
           when o.verb = 'charge' and (o.amount >= 0 and o.split_bps between 0 and 10000)
             is not true then 'malformed'
           when o.verb = 'void' and coalesce(o.reason, '') = '' then 'malformed'
           when o.verb not in ('hold', 'charge', 'void') then 'malformed' end order by o.n),
         array_agg(l.before + 1 order by o.n), array_agg(l.before + l.n order by o.n)
    into verbs, ids, holds, accounts, operators, amounts, bps, purposes, expiries, reasons, refs,
         reverse, refunds, hashes, problems, q_first, q_last
    from (select e.op, e.n, x.*, coalesce(x.verb, '') in ('post', 'capture') as moves
            from jsonb_array_elements(p_operations) with ordinality as e (op, n)
           cross join lateral jsonb_to_record(e.op) as x (verb text, id uuid, hold uuid,
             account text, operator text, amount numeric, split_bps integer, purpose text,
             expires_at timestamptz, reason text, external_ref text, reverses uuid, refunds uuid)) as o
    join (select e.n as at, count(t.amount)::integer as n, max(t.amount) as largest,
                 bool_or(t.is_there and (t.amount > 0 and t.debit <> t.credit) is not true) as wrong,
                 (sum(count(t.amount)) over (order by e.n) - count(t.amount))::integer as before
            from jsonb_array_elements(p_operations) with ordinality as e (op, n)
            left join lateral (select true as is_there, y.* from jsonb_to_recordset(
              e.op -> 'transfers') as y (debit text, credit text, amount numeric)) as t on true
           group by e.n) as l on l.at = o.n;
  select array_agg(t.debit order by e.n, t.leg), array_agg(t.credit order by e.n, t.leg),
         array_agg(least(t.amount, c_max)::bigint order by e.n, t.leg)
    into q_debit, q_credit, q_amount
    from jsonb_array_elements(p_operations) with ordinality as e (op, n)
   cross join lateral rows from (jsonb_to_recordset(e.op -> 'transfers')
         as (debit text, credit text, amount numeric)) with ordinality
         as t (debit, credit, amount, leg)
   where t.amount is not null;
end
$$;

-- How holds stand, in the order asked; `accounts` are places in p_accounts. `free_for_all` is a lease
-- whose writer is fenced and whose time is over, or what a writer of an era before set aside for
-- requests: anybody may give it back.
create function settlement.holds_v2(
  p_holds uuid[], p_accounts bigint[], out accounts integer[], out amounts bigint[],
  out captured bigint[], out purposes text[], out writers integer[], out expiries timestamptz[],
  out states text[], out placed bigint[], out reasons text[], out voided bigint[],
  out free_for_all boolean[])
language sql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
  select array_agg(p.n::integer order by d.n), array_agg(x.amount order by d.n),
         array_agg(x.captured order by d.n), array_agg(x.purpose order by d.n),
         array_agg(x.writer_id order by d.n), array_agg(x.expires_at order by d.n),
         array_agg(case when p.n is not null then x.state end order by d.n),
         array_agg(e.available_after order by d.n), array_agg(v.reason order by d.n),
         array_agg(v.available_after order by d.n),
         array_agg(x.purpose <> 'payout' and (w.era < (select max(era) from settlement.era)
                   or (x.purpose = 'lease' and x.epoch < w.epoch
                       and x.expires_at < clock_timestamp())) order by d.n)
    from unnest(p_holds) with ordinality as d (id, n)
    left join settlement.hold x on x.hold_id = d.id
    left join settlement.writer w on w.writer_id = x.writer_id
    left join unnest(p_accounts) with ordinality as p (id, n) on p.id = x.account_id
    -- One look by key for each, however the tables are thought to be (hence the limits).
    left join lateral (select available_after from settlement.hold_event y
                        where y.hold_id = d.id and y.event = 'placed' limit 1) as e on true
    left join lateral (select reason, available_after from settlement.hold_event y
                        where y.hold_id = d.id and y.event = 'voided' limit 1) as v on true
$$;

-- How requests that are to be refunded stand, in the order asked: who paid, how much, and what went
-- back already. Nothing for those nobody paid, or whose day is not kept at hand.
create function settlement.refunds_v2(
  p_requests uuid[], p_accounts bigint[], p_low uuid, p_high uuid, out users integer[],
  out gross bigint[], out refunded bigint[])
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  perform from settlement.refund x where x.request_id = any (p_requests)
    order by x.request_id for update;
  select array_agg(p.n::integer order by d.n), array_agg(coalesce(f.gross, c.gross) order by d.n),
         array_agg(coalesce(f.refunded, 0) order by d.n)
    into users, gross, refunded
    from unnest(p_requests) with ordinality as d (id, n)
    left join settlement.refund f on f.request_id = d.id
    left join lateral (select y.user_account, y.gross from settlement.charge y
                        where y.request_id = d.id and y.request_id >= p_low
                          and y.request_id < p_high limit 1) as c on true
    left join unnest(p_accounts) with ordinality as p (id, n)
      on p.id = coalesce(f.user_account, c.user_account);
end
$$;

-- The charges that are there of these names, in the order asked; nothing for those outside the
-- window of ids that may be settled.
create function settlement.charges_v2(
  p_requests uuid[], p_low uuid, p_high uuid, out inside boolean[], out holds uuid[],
  out users bigint[], out operators bigint[], out gross bigint[], out bps integer[],
  out balances bigint[])
language sql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
  select array_agg(d.id >= p_low and d.id < p_high and get_byte(uuid_send(d.id), 6) / 16 = 7
                   order by d.n),
         array_agg(c.hold_id order by d.n), array_agg(c.user_account order by d.n),
         array_agg(c.operator_account order by d.n), array_agg(c.gross order by d.n),
         array_agg(c.split_bps order by d.n), array_agg(c.user_balance_after order by d.n)
    from unnest(p_requests) with ordinality as d (id, n)
    left join lateral (select * from settlement.charge y where y.request_id = d.id
                          and y.request_id >= p_low and y.request_id < p_high limit 1) as c on true
$$;

-- The one way money moves (settlement.settle_v2 is the same way for the everyday). Post, hold,
-- capture, charge and void, many at a time, for one writer. Raises what settlement.claim_head_v2
-- raises, and 40001 when another writer took the same name at the same moment (do it again: it will
-- be a plain answer). Decides every operation on copies of the balances, then writes what it
-- accepted in a fixed number of statements. Locks: writer head, balances by id, holds by id; what
-- the locks protect is read by later statements, which see what others committed while we waited.
create function settlement.apply_v2(
  p_writer integer, p_epoch integer, p_seen_seq bigint, p_seen_hash bytea, p_operations jsonb)
returns table (codes text[], told bigint[], head_seq bigint, head_hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Plans are made when the tables are still empty and kept: reading a table whole would look cheap.
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
  c_max constant bigint := 9223372036854775807;
  c_none constant uuid := '00000000-0000-0000-0000-000000000000';
  w constant settlement.writer :=
    settlement.claim_head_v2(p_writer, p_epoch, p_seen_seq, p_seen_hash);
  v_seq constant bigint := w.head_seq + 1;
  v_now timestamptz; v_rows bigint; v_closed record; v_low uuid; v_high uuid;
  -- o_: one element per operation; r_: its result; q_, l_: per transfer of a post or capture
  o_verb text[]; o_id uuid[]; o_hold uuid[]; o_account text[]; o_operator text[];
  o_amount bigint[]; o_bps integer[]; o_purpose text[]; o_until timestamptz[]; o_reason text[];
  o_a integer[]; o_op integer[]; o_h integer[]; o_hash bytea[]; o_problem text[];
  o_ref text[]; o_reverses uuid[]; o_refunds uuid[]; o_first integer[]; o_last integer[];
  r_code text[]; r_told bigint[]; r_ord integer[]; r_share bigint[]; r_balance bigint[];
  r_user_entry bigint[]; r_operator_entry bigint[]; r_treasury_entry bigint[]; r_taken bigint[];
  q_debit text[]; q_credit text[]; l_debit integer[]; l_credit integer[]; l_amount bigint[];
  l_debit_entry bigint[]; l_credit_entry bigint[];
  -- a_: accounts that are touched, by id; h_: holds, c_: charges, t_: transactions that are named
  a_id bigint[]; a_name text[]; a_dr bigint[]; a_cr bigint[]; a_held bigint[]; a_version bigint[];
  a_floored boolean[]; a_open boolean[]; a_kind text[]; a_asset text[];
  h_id uuid[]; h_a integer[]; h_amount bigint[]; h_captured bigint[]; h_purpose text[];
  h_writer integer[]; h_until timestamptz[]; h_state text[]; h_placed bigint[]; h_reason text[];
  h_voided bigint[]; h_free boolean[]; h_moved boolean[];
  c_id uuid[]; c_inside boolean[]; c_hold uuid[]; c_user bigint[]; c_operator bigint[];
  c_gross bigint[]; c_bps integer[]; c_after bigint[];
  t_id uuid[]; t_hash bytea[]; t_told bigint[]; t_refs text[]; t_reversible uuid[];
  -- f_: requests of which something is to go back
  f_id uuid[]; f_a integer[]; f_gross bigint[]; f_before bigint[]; f_now bigint[];
  a integer; b integer; h integer; t integer; v_treasury integer;
  v_done integer; v_n integer := 0; v_code text; v_left bigint; v_share bigint; v_taken numeric;
  v_back numeric;
  v_charged uuid[]; v_first uuid; v_last uuid;
begin
  select * into o_verb, o_id, o_hold, o_account, o_operator, o_amount, o_bps, o_purpose, o_until,
         o_reason, o_ref, o_reverses, o_refunds, o_hash, o_problem, o_first, o_last, q_debit,
         q_credit, l_amount
    from settlement.asked_v2(p_operations);

  -- Lock what it touches, then read it.
  a_id := array(select x.account_id from settlement.account x
                 where x.name = any (o_account || o_operator || q_debit || q_credit)
                union select x.account_id from settlement.hold x where x.hold_id = any (o_hold)
                union select w.treasury_account where 'charge' = any (o_verb) order by 1);
  perform from settlement.balance x where x.account_id = any (a_id)
    order by x.account_id for update;
  perform from settlement.hold x where x.hold_id = any (o_hold) order by x.hold_id for update;

  select array_agg(y.name order by x.account_id), array_agg(x.dr order by x.account_id),
         array_agg(x.cr order by x.account_id), array_agg(x.held order by x.account_id),
         array_agg(x.version order by x.account_id), array_agg(x.floored order by x.account_id),
         array_agg(y.closed_at is null order by x.account_id),
         array_agg(y.kind order by x.account_id), array_agg(y.asset order by x.account_id)
    into a_name, a_dr, a_cr, a_held, a_version, a_floored, a_open, a_kind, a_asset
    from settlement.balance x join settlement.account y using (account_id)
   where x.account_id = any (a_id);
  v_treasury := array_position(a_id, w.treasury_account);
  h_id := array(select distinct x from unnest(o_hold) as x where x is not null order by x);
  select * into h_a, h_amount, h_captured, h_purpose, h_writer, h_until, h_state, h_placed,
         h_reason, h_voided, h_free from settlement.holds_v2(h_id, a_id);
  select array_agg(x.n order by o.n), array_agg(y.n order by o.n), array_agg(z.n order by o.n)
    into o_a, o_op, o_h
    from unnest(o_account, o_operator, o_hold) with ordinality as o (account, operator, hold, n)
    left join unnest(a_name) with ordinality as x (name, n) on x.name = o.account
    left join unnest(a_name) with ordinality as y (name, n) on y.name = o.operator
    left join unnest(h_id) with ordinality as z (id, n) on z.id = o.hold;
  -- A name is a charge's or a transaction's, never both.
  c_id := array(select distinct x.id from unnest(o_id, o_verb) as x (id, verb)
                 where x.verb <> 'hold' and x.verb <> 'void' order by x.id);
  select x.low, least(x.high, settlement.uuid_floor_v1(clock_timestamp() + interval '5 minutes'))
    into v_low, v_high from settlement.charge_window x;
  select * into c_inside, c_hold, c_user, c_operator, c_gross, c_bps, c_after
    from settlement.charges_v2(c_id, v_low, v_high);
  t_id := c_id;
  select array_agg(x.content_sha256 order by d.n), array_agg(x.available_after order by d.n)
    into t_hash, t_told
    from unnest(t_id) with ordinality as d (id, n)
    left join settlement.txn x on x.txn_id = d.id;
  if q_debit is not null then
    select array_agg(x.n order by s.n), array_agg(y.n order by s.n) into l_debit, l_credit
      from unnest(q_debit, q_credit) with ordinality as s (debit, credit, n)
      left join unnest(a_name) with ordinality as x (name, n) on x.name = s.debit
      left join unnest(a_name) with ordinality as y (name, n) on y.name = s.credit;
    t_refs := array(select x.external_ref from settlement.txn x
                     where x.external_ref = any (o_ref));
    f_id := array(select distinct x from unnest(o_refunds) as x where x is not null order by x);
    if cardinality(f_id) > 0 then
      select * into f_a, f_gross, f_before from settlement.refunds_v2(f_id, a_id, v_low, v_high);
      f_now := f_before;
    end if;
    -- What can be reversed: exists, and is not reversed yet.
    t_reversible := array(select x.txn_id from settlement.txn x where x.txn_id = any (o_reverses)
      and not exists (select from settlement.txn y where y.reverses = x.txn_id));
  end if;

  -- Decide, one after the other, on the copies. (Arrays start at 1: one filled out of order would
  -- start at its first element.)
  r_ord := array_fill(null::integer, array[cardinality(o_verb)]);
  r_taken := array_fill(null::bigint, array[cardinality(o_verb)]);
  r_share := r_taken; r_balance := r_taken;
  r_user_entry := r_taken; r_operator_entry := r_taken; r_treasury_entry := r_taken;
  h_moved := array_fill(false, array[cardinality(h_id)]);
  l_debit_entry := array_fill(null::bigint, array[coalesce(cardinality(l_amount), 0)]);
  l_credit_entry := l_debit_entry;
  for i in 1 .. cardinality(o_verb) loop
    v_code := o_problem[i]; v_left := null;
    a := o_a[i]; b := o_op[i]; h := o_h[i];
    if v_code is not null then
      null;
    elsif o_verb[i] = 'hold' then
      if h_state[h] is not null then
        v_code := 'conflict';
        if h_a[h] = a and h_amount[h] = o_amount[i] and h_purpose[h] = o_purpose[i]
           and h_writer[h] = p_writer and h_until[h] is not distinct from o_until[i] then
          v_code := 'replayed'; v_left := h_placed[h];
        end if;
      -- Requests are paid by users. An account without a floor could be held far below zero.
      elsif a is null or (o_purpose[i] <> 'payout' and a_kind[a] <> 'user') then
        v_code := 'account_unknown';
      elsif not a_open[a] then v_code := 'account_closed';
      elsif a_floored[a] and a_cr[a] - a_dr[a] - a_held[a] < o_amount[i] then
        v_code := 'insufficient'; v_left := a_cr[a] - a_dr[a] - a_held[a];
      elsif a_dr[a] > c_max - a_held[a] - o_amount[i] then v_code := 'overflow';
      else
        a_held[a] := a_held[a] + o_amount[i];
        v_left := a_cr[a] - a_dr[a] - a_held[a];
        h_a[h] := a; h_amount[h] := o_amount[i]; h_purpose[h] := o_purpose[i];
        h_writer[h] := p_writer; h_until[h] := o_until[i]; h_state[h] := 'open';
        h_captured[h] := 0; h_placed[h] := v_left;
      end if;
    elsif o_verb[i] = 'charge' then
      t := array_position(c_id, o_id[i]);
      if c_gross[t] is not null then
        v_code := 'conflict';
        if c_hold[t] = coalesce(o_hold[i], c_none) and c_user[t] = a_id[a]
           and c_operator[t] = a_id[b] and c_gross[t] = o_amount[i] and c_bps[t] = o_bps[i] then
          v_code := 'replayed'; v_left := c_after[t];
        end if;
      elsif c_inside[t] is not true then v_code := 'outside_window';
      elsif t_hash[t] is not null then v_code := 'conflict';
      elsif (a_kind[a], a_kind[b]) is distinct from ('user', 'host') then
        v_code := 'account_unknown';
      elsif h is null and not a_open[a] then v_code := 'account_closed';
      elsif h is null and a_cr[a] - a_dr[a] - a_held[a] < o_amount[i] then
        v_code := 'insufficient'; v_left := a_cr[a] - a_dr[a] - a_held[a];
      elsif h is not null and h_state[h] is null then v_code := 'hold_unknown';
      elsif h is not null and (h_a[h] <> a or h_purpose[h] = 'payout' or h_writer[h] <> p_writer)
        then v_code := 'conflict';
      elsif h is not null and h_state[h] <> 'open' then v_code := 'hold_closed';
      elsif h is not null and o_amount[i] > h_amount[h] - h_captured[h] then
        v_code := 'hold_exceeded';
      elsif greatest(a_cr[b], a_cr[v_treasury]) > c_max - o_amount[i] then v_code := 'overflow';
      else
        v_share := div(o_amount[i]::numeric * o_bps[i], 10000);
        a_dr[a] := a_dr[a] + o_amount[i];
        a_cr[b] := a_cr[b] + o_amount[i] - v_share;
        a_cr[v_treasury] := a_cr[v_treasury] + v_share;
        a_version[a] := a_version[a] + 1; a_version[b] := a_version[b] + 1;
        a_version[v_treasury] := a_version[v_treasury] + 1;
        v_left := a_cr[a] - a_dr[a];
        r_share[i] := v_share; r_balance[i] := v_left;
        r_user_entry[i] := a_version[a]; r_operator_entry[i] := a_version[b];
        r_treasury_entry[i] := a_version[v_treasury];
        c_hold[t] := coalesce(o_hold[i], c_none); c_user[t] := a_id[a]; c_operator[t] := a_id[b];
        c_gross[t] := o_amount[i]; c_bps[t] := o_bps[i]; c_after[t] := v_left;
        t := array_position(f_id, o_id[i]);
        if t is not null then  -- refunded further down in this very batch
          f_a[t] := a; f_gross[t] := o_amount[i];
        end if;
        if h is not null then
          a_held[a] := a_held[a] - case h_purpose[h] when 'lease' then o_amount[i]
                                                     else h_amount[h] end;
          h_captured[h] := h_captured[h] + o_amount[i]; h_moved[h] := true;
          if h_purpose[h] <> 'lease' then h_state[h] := 'captured'; end if;
        end if;
      end if;
    elsif o_verb[i] = 'void' then
      if h_state[h] is null then v_code := 'hold_unknown';
      elsif h_writer[h] <> p_writer and h_purpose[h] <> 'payout' and h_free[h] is not true
            and (h_purpose[h] = 'request' or h_state[h] = 'open') then v_code := 'conflict';
      elsif h_state[h] <> 'open' and h_reason[h] = o_reason[i] then
        v_code := 'replayed'; v_left := h_voided[h];
      elsif h_state[h] <> 'open' then v_code := 'hold_closed';
      else
        a := h_a[h];
        a_held[a] := a_held[a] - h_amount[h] + h_captured[h];
        v_left := a_cr[a] - a_dr[a] - a_held[a];
        h_state[h] := case when h_captured[h] = 0 then 'voided' else 'captured' end;
        h_moved[h] := true; h_reason[h] := o_reason[i]; h_voided[h] := v_left;
      end if;
    else
      t := array_position(t_id, o_id[i]);
      if t_hash[t] is not null then
        v_code := case when t_hash[t] = o_hash[i] then 'replayed' else 'conflict' end;
        v_left := case when v_code = 'replayed' then t_told[t] end;
      elsif c_gross[t] is not null then v_code := 'conflict';
      elsif h is not null and h_state[h] is null then v_code := 'hold_unknown';
      elsif h is not null and h_purpose[h] <> 'payout' and h_writer[h] <> p_writer then
        v_code := 'conflict';
      elsif h is not null and h_state[h] <> 'open' then v_code := 'hold_closed';
      elsif o_ref[i] = any (t_refs)
            or (o_reverses[i] is not null and o_reverses[i] <> all (t_reversible)) then
        v_code := 'conflict';
      end if;
      t := array_position(f_id, o_refunds[i]);
      v_taken := 0; v_back := 0;
      for l in o_first[i] .. o_last[i] loop
        exit when v_code is not null;
        if l_debit[l] is null or l_credit[l] is null then v_code := 'account_unknown';
        elsif not (a_open[l_debit[l]] and a_open[l_credit[l]]) then v_code := 'account_closed';
        elsif a_asset[l_debit[l]] <> a_asset[l_credit[l]] then v_code := 'asset_mismatch';
        else
          if l_debit[l] = h_a[h] then v_taken := v_taken + l_amount[l]; end if;
          if l_credit[l] = f_a[t] then v_back := v_back + l_amount[l]; end if;
        end if;
      end loop;
      if v_code is null and t is not null then
        v_code := case when f_gross[t] is null then 'request_unknown'
                       when v_back = 0 then 'conflict'
                       when f_now[t] + v_back > f_gross[t] then 'refund_exceeded' end;
      end if;
      if v_code is null and h is not null then
        v_code := case when v_taken = 0 then 'conflict'
                       when v_taken > h_amount[h] - h_captured[h] then 'hold_exceeded' end;
      end if;
      if v_code is null then
        v_share := case h_purpose[h] when 'lease' then v_taken else h_amount[h] end;
        if h is not null then a_held[h_a[h]] := a_held[h_a[h]] - v_share; end if;
        v_done := o_first[i] - 1;
        for l in o_first[i] .. o_last[i] loop
          a := l_debit[l]; b := l_credit[l];
          if greatest(a_dr[a], a_cr[b]) > c_max - l_amount[l] then
            v_code := 'overflow';
            exit;
          end if;
          a_dr[a] := a_dr[a] + l_amount[l]; a_cr[b] := a_cr[b] + l_amount[l];
          a_version[a] := a_version[a] + 1; a_version[b] := a_version[b] + 1;
          l_debit_entry[l] := a_version[a]; l_credit_entry[l] := a_version[b];
          v_done := l;
        end loop;
        for l in o_first[i] .. o_last[i] loop
          exit when v_code is not null;
          a := l_debit[l];
          if a_floored[a] and a_cr[a] - a_dr[a] < a_held[a] then v_code := 'insufficient';
          elsif a_dr[a] > c_max - a_held[a] then v_code := 'overflow';
          end if;
        end loop;
        if v_code is not null then
          for l in o_first[i] .. v_done loop
            a := l_debit[l]; b := l_credit[l];
            a_dr[a] := a_dr[a] - l_amount[l]; a_cr[b] := a_cr[b] - l_amount[l];
            a_version[a] := a_version[a] - 1; a_version[b] := a_version[b] - 1;
          end loop;
          if h is not null then a_held[h_a[h]] := a_held[h_a[h]] + v_share; end if;
        else
          if h is not null then
            a := h_a[h];
            v_left := a_cr[a] - a_dr[a] - a_held[a];
            h_captured[h] := h_captured[h] + v_taken; h_moved[h] := true; r_taken[i] := v_taken;
            if h_purpose[h] <> 'lease' then h_state[h] := 'captured'; end if;
          end if;
          if t is not null then f_now[t] := f_now[t] + v_back; end if;
          t := array_position(t_id, o_id[i]);
          t_hash[t] := o_hash[i]; t_told[t] := v_left;
          t_refs := t_refs || o_ref[i];
          t_reversible := array_remove(t_reversible, o_reverses[i]) || o_id[i];
        end if;
      end if;
    end if;
    if v_code is null then
      v_n := v_n + 1; r_ord[i] := v_n; v_code := 'applied';
    end if;
    r_code[i] := v_code; r_told[i] := v_left;
  end loop;
  if v_n = 0 then
    return query select r_code, r_told, w.head_seq, w.head_hash;
    return;
  end if;
  v_now := clock_timestamp();

  -- Write what was accepted. A name that another writer took meanwhile inserts fewer rows.
  insert into settlement.hold (hold_id, account_id, amount, purpose, writer_id, epoch, expires_at)
  select o.id, a_id[o.a], o.amount, o.purpose, p_writer, p_epoch, o.until
    from unnest(o_verb, o_id, o_a, o_amount, o_purpose, o_until, r_ord)
         as o (verb, id, a, amount, purpose, until, ord)
   where o.verb = 'hold' and o.ord is not null
  on conflict do nothing;
  get diagnostics v_rows = row_count;
  insert into settlement.txn (txn_id, kind, slot, event_at, recorded_at, effective_on,
    external_ref, reverses, refunds, hold_id, hold_captured, available_after, actor, reason, meta,
    content_sha256, writer_id, epoch, batch_seq, ord)
  select o.id, x.kind, x.slot, x.event_at, v_now, x.effective_on, o.ref, o.reverses, x.refunds,
         o.hold, o.taken, case when o.hold is not null then o.told end, x.actor, o.reason,
         coalesce(x.meta, '{}'), o.hash, p_writer, p_epoch, v_seq, o.ord
    from unnest(o_verb, o_id, o_hold, o_ref, o_reverses, o_reason, o_hash, r_taken, r_told,
                r_ord) with ordinality
         as o (verb, id, hold, ref, reverses, reason, hash, taken, told, ord, n)
   cross join lateral jsonb_to_record(p_operations -> (o.n::integer - 1)) as x (kind text,
         slot bigint, event_at timestamptz, effective_on date, actor text, meta jsonb,
         refunds uuid)
   where o.verb in ('post', 'capture') and o.ord is not null
  on conflict do nothing;
  get diagnostics v_done = row_count;
  if v_rows + v_done <> (select count(*) from unnest(o_verb, r_ord) as o (verb, ord)
                         where o.verb in ('hold', 'post', 'capture') and o.ord is not null) then
    raise exception 'another writer took the same name' using errcode = '40001';
  end if;
  insert into settlement.transfer (txn_id, leg, debit, credit, amount, debit_entry, credit_entry)
  select o_id[o.n], s.n - o_first[o.n] + 1, a_id[s.debit], a_id[s.credit], s.amount,
         s.debit_entry, s.credit_entry
    from unnest(r_ord) with ordinality as o (ord, n)
    join unnest(l_debit, l_credit, l_amount, l_debit_entry, l_credit_entry) with ordinality
         as s (debit, credit, amount, debit_entry, credit_entry, n)
      on s.n between o_first[o.n] and o_last[o.n]
   where o.ord is not null;
  insert into settlement.hold_event (hold_id, event, reason, available_after, writer_id, epoch,
    batch_seq, ord, recorded_at)
  select o.hold, case o.verb when 'hold' then 'placed' else 'voided' end,
         case o.verb when 'void' then o.reason end, o.told, p_writer, p_epoch, v_seq, o.ord, v_now
    from unnest(o_verb, o_hold, o_reason, r_told, r_ord) as o (verb, hold, reason, told, ord)
   where o.verb in ('hold', 'void') and o.ord is not null;
  insert into settlement.charge (request_id, hold_id, user_account, operator_account, gross,
    operator_share, treasury_share, user_entry, operator_entry, treasury_entry, user_balance_after,
    batch_seq, writer_id, ord, split_bps)
  select o.id, coalesce(o.hold, c_none), a_id[o.a], a_id[o.b], o.amount, o.amount - o.share,
         o.share, o.user_entry, o.operator_entry, o.treasury_entry, o.balance, v_seq, p_writer,
         o.ord, o.bps
    from unnest(o_verb, o_id, o_hold, o_a, o_op, o_amount, r_share, o_bps, r_user_entry,
                r_operator_entry, r_treasury_entry, r_balance, r_ord)
         as o (verb, id, hold, a, b, amount, share, bps, user_entry, operator_entry,
               treasury_entry, balance, ord)
   where o.verb = 'charge' and o.ord is not null
  on conflict do nothing;
  get diagnostics v_rows = row_count;
  v_charged := array(select o.id from unnest(o_verb, o_id, r_ord) as o (verb, id, ord)
                      where o.verb = 'charge' and o.ord is not null order by o.id);
  if v_rows <> cardinality(v_charged) then
    raise exception 'another writer took the same name' using errcode = '40001';
  end if;
  v_first := v_charged[1]; v_last := v_charged[v_rows];
  update settlement.hold x
     set state = d.state, captured = d.captured,
         released = case d.state when 'open' then 0 else x.amount - d.captured end
    from unnest(h_id, h_state, h_captured, h_moved) as d (id, state, captured, moved)
   where x.hold_id = d.id and d.moved;
  insert into settlement.refund as x (request_id, user_account, gross, refunded)
  select f.id, a_id[f.a], f.gross, f.now
    from unnest(f_id, f_a, f_gross, f_before, f_now) as f (id, a, gross, before, now)
   where f.now > f.before
  on conflict (request_id) do update set refunded = excluded.refunded;
  -- No balance moves but by the rows just written, and to where it was decided.
  update settlement.balance x
     set dr = x.dr + d.dr, cr = x.cr + d.cr, held = x.held + d.held, version = x.version + d.n
    from (select s.account_id, sum(s.dr)::bigint as dr, sum(s.cr)::bigint as cr,
                 sum(s.held)::bigint as held, sum(s.n)::bigint as n
            from (select f.account_id, f.dr, f.cr, 0 as held, 1 as n from settlement.entry f
                   where f.writer_id = p_writer and f.batch_seq = v_seq
                     and (f.kind <> 'charge' or f.cause_id between v_first and v_last)
                  union all
                  select f.account_id, 0, 0, f.held, 0 from settlement.hold_flow f
                   where f.writer_id = p_writer and f.batch_seq = v_seq
                     and (f.kind <> 'charge' or f.cause_id between v_first and v_last)) as s
           group by s.account_id) as d
   where x.account_id = d.account_id;
  if exists (select from unnest(a_id, a_dr, a_cr, a_held, a_version)
               as d (id, dr, cr, held, version)
             join settlement.balance x on x.account_id = d.id
            where (x.dr, x.cr, x.held, x.version) <> (d.dr, d.cr, d.held, d.version)) then
    raise exception 'what was written is not what was decided' using errcode = 'PL004';
  end if;
  v_closed := settlement.close_batch_v2(w, v_n, (select string_agg(x.leaf, ''::bytea order by x.ord)
    from settlement.batch_leaves_v2(p_writer, v_seq, v_first, v_last) as x), v_now);
  return query select r_code, r_told, v_closed.seq, v_closed.hash;
end
$$;
grant execute on function settlement.apply_v2(integer, integer, bigint, bytea, jsonb)
  to pod_coordinator, pod_indexer, pod_settlement;

-- ------------------------------------------------------------------ end of the ledger's part

-- 0005_payouts, 0025_payout_messages ---------------------------------------------------------

-- Money going out: what was asked for (payout), every message made for it (payout_attempt), which
-- numbers are gone, and whether payouts stand still. A payout's id is also the id of its hold.
create table settlement.payout_transition (
  from_state text not null,
  to_state text not null,
  primary key (from_state, to_state)
);
-- The same table as settlement/payouts/states.py, which a test compares.
insert into settlement.payout_transition (from_state, to_state) values
  ('awaiting_approval', 'requested'),
  ('awaiting_approval', 'cancelled'),
  ('requested', 'numbered'),
  ('requested', 'cancelled'),
  ('numbered', 'signed'),
  ('numbered', 'paid'),
  ('numbered', 'skipped'),
  ('numbered', 'requested'),
  ('signed', 'sent'),
  ('signed', 'numbered'),
  ('signed', 'paid'),
  ('signed', 'skipped'),
  ('signed', 'requested'),
  ('sent', 'numbered'),
  ('sent', 'paid'),
  ('sent', 'skipped'),
  ('sent', 'requested');

create table settlement.payout (
  payout_id uuid primary key,
  kind text not null check (kind in ('pay', 'fund_bond')),
  provider_id uuid not null,
  account text not null,                             -- whose money is held for it
  amount bigint not null check (amount > 0),
  destination text not null,                         -- a wallet, never a token account
  code bytea not null check (octet_length(code) = 8),
  reference bytea not null unique check (octet_length(reference) = 16),
  idempotency_key text check (length(idempotency_key) between 1 and 255),
  state text not null check (state in ('awaiting_approval', 'requested', 'numbered', 'signed',
                                       'sent', 'paid', 'skipped', 'cancelled')),
  requested_at timestamptz not null,
  needs_approval boolean not null default false,
  approved_at timestamptz,
  approved_by text,
  sequence bigint unique check (sequence >= 0),      -- its number on chain
  destination_account text,                          -- fixed together with the number
  skip_reason text,                                  -- set: the number is to be burned instead
  cancel_reason text,
  outcome_reference text,                            -- the finalized instruction that ended it
  outcome_slot bigint check (outcome_slot >= 0),
  unique (provider_id, idempotency_key),
  unique (outcome_reference, sequence),
  check ((approved_at is null) = (approved_by is null)),
  check (not needs_approval or approved_by is not null
         or state in ('awaiting_approval', 'cancelled')),
  check ((sequence is null) = (destination_account is null)),
  check ((sequence is null) = (state in ('awaiting_approval', 'requested', 'cancelled'))),
  check ((outcome_reference is null) = (outcome_slot is null)),
  check ((outcome_reference is not null) = (state in ('paid', 'skipped'))),
  check ((cancel_reason is not null) = (state = 'cancelled'))
);
create index payout_open on settlement.payout (state, requested_at)
  where state not in ('paid', 'skipped', 'cancelled');
create index payout_of_provider on settlement.payout (provider_id, requested_at);
create unique index one_bond_funding on settlement.payout (provider_id)
  where kind = 'fund_bond' and state not in ('paid', 'skipped', 'cancelled');

-- What is signed and sent: one payout's instruction, or those of several.
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

create table settlement.payout_attempt (
  payout_id uuid not null references settlement.payout,
  attempt integer not null check (attempt > 0),
  action text not null check (action in ('execute', 'skip')),
  creates_account boolean not null,                  -- we pay the rent of a token account
  closed_at timestamptz,                             -- dead or decided: never sent again
  message_id bigint not null references settlement.payout_message,
  position integer not null check (position >= 0),   -- where in the message
  primary key (payout_id, attempt),
  unique (message_id, position)
);
create unique index one_open_attempt on settlement.payout_attempt (payout_id)
  where closed_at is null;

-- The next number to give out. One row; it is not there before the chain's own base was read.
create table settlement.payout_counter (
  singleton boolean primary key default true check (singleton),
  program_id text not null,
  next_sequence bigint not null check (next_sequence >= 0)
);

-- Numbers the chain used up without an intent of ours: they must never be given out.
create table settlement.payout_number_gone (
  sequence bigint primary key check (sequence >= 0),
  how text not null check (how in ('paid', 'skipped')),
  reference text not null
);

-- While one row is open, no payout moves on. Only a person lifts one.
create table settlement.payout_halt (
  halt_id bigint generated always as identity primary key,
  reason text not null,
  detail text not null,
  raised_at timestamptz not null default clock_timestamp(),
  lifted_at timestamptz,
  lifted_by text,
  check ((lifted_at is null) = (lifted_by is null))
);
create unique index one_open_halt on settlement.payout_halt (reason) where lifted_at is null;

-- What was promised to the payee stays as it was, and states follow the table.
create function settlement.keep_payout_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (old.payout_id, old.kind, old.provider_id, old.account, old.amount, old.destination, old.code,
      old.reference, old.requested_at, old.needs_approval) is distinct from
     (new.payout_id, new.kind, new.provider_id, new.account, new.amount, new.destination, new.code,
      new.reference, new.requested_at, new.needs_approval) then
    raise exception 'payout %: what was asked for does not change', old.payout_id
      using errcode = 'PL010';
  end if;
  if old.state <> new.state and not exists (
      select from settlement.payout_transition t
       where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'payout %: no way from % to %', old.payout_id, old.state, new.state
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
create trigger keep_payout before update on settlement.payout
  for each row execute function settlement.keep_payout_v1();

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

do $$
declare
  v_table text;
begin
  foreach v_table in array array['payout', 'payout_attempt', 'payout_message', 'payout_counter',
                                 'payout_number_gone', 'payout_halt'] loop
    execute format('create trigger nothing_lost before delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
end
$$;

grant select on settlement.payout, settlement.payout_attempt, settlement.payout_message,
  settlement.payout_halt, settlement.payout_transition
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;
grant select on settlement.payout_counter, settlement.payout_number_gone
  to pod_indexer, pod_settlement, pod_finance;

-- The coordinator asks for payouts, and takes back what has no number yet.
grant insert (payout_id, kind, provider_id, account, amount, destination, code, reference,
              idempotency_key, state, requested_at, needs_approval)
  on settlement.payout to pod_coordinator, pod_settlement;
grant update (state, cancel_reason) on settlement.payout to pod_coordinator;

-- The worker numbers, builds and sends. It can write neither a signature nor an outcome.
grant update (state, sequence, destination_account, skip_reason, cancel_reason, approved_at,
              approved_by) on settlement.payout to pod_settlement;
grant insert (payout_id, attempt, action, creates_account, message_id, position),
  update (closed_at) on settlement.payout_attempt to pod_settlement;
grant insert (payer, members, message, cost_lamports, last_valid_height, built_at),
  update (sends, first_sent_at, last_sent_at, problem, rejected, confirmed_at, closed_at, ended)
  on settlement.payout_message to pod_settlement;
grant insert, update (next_sequence) on settlement.payout_counter to pod_settlement;
grant update (lifted_at, lifted_by) on settlement.payout_halt to pod_settlement;
grant insert (reason, detail) on settlement.payout_halt to pod_settlement, pod_indexer;

-- The signer signs, for what really is set aside in the books.
grant select on settlement.hold, settlement.account to pod_signer;
grant update (signature, wire, signed_at, refusal) on settlement.payout_message to pod_signer;
grant update (state) on settlement.payout to pod_signer;

-- The indexer alone says how a payout ended.
grant update (state, sequence, destination_account, outcome_reference, outcome_slot)
  on settlement.payout to pod_indexer;
grant update (closed_at) on settlement.payout_attempt to pod_indexer;
grant update (closed_at, ended) on settlement.payout_message to pod_indexer;
grant update (next_sequence) on settlement.payout_counter to pod_indexer;
grant insert on settlement.payout_number_gone to pod_indexer;

-- 0006_reconcile -----------------------------------------------------------------------------

-- Up to which slot each watched address has been read, and what comparing the books with the chain
-- found.
create table settlement.frontier (
  cluster text not null,
  address text not null,
  slot bigint not null check (slot >= 0),
  advanced_at timestamptz not null default clock_timestamp(),
  primary key (cluster, address)
);

create function settlement.keep_frontier_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if new.slot < old.slot then
    raise exception 'the frontier of % stands at %: it does not go back to %', old.address,
      old.slot, new.slot using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_frontier before update on settlement.frontier
  for each row execute function settlement.keep_frontier_v1();

create table settlement.reconcile_run (
  run_id uuid primary key,
  cluster text not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  verdict text not null check (verdict in ('equal', 'different', 'no_data')),
  problem text,                                      -- why there was no data
  sources integer not null check (sources > 0),      -- how many nodes could have been asked
  check (finished_at >= started_at),
  check ((verdict = 'no_data') = (problem is not null))
);
create index reconcile_run_latest on settlement.reconcile_run (cluster, finished_at);

create table settlement.reconcile_line (
  run_id uuid not null references settlement.reconcile_run,
  vault text not null check (vault in ('till', 'bond')),
  address text not null,
  slot bigint not null check (slot >= 0),
  books bigint not null,
  chain numeric(20, 0) not null check (chain >= 0),  -- a u64 does not fit a bigint
  difference numeric(20, 0) not null,
  primary key (run_id, vault),
  check (difference = chain - books)
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['reconcile_run', 'reconcile_line'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  create trigger nothing_lost before delete or truncate on settlement.frontier
    for each statement execute function settlement.refuse_change_v1();
end
$$;

grant select on settlement.frontier, settlement.reconcile_run, settlement.reconcile_line
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert (cluster, address, slot), update (slot, advanced_at)
  on settlement.frontier to pod_indexer;
grant insert on settlement.reconcile_run, settlement.reconcile_line to pod_settlement;

-- 0018_seals --------------------------------------------------------------------------------

-- Seals: a cut of all writers' chains, the tree over every row up to there, and where the accounts
-- stood that moved since the seal before. One signs or publishes its hash and vouches for all of it.
create table settlement.seal (
  seal_no integer primary key check (seal_no > 0),
  era integer not null references settlement.era,
  made_at timestamptz not null,
  rows bigint not null check (rows > 0),            -- since the seal before
  tree_size bigint not null check (tree_size >= rows),
  root bytea not null,                              -- RFC 6962's, over the leaves of all rows
  peaks bytea[] not null,                           -- the tree's perfect subtrees, largest first
  cut_hash bytea not null,
  balances_hash bytea not null,                     -- of its snapshots
  prev_hash bytea not null unique,
  hash bytea not null unique
);

-- Which batches a seal added. Leaves are ordered by seal, writer, batch and place in the batch.
create table settlement.seal_cut (
  seal_no integer not null references settlement.seal,
  writer_id integer not null references settlement.writer,
  from_seq bigint not null,
  to_seq bigint not null,
  first_leaf bigint not null unique,                -- of batch from_seq's first row
  hash bytea not null,                              -- of batch to_seq
  check (from_seq <= to_seq),
  primary key (seal_no, writer_id),
  unique (writer_id, to_seq)
);

-- The tree's complete nodes of each eighth level: over 256 leaves, over 256 of those, and so on.
create table settlement.seal_node (
  level integer not null check (level between 8 and 56 and level % 8 = 0),
  index bigint not null check (index >= 0),
  hash bytea not null check (octet_length(hash) = 32),
  primary key (level, index)
);

-- Where an account stood at a seal: after its entry of that number. Only what moved since the last.
create table settlement.snapshot (
  seal_no integer not null references settlement.seal,
  account_id bigint not null references settlement.account,
  entry bigint not null check (entry > 0),
  dr bigint not null check (dr >= 0),
  cr bigint not null check (cr >= 0),
  primary key (seal_no, account_id),
  unique (account_id, entry)
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['seal', 'seal_cut', 'seal_node', 'snapshot'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
end
$$;
grant select on settlement.seal, settlement.seal_cut, settlement.seal_node, settlement.snapshot
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

-- The root over the perfect subtrees that stand side by side, largest first.
create function settlement.tree_root_v1(p_peaks bytea[]) returns bytea
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  v_root bytea := p_peaks[cardinality(p_peaks)];
begin
  for i in reverse cardinality(p_peaks) - 1 .. 1 loop
    v_root := sha256('\x01'::bytea || p_peaks[i] || v_root);
  end loop;
  return v_root;
end
$$;

-- What a seal is known by: all that stands in it, and the seal before it.
create function settlement.seal_hash_v1(p_seal integer, p_era integer, p_size bigint, p_rows bigint,
  p_made timestamptz, p_prev bytea, p_root bytea, p_cut bytea, p_balances bytea) returns bytea
language sql stable as $$
  select sha256(convert_to(concat_ws('|', 'seal/1', p_seal, p_era, p_size, p_rows,
    extract(epoch from p_made)), 'UTF8') || p_prev || p_root || p_cut || p_balances)
$$;

-- Which of a writer's batches has its row of this number, counted from 0 through its chain: found by
-- halves, for no index counts rows.
create function settlement.batch_of_row_v1(p_writer integer, p_row bigint) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  v_low bigint := 1;
  v_high bigint := (select head_seq from settlement.writer where writer_id = p_writer);
  v_middle bigint;
begin
  while v_low < v_high loop
    v_middle := (v_low + v_high + 1) / 2;
    if (select rows_before from settlement.batch where writer_id = p_writer and seq = v_middle)
       <= p_row then
      v_low := v_middle;
    else
      v_high := v_middle - 1;
    end if;
  end loop;
  return v_low;
end
$$;
grant execute on function settlement.batch_of_row_v1(integer, bigint)
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

-- Adds a seal of what its maker has read and verified. Raises PL013 when it does not follow: another
-- number than the next, a cut that goes back or beyond a head or that is of another chain, sizes that
-- do not add up, a root that is not its peaks', nodes too many or too few, snapshots that go back,
-- beyond a balance, or do not sum to zero. What cannot be seen without reading every row again is
-- left to the check of the books: the root itself, and that snapshots are those of the cut.
create function settlement.seal_v1(
  p_seal integer, p_size bigint, p_peaks bytea[], p_root bytea,
  p_writers integer[], p_to bigint[], p_hashes bytea[],
  p_levels integer[], p_indexes bigint[], p_nodes bytea[],
  p_accounts bigint[], p_entries bigint[], p_dr bigint[], p_cr bigint[])
returns table (era integer, made_at timestamptz, hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_before settlement.seal;
  v_size bigint;
  v_now timestamptz;
  v_era integer;
  v_prev bytea;
  v_cut bytea;
  v_balances bytea;
  -- The cut by writer: its batches, how many rows they are, and where their leaves begin.
  v_writers integer[];
  v_from bigint[];
  v_to bigint[];
  v_hashes bytea[];
  v_first bigint[];
  v_rows numeric;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'the books need READ COMMITTED' using errcode = 'PL002';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('podledger:seals', 0));
  select * into v_before from settlement.seal order by seal_no desc limit 1;
  v_size := coalesce(v_before.tree_size, 0);
  if p_seal is distinct from coalesce(v_before.seal_no, 0) + 1 then
    raise exception 'the next seal is not %', p_seal using errcode = 'PL013';
  end if;
  if exists (
      select from unnest(p_writers, p_to, p_hashes) as a (writer_id, to_seq, hash)
        left join settlement.writer w on w.writer_id = a.writer_id
        left join settlement.batch b on b.writer_id = a.writer_id and b.seq = a.to_seq
       where (a.to_seq <= w.head_seq and b.hash = a.hash and not exists (
                select from settlement.seal_cut c
                 where c.writer_id = a.writer_id and c.to_seq >= a.to_seq)) is not true)
     or (select count(*) <> count(distinct a) or count(*) = 0 from unnest(p_writers) as a) then
    raise exception 'the cut does not follow the chains' using errcode = 'PL013';
  end if;
  select array_agg(y.writer_id order by y.writer_id), array_agg(y.from_seq order by y.writer_id),
         array_agg(y.to_seq order by y.writer_id), array_agg(y.hash order by y.writer_id),
         array_agg(y.first_leaf order by y.writer_id), sum(y.rows),
         sha256(convert_to(string_agg(concat_ws('|', y.writer_id, y.from_seq, y.to_seq, y.first_leaf,
           encode(y.hash, 'hex')), E'\n' order by y.writer_id), 'UTF8'))
    into v_writers, v_from, v_to, v_hashes, v_first, v_rows, v_cut
    from (select x.*, (v_size + sum(x.rows) over (order by x.writer_id) - x.rows)::bigint as first_leaf
            from (select a.writer_id, coalesce(c.to_seq, 0) + 1 as from_seq, a.to_seq, a.hash,
                         b.rows_before + b.n - coalesce(l.rows_before + l.n, 0) as rows
                    from unnest(p_writers, p_to, p_hashes) as a (writer_id, to_seq, hash)
                    join settlement.batch b on b.writer_id = a.writer_id and b.seq = a.to_seq
                    left join lateral (select max(z.to_seq) as to_seq from settlement.seal_cut z
                                        where z.writer_id = a.writer_id) as c on true
                    left join settlement.batch l on l.writer_id = a.writer_id and l.seq = c.to_seq)
                 as x) as y;
  if p_size is distinct from v_size + v_rows then
    raise exception '% and % rows are not %', v_size, v_rows, p_size using errcode = 'PL013';
  end if;
  if p_root is distinct from settlement.tree_root_v1(p_peaks)
     or cardinality(p_peaks) is distinct from bit_count(int8send(p_size))
     or exists (select from unnest(p_peaks) as p where octet_length(p) is distinct from 32) then
    raise exception 'the root is not its peaks''' using errcode = 'PL013';
  end if;
  if exists (
      select from generate_series(8, 56, 8) as g (level)
       cross join lateral (
         select count(*) as n, count(distinct x.index) as different, min(x.index) as low,
                max(x.index) as high
           from unnest(p_levels, p_indexes) as x (level, index) where x.level = g.level) as f
       where f.n <> (p_size >> g.level) - (v_size >> g.level) or f.n <> f.different
          or f.low < v_size >> g.level or f.high >= p_size >> g.level)
     or exists (select from unnest(p_levels) as x where (x % 8 = 0 and x > 0) is not true) then
    raise exception 'the nodes are not those that are new' using errcode = 'PL013';
  end if;
  if exists (
      select from unnest(p_accounts, p_entries, p_dr, p_cr) as s (account_id, entry, dr, cr)
        left join settlement.balance b on b.account_id = s.account_id
        left join lateral (select * from settlement.snapshot y where y.account_id = s.account_id
                            order by y.entry desc limit 1) as o on true
       where (s.entry > coalesce(o.entry, 0) and s.dr >= coalesce(o.dr, 0)
              and s.cr >= coalesce(o.cr, 0) and s.entry <= b.version and s.dr <= b.dr
              and s.cr <= b.cr and (s.entry < b.version or (s.dr, s.cr) = (b.dr, b.cr)))
             is not true)
     or exists (
      select from unnest(p_accounts, p_dr, p_cr) as s (account_id, dr, cr)
        join settlement.account a using (account_id)
        left join lateral (select * from settlement.snapshot y where y.account_id = s.account_id
                            order by y.entry desc limit 1) as o on true
       group by a.asset
      having sum(s.dr - coalesce(o.dr, 0)) <> sum(s.cr - coalesce(o.cr, 0))) then
    raise exception 'the snapshots are not the accounts''' using errcode = 'PL013';
  end if;

  v_now := clock_timestamp();
  v_era := (select max(x.era) from settlement.era x);
  v_prev := coalesce(v_before.hash, sha256(convert_to('seals/1', 'UTF8')));
  select sha256(convert_to(coalesce(string_agg(concat_ws('|', s.account_id, s.entry, s.dr, s.cr), E'\n'
                                               order by s.account_id), ''), 'UTF8'))
    into v_balances
    from unnest(p_accounts, p_entries, p_dr, p_cr) as s (account_id, entry, dr, cr);
  return query
    insert into settlement.seal as x (seal_no, era, made_at, rows, tree_size, root, peaks, cut_hash,
      balances_hash, prev_hash, hash)
    values (p_seal, v_era, v_now, p_size - v_size, p_size, p_root, p_peaks, v_cut, v_balances, v_prev,
      settlement.seal_hash_v1(p_seal, v_era, p_size, p_size - v_size, v_now, v_prev, p_root, v_cut,
                              v_balances))
    returning x.era, x.made_at, x.hash;
  insert into settlement.seal_cut (seal_no, writer_id, from_seq, to_seq, first_leaf, hash)
  select p_seal, * from unnest(v_writers, v_from, v_to, v_first, v_hashes);
  insert into settlement.seal_node (level, index, hash)
  select * from unnest(p_levels, p_indexes, p_nodes);
  insert into settlement.snapshot (seal_no, account_id, entry, dr, cr)
  select p_seal, * from unnest(p_accounts, p_entries, p_dr, p_cr);
end
$$;
grant execute on function settlement.seal_v1(integer, bigint, bytea[], bytea, integer[], bigint[],
  bytea[], integer[], bigint[], bytea[], bigint[], bigint[], bigint[], bigint[]) to pod_settlement;

-- 0019_archive, 0020_archived_books ----------------------------------------------------

-- Where the rows of a day that is folded stood in each writer's chain, and when they were recorded.
-- While it is folded, the last row of the last writer says how far that is.
create table settlement.archived_span (
  day date not null references settlement.charge_day,
  writer_id integer not null references settlement.writer,
  first_seq bigint not null,
  last_seq bigint not null,
  last_ord integer not null,
  n bigint not null check (n > 0),
  first_at timestamptz not null,
  last_at timestamptz not null,
  primary key (day, writer_id)
);
create index archived_span_end on settlement.archived_span (writer_id, last_seq);

-- What they added up to, by account. Its entries of a day need not be neighbours: `numbers` is the
-- sum of their numbers, by which one that is missing or there twice is noticed.
create table settlement.archived_entry_sum (
  day date not null,
  writer_id integer not null,
  account_id bigint not null,
  first_entry bigint not null,
  last_entry bigint not null,
  n bigint not null check (n > 0),
  numbers numeric not null,
  dr bigint not null check (dr >= 0),
  cr bigint not null check (cr >= 0),
  primary key (day, writer_id, account_id),
  foreign key (day, writer_id) references settlement.archived_span
) with (fillfactor = 70);
create index archived_entry_sum_account on settlement.archived_entry_sum (account_id);

-- What they spent of each hold.
create table settlement.archived_hold (
  day date not null references settlement.charge_day,
  hold_id uuid not null,
  n bigint not null check (n > 0),
  captured bigint not null check (captured >= 0),
  primary key (hold_id, day)
) with (fillfactor = 70);

-- Of the seals' tree, where a kept hash stands over leaves of which some are archived and some are
-- not: the subtrees of the archived ones, for proofs of the others. Level and index, then the hash.
create table settlement.archived_node (
  level smallint not null check (level between 0 and 7),
  index bigint not null check (index >= 0),
  hash bytea not null check (length(hash) = 32),
  primary key (index, level)
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['archived_span', 'archived_entry_sum', 'archived_hold',
                                 'archived_node'] loop
    execute format('create trigger nothing_lost before delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
    execute format('grant select on settlement.%I to pod_coordinator, pod_indexer, pod_settlement,
      pod_finance', v_table);
  end loop;
end
$$;

-- The oldest day that is attached, if it is this one; its name. Raises PL014 for any other.
create function settlement.oldest_charge_day_v1(p_day date) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_oldest record;
begin
  select day, partition into v_oldest from settlement.charge_day where state = 'attached'
   order by day limit 1 for update;
  if v_oldest.day is distinct from p_day then
    raise exception 'the oldest day there is is %, not %', v_oldest.day, p_day
      using errcode = 'PL014';
  end if;
  return v_oldest.partition;
end
$$;

-- Moves the window of ids that may be settled past a day. Whoever was settling by the old window has
-- committed when this returns, and whoever comes after sees the new one: nothing is written to the
-- day any more. Raises PL012 for a day that is not over for a day, PL014 for any but the oldest.
create function settlement.close_charge_day_v1(p_day date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  v_low constant uuid := settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc');
begin
  if p_day is null or p_day > current_date - 2 then
    raise exception 'requests of % may still be settled', p_day using errcode = 'PL012';
  end if;
  if (select low from settlement.charge_window) >= v_low then
    return;
  end if;
  -- In the order of ensure_charge_days_v1 and open_writer_v2. A batch locks its writer's head before
  -- it reads the window; this waits for all of them, also for writers opened at this very moment.
  perform pg_advisory_xact_lock(hashtextextended('podledger:charge-days', 0));
  lock table settlement.writer in exclusive mode;
  perform settlement.oldest_charge_day_v1(p_day);
  update settlement.charge_window set low = v_low;
end
$$;

-- Adds the next so many rows of a closed day up, from where the last call stopped; returns how many
-- they were: 0 when all are. In steps, for one long statement would keep dead rows of the balances
-- alive for as long as it runs. Raises PL014 while the day is open, or not the oldest.
create function settlement.fold_charge_day_v1(p_day date, p_rows integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
declare
  v_partition constant text := settlement.oldest_charge_day_v1(p_day);
  v_from record;
  v_n integer;
begin
  if (select low from settlement.charge_window)
     < settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc') then
    raise exception 'requests of % may still be settled', p_day using errcode = 'PL014';
  end if;
  select writer_id, last_seq, last_ord into v_from from settlement.archived_span
   where day = p_day order by writer_id desc limit 1;
  execute format($fold$
    with page as materialized (
      select c.*, w.treasury_account, b.created_at
        from (select * from settlement.%I
               where (writer_id, batch_seq, ord) > ($2, $3, $4)
               order by writer_id, batch_seq, ord limit $5) as c
        join settlement.writer w using (writer_id)
        join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
    ),
    spans as (
      insert into settlement.archived_span as x (day, writer_id, first_seq, last_seq, last_ord, n,
        first_at, last_at)
      select $1, writer_id, min(batch_seq), max(batch_seq),
             (array_agg(ord order by batch_seq desc, ord desc))[1], count(*), min(created_at),
             max(created_at)
        from page group by writer_id
      on conflict (day, writer_id) do update
         set last_seq = excluded.last_seq, last_ord = excluded.last_ord, n = x.n + excluded.n,
             last_at = excluded.last_at
    ),
    entries as (
      insert into settlement.archived_entry_sum as x (day, writer_id, account_id, first_entry,
        last_entry, n, numbers, dr, cr)
      select $1, e.writer_id, e.account_id, min(e.entry), max(e.entry), count(*), sum(e.entry),
             sum(e.dr), sum(e.cr)
        from (select writer_id, user_account as account_id, user_entry as entry, gross as dr,
                     0::bigint as cr from page
              union all select writer_id, operator_account, operator_entry, 0, operator_share
                          from page
              union all select writer_id, treasury_account, treasury_entry, 0, treasury_share
                          from page) as e
       group by e.writer_id, e.account_id
      on conflict (day, writer_id, account_id) do update
         set first_entry = least(x.first_entry, excluded.first_entry),
             last_entry = greatest(x.last_entry, excluded.last_entry), n = x.n + excluded.n,
             numbers = x.numbers + excluded.numbers, dr = x.dr + excluded.dr,
             cr = x.cr + excluded.cr
    ),
    holds as (
      insert into settlement.archived_hold as x (day, hold_id, n, captured)
      select $1, hold_id, count(*), sum(gross) from page
       where hold_id <> '00000000-0000-0000-0000-000000000000' group by hold_id
      on conflict (hold_id, day) do update
         set n = x.n + excluded.n, captured = x.captured + excluded.captured
    )
    select count(*) from page $fold$, v_partition)
    into v_n using p_day, coalesce(v_from.writer_id, -1), coalesce(v_from.last_seq, 0),
                   coalesce(v_from.last_ord, 0), p_rows;
  return v_n;
end
$$;

-- Keeps subtrees of archived leaves; again is no change.
create function settlement.keep_archived_nodes_v1(p_levels smallint[], p_indexes bigint[],
  p_hashes bytea[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into settlement.archived_node (level, index, hash)
  select * from unnest(p_levels, p_indexes, p_hashes) on conflict do nothing
$$;

-- Takes a day out of the journal, once its file is written and was read back: from here on what it
-- added up to counts in its place. The manifest must say what was added up, and name a seal that
-- holds every row. Raises PL014 when the day is not ready, PL015 when the manifest is not its own.
create function settlement.archive_charge_day_v1(p_day date, p_manifest jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_partition constant text := settlement.oldest_charge_day_v1(p_day);
  v_seal constant integer := (p_manifest #>> '{seal,seal_no}')::integer;
  v_left boolean;
  v_folded jsonb;
begin
  execute format('select exists (select from settlement.%I where (writer_id, batch_seq, ord) > (
    select writer_id, last_seq, last_ord from settlement.archived_span where day = $1
     union all select -1, 0, 0 order by 1 desc limit 1))', v_partition) into v_left using p_day;
  if v_left or (select low from settlement.charge_window)
               < settlement.uuid_floor_v1((p_day + 1)::timestamp at time zone 'utc') then
    raise exception '% is not added up', p_day using errcode = 'PL014';
  end if;
  select jsonb_build_object('rows', coalesce(sum(s.n), 0), 'gross', coalesce(sum(t.gross), 0),
           'operator_share', coalesce(sum(t.operators), 0),
           'treasury_share', coalesce(sum(t.treasury), 0))
    into v_folded
    from settlement.archived_span s
    join settlement.writer w using (writer_id)
   cross join lateral (
     select sum(e.dr) as gross, sum(e.cr) filter (where e.account_id = w.treasury_account)
              as treasury, sum(e.cr) filter (where e.account_id <> w.treasury_account) as operators
       from settlement.archived_entry_sum e
      where e.day = s.day and e.writer_id = s.writer_id) as t
   where s.day = p_day;
  if v_folded is distinct from p_manifest -> 'sums'
     or p_day::text is distinct from p_manifest ->> 'day' then
    raise exception 'the manifest is not that of %', p_day using errcode = 'PL015',
      detail = v_folded::text;
  end if;
  if (v_folded ->> 'rows')::bigint > 0 and not exists (
      select from settlement.seal s
       where s.seal_no = v_seal and encode(s.hash, 'hex') = p_manifest #>> '{seal,hash}'
         and not exists (select from settlement.archived_span a where a.day = p_day
           and a.last_seq > coalesce((select max(c.to_seq) from settlement.seal_cut c
                 where c.writer_id = a.writer_id and c.seal_no <= v_seal), 0))) then
    raise exception 'seal % does not hold all of %', v_seal, p_day using errcode = 'PL015';
  end if;
  update settlement.charge_day
     set state = 'archived', archived_at = clock_timestamp(), archive = p_manifest
   where day = p_day;
  -- Last, for it stops everybody who settles until this has committed.
  execute format('alter table settlement.charge detach partition settlement.%I', v_partition);
  execute format('drop table settlement.%I', v_partition);
end
$$;
grant execute on function settlement.close_charge_day_v1(date),
  settlement.fold_charge_day_v1(date, integer),
  settlement.keep_archived_nodes_v1(smallint[], bigint[], bytea[]),
  settlement.archive_charge_day_v1(date, jsonb) to pod_settlement;

-- Every movement, one row per account it touched, numbered per account; of an archived day one row
-- for each writer and account, in place of as many `entries`, the last of which gives the number.
create view settlement.entry as
  select t.debit as account_id, t.debit_entry as entry, t.amount as dr, 0::bigint as cr,
         x.kind, x.txn_id as cause_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord, x.effective_on, 1::bigint as entries
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select t.credit, t.credit_entry, 0::bigint, t.amount,
         x.kind, x.txn_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord, x.effective_on, 1::bigint
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select c.user_account, c.user_entry, c.gross, 0::bigint, 'charge', c.request_id, null,
         null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date, 1::bigint
    from settlement.charge c
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select c.operator_account, c.operator_entry, 0::bigint, c.operator_share, 'charge', c.request_id,
         null, null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date, 1::bigint
    from settlement.charge c
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select w.treasury_account, c.treasury_entry, 0::bigint, c.treasury_share, 'charge', c.request_id,
         null, null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date, 1::bigint
    from settlement.charge c join settlement.writer w using (writer_id)
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select s.account_id, s.last_entry, s.dr, s.cr, 'charges_archived',
         md5(format('charges_archived|%s|%s', s.day, s.writer_id))::uuid, null, null::bigint,
         p.last_at, p.last_at, s.writer_id, p.last_seq, p.last_ord,
         (p.last_at at time zone 'utc')::date, s.n
    from settlement.archived_span p
    join settlement.charge_day d on d.day = p.day and d.state = 'archived'
    join settlement.archived_entry_sum s on s.day = p.day and s.writer_id = p.writer_id;

grant select on settlement.entry
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

-- One row for each rule of the books that is broken; none when they are right.
create function settlement.check_books_v1() returns table (rule text, detail text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select 'zero sum', format('%s: debits %s, credits %s', a.asset, sum(b.dr), sum(b.cr))
    from settlement.balance b join settlement.account a using (account_id)
   group by a.asset having sum(b.dr) <> sum(b.cr)
  union all
  select 'floor', format('%s has %s - %s - %s held', a.name, b.cr, b.dr, b.held)
    from settlement.balance b join settlement.account a using (account_id)
   where a.floored and b.cr::numeric - b.dr - b.held < 0
  union all
  select 'floor flag', a.name
    from settlement.account a join settlement.account_kind k using (kind)
    left join settlement.balance b using (account_id)
   where (a.floored, b.floored, a.asset, b.earns)
         is distinct from (k.floored, k.floored, k.asset, a.kind = 'host')
  union all
  select 'held is open holds', format('%s: held %s, open %s', a.name, b.held, coalesce(h.open, 0))
    from settlement.balance b join settlement.account a using (account_id)
    left join (select account_id, sum(amount - captured) as open from settlement.hold
                where state = 'open' group by account_id) as h using (account_id)
   where b.held <> coalesce(h.open, 0)
  union all
  select 'balance is its entries', format('%s: %s/%s/%s, entries say %s/%s/%s', a.name, b.dr, b.cr,
         b.version, coalesce(e.dr, 0), coalesce(e.cr, 0), coalesce(e.n, 0))
    from settlement.balance b join settlement.account a using (account_id)
    left join (select account_id, sum(dr) as dr, sum(cr) as cr, sum(entries) as n
                 from settlement.entry group by account_id) as e using (account_id)
   where (b.dr, b.cr, b.version) <> (coalesce(e.dr, 0), coalesce(e.cr, 0), coalesce(e.n, 0))
  union all
  select 'entries are numbered', format('account %s: %s entries from %s to %s', account_id,
         sum(n), min(first), max(last))
    from (select account_id, count(*) as n, min(entry) as first, max(entry) as last,
                 sum(entry) as numbers, count(distinct entry) as kinds
            from settlement.entry where kind <> 'charges_archived' group by account_id
          union all
          select s.account_id, s.n, s.first_entry, s.last_entry, s.numbers, s.n
            from settlement.archived_entry_sum s
            join settlement.charge_day d on d.day = s.day and d.state = 'archived') as e
   group by account_id
  having min(first) <> 1 or max(last) <> sum(n) or sum(kinds) <> sum(n)
      or sum(numbers) <> sum(n) * (sum(n) + 1) / 2
  union all
  select 'balance after', format('charge %s of account %s', c.request_id, c.user_account)
    from (select account_id, entry, kind, sum(cr - dr) over o as after,
                 -- Between archived entries nothing can be said of where the account stood.
                 count(*) filter (where kind = 'charges_archived') over o
                   < count(*) filter (where kind = 'charges_archived') over (
                       partition by account_id) as before_archived
            from settlement.entry
          window o as (partition by account_id order by entry)) as e
    join settlement.charge c on c.user_account = e.account_id and c.user_entry = e.entry
   where c.user_balance_after <> e.after and e.kind = 'charge' and not e.before_archived
  union all
  select 'hold is its events', format('hold %s is %s', h.hold_id, h.state)
    from settlement.hold h
    left join (select hold_id, sum(times) as n, sum(spent) as captured
                 from (select hold_id, gross as spent, 1 as times from settlement.charge
                       union all select hold_id, hold_captured, 1 from settlement.txn
                       union all select a.hold_id, a.captured, a.n from settlement.archived_hold a
                                   join settlement.charge_day d
                                     on d.day = a.day and d.state = 'archived') as s
                group by hold_id) as c on c.hold_id = h.hold_id
    left join settlement.hold_event p on p.hold_id = h.hold_id and p.event = 'placed'
    left join settlement.hold_event v on v.hold_id = h.hold_id and v.event = 'voided'
   where p.hold_id is null or h.captured <> coalesce(c.captured, 0)
      or (h.purpose <> 'lease' and coalesce(c.n, 0) + num_nonnulls(v.hold_id) > 1)
      or h.state <> case when v.hold_id is null and (h.purpose = 'lease' or c.n is null) then 'open'
                         when c.n is null or h.captured = 0 and v.hold_id is not null then 'voided'
                         else 'captured' end
  union all
  select 'batch hash', format('writer %s, batch %s', b.writer_id, b.seq)
    from settlement.batch b
   cross join lateral (select count(*) as n, max(x.ord) as last,
                              settlement.batch_root_v2(string_agg(x.leaf, ''::bytea order by x.ord))
                              as root
                         from settlement.batch_leaves_v2(b.writer_id, b.seq) as x) as r
   where b.hash <> settlement.batch_hash_v2(b.writer_id, b.epoch, b.seq, b.n, b.rows_before,
                                            b.created_at, b.prev_hash, b.root)
      -- Of a batch with archived rows the seals' tree knows the leaves; here they are counted.
      or case when r.n = b.n then r.last <> b.n or r.root is distinct from b.root
              else r.n > b.n or r.last > b.n or not exists (
                select from settlement.archived_span s
                  join settlement.charge_day d on d.day = s.day and d.state = 'archived'
                 where s.writer_id = b.writer_id and b.seq between s.first_seq and s.last_seq) end
  union all
  select 'archived rows', format('writer %s: %s of its batches'' rows are there, %s are archived',
         w.writer_id, r.there, a.n)
    from settlement.writer w
   cross join lateral (
     select (select count(*) from settlement.charge c where c.writer_id = w.writer_id)
            + (select count(*) from settlement.hold_event e where e.writer_id = w.writer_id)
            + (select count(*) from settlement.txn x where x.writer_id = w.writer_id) as there) as r
   cross join lateral (
     select coalesce(sum(s.n), 0) as n from settlement.archived_span s
       join settlement.charge_day d on d.day = s.day and d.state = 'archived'
      where s.writer_id = w.writer_id) as a
   where a.n > 0 and r.there + a.n <> w.head_rows
  union all
  select 'chain', format('writer %s, batch %s', w.writer_id, b.seq)
    from settlement.writer w
    join (select writer_id, seq, prev_hash, lag(seq, 1, 0::bigint) over o as before, rows_before,
                 lag(hash) over o as hash_before,
                 lag(rows_before + n, 1, 0::bigint) over o as rows_expected from settlement.batch
          window o as (partition by writer_id order by seq)) as b using (writer_id)
   where b.seq <> b.before + 1 or b.rows_before <> b.rows_expected
      or b.prev_hash <> coalesce(b.hash_before, settlement.first_link_v2(w.name, w.era))
  union all
  select 'head', format('writer %s is at %s', w.name, w.head_seq)
    from settlement.writer w
    left join lateral (select seq, hash, rows_before + n as rows from settlement.batch
                        where writer_id = w.writer_id order by seq desc limit 1) as b on true
   where (w.head_seq, w.head_hash, w.head_rows) is distinct from
         (coalesce(b.seq, 0), coalesce(b.hash, settlement.first_link_v2(w.name, w.era)),
          coalesce(b.rows, 0))
  union all
  select 'row without batch', format('writer %s, batch %s, %s', r.writer_id, r.batch_seq, r.ord)
    from (select writer_id, batch_seq, null::integer as epoch, null::timestamptz as at, ord
            from settlement.charge
          union all select writer_id, batch_seq, epoch, recorded_at, ord from settlement.txn
          union all select writer_id, batch_seq, epoch, recorded_at, ord
            from settlement.hold_event) as r
    left join settlement.batch b on b.writer_id = r.writer_id and b.seq = r.batch_seq
   where b.seq is null or b.epoch <> r.epoch or b.created_at <> r.at
  union all
  select 'refund is its posts', format('request %s: %s refunded, posts say %s', r.request_id,
         r.refunded, coalesce(p.amount, 0))
    from settlement.refund r
    left join (select x.refunds, f.user_account, sum(t.amount) as amount
                 from settlement.txn x
                 join settlement.refund f on f.request_id = x.refunds
                 join settlement.transfer t on t.txn_id = x.txn_id and t.credit = f.user_account
                group by x.refunds, f.user_account) as p on p.refunds = r.request_id
   where r.refunded <> coalesce(p.amount, 0)
  union all
  select 'refund is its posts', format('nothing is remembered of what %s refunds', x.txn_id)
    from settlement.txn x
   where x.refunds is not null
     and not exists (select from settlement.refund r where r.request_id = x.refunds)
  union all
  select 'what is named is there', format('%s %s', r.kind, r.name)
    from (select 'balance of account' as kind, b.account_id::text as name from settlement.balance b
           where not exists (select from settlement.account a where a.account_id = b.account_id)
          union all select 'hold', h.hold_id::text from settlement.hold h
           where not exists (select from settlement.account a where a.account_id = h.account_id)
              or not exists (select from settlement.writer w where w.writer_id = h.writer_id)
          union all select 'event of hold', e.hold_id::text from settlement.hold_event e
           where not exists (select from settlement.hold h where h.hold_id = e.hold_id)
          union all select 'capture of hold', x.hold_id::text from settlement.txn x
           where x.hold_id is not null
             and not exists (select from settlement.hold h where h.hold_id = x.hold_id)
          union all select 'batch', format('%s of writer %s', b.seq, b.writer_id)
            from settlement.batch b
           where not exists (select from settlement.writer w where w.writer_id = b.writer_id)) as r
$$;
grant execute on function settlement.check_books_v1()
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

-- 0022_arrivals_and_checkpoints ------------------------------------------------------------------

-- Two things that stand beside the books and never in them: deposits that are confirmed and not
-- final yet, so that who paid sees them arrive; and what the vaults held on chain at a slot, against
-- the movements up to it, with what happens when the two differ.
-- A deposit as the chain shows it before it is final. Nothing here is money: the books know nothing
-- of it, and it may be gone tomorrow. Rows that have ended are deleted after some days.
create table settlement.arrival (
  cluster text not null,
  reference text not null,          -- the movement's name, as the books will know it
  signature bytea not null check (octet_length(signature) = 64),
  slot bigint not null check (slot >= 0),
  vault text not null check (vault in ('till', 'bond')),
  amount bigint not null check (amount > 0),
  user_id uuid,                     -- whose code it carries; nobody's is shown to finance only
  provider_id uuid,
  state text not null default 'arriving' check (state in ('arriving', 'final', 'gone')),
  credited_as text,                 -- what the books took it as, once it was final
  first_seen_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (cluster, reference),
  check (num_nonnulls(user_id, provider_id) <= 1),
  check ((state = 'arriving') = (ended_at is null)),
  check ((state = 'final') = (credited_as is not null))
);
create index arrival_of_user on settlement.arrival (user_id)
  where state = 'arriving' and user_id is not null;
create index arrival_of_provider on settlement.arrival (provider_id)
  where state = 'arriving' and provider_id is not null;
create index arrival_open on settlement.arrival (cluster, slot) where state <> 'final';
create index arrival_ended on settlement.arrival (ended_at) where ended_at is not null;

-- A comparison of one watched account with the movements, and how it ended.
create table settlement.checkpoint (
  checkpoint_id bigint generated always as identity primary key,
  cluster text not null,
  address text not null,
  verdict text not null check (verdict in ('equal', 'different', 'no_data')),
  slot bigint check (slot >= 0),    -- the lowest slot that was compared
  agreeing integer not null check (agreeing >= 0),   -- nodes whose balance was the sum
  sources integer not null check (sources > 0),      -- nodes that were asked; 1: single-source
  problem text,                     -- why there was no data
  checked_at timestamptz not null default clock_timestamp(),
  check ((verdict = 'no_data') = (problem is not null)),
  check (verdict <> 'equal' or agreeing > 0),
  check (verdict = 'no_data' or slot is not null)
);
create index checkpoint_good on settlement.checkpoint (cluster, address, checkpoint_id)
  where verdict = 'equal';

-- What each node said, at its own slot. Microunits.
create table settlement.checkpoint_reading (
  checkpoint_id bigint not null references settlement.checkpoint,
  provider text not null,
  slot bigint not null check (slot >= 0),            -- the context slot of its answer
  balance numeric(20, 0) not null check (balance >= 0),
  movements numeric(40, 0) not null,                 -- their sum up to this slot
  accepted numeric(40, 0) not null,                  -- what persons have accepted beyond it
  difference numeric(40, 0) not null,
  primary key (checkpoint_id, provider),
  check (difference = balance - movements - accepted)
);

-- An account whose balance is not the sum: nothing above the last good checkpoint is credited.
create table settlement.crediting_stop (
  stop_id bigint generated always as identity primary key,
  cluster text not null,
  address text not null,
  above_slot bigint not null check (above_slot >= -1),
  up_to_slot bigint not null,                        -- where the two were found apart
  checkpoint_id bigint not null references settlement.checkpoint,
  difference numeric(40, 0) not null check (difference <> 0),  -- as last seen
  halt_reason text not null,                         -- under which payouts stand still with it
  raised_at timestamptz not null default clock_timestamp(),
  scanned_to_slot bigint,                            -- how far blocks were read looking for it
  lifted_at timestamptz,
  lifted_by text,
  lift_reason text,
  accepted numeric(40, 0) not null default 0,        -- of the difference, by a person
  check (num_nonnulls(lifted_at, lifted_by, lift_reason) in (0, 3)),
  check (accepted = 0 or lifted_at is not null),
  check (up_to_slot > above_slot)
);
create unique index one_open_stop on settlement.crediting_stop (cluster, address)
  where lifted_at is null;

-- Signatures that a listing should have shown and did not.
create table settlement.hidden_signature (
  cluster text not null,
  address text not null,
  signature bytea not null check (octet_length(signature) = 64),
  slot bigint not null,
  stop_id bigint not null references settlement.crediting_stop,
  found_in text not null,                            -- whose listing or blocks showed it
  found_at timestamptz not null default clock_timestamp(),
  primary key (cluster, address, signature)
);

-- Lets an account be credited again, and payouts move that stood still for it. The indexer proves
-- that the two are equal; a person says why, and takes over the difference that was last seen.
create function settlement.lift_crediting_stop_v1(
  p_stop bigint, p_by text, p_reason text, p_checkpoint bigint) returns numeric
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_by_indexer constant boolean := settlement.caller_role_v1() = 'pod_indexer';
  v_stop settlement.crediting_stop;
  v_accepted numeric := 0;
begin
  select * into v_stop from settlement.crediting_stop where stop_id = p_stop for update;
  if v_stop.stop_id is null or v_stop.lifted_at is not null then
    raise exception 'there is no open stop %', p_stop using errcode = 'PL010';
  end if;
  if coalesce(btrim(p_by), '') = '' or coalesce(btrim(p_reason), '') = '' then
    raise exception 'who lifts a stop says so, and why' using errcode = 'PL010';
  end if;
  if v_by_indexer and not exists (
      select from settlement.checkpoint c
       where c.checkpoint_id = p_checkpoint and c.checkpoint_id > v_stop.checkpoint_id
         and (c.cluster, c.address) = (v_stop.cluster, v_stop.address)
         and c.verdict = 'equal' and c.slot > v_stop.above_slot) then
    raise exception 'checkpoint % proves nothing about stop %', p_checkpoint, p_stop
      using errcode = 'PL010';
  end if;
  if not v_by_indexer then
    v_accepted := v_stop.difference;
  end if;
  update settlement.crediting_stop
     set lifted_at = clock_timestamp(), lifted_by = p_by, lift_reason = p_reason,
         accepted = v_accepted
   where stop_id = p_stop;
  update settlement.payout_halt set lifted_at = clock_timestamp(), lifted_by = p_by
   where reason = v_stop.halt_reason and lifted_at is null;
  return v_accepted;
end
$$;

create function settlement.keep_stop_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if old.lifted_at is not null
     or (old.stop_id, old.cluster, old.address, old.above_slot, old.up_to_slot, old.checkpoint_id,
         old.halt_reason, old.raised_at) is distinct from
        (new.stop_id, new.cluster, new.address, new.above_slot, new.up_to_slot, new.checkpoint_id,
         new.halt_reason, new.raised_at)
     or new.scanned_to_slot < old.scanned_to_slot then
    raise exception 'stop %: what happened does not change', old.stop_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_stop before update on settlement.crediting_stop
  for each row execute function settlement.keep_stop_v1();

do $$
declare
  v_table text;
begin
  foreach v_table in array array['checkpoint', 'checkpoint_reading', 'hidden_signature'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  create trigger nothing_lost before delete or truncate on settlement.crediting_stop
    for each statement execute function settlement.refuse_change_v1();
end
$$;

grant select on settlement.arrival, settlement.checkpoint, settlement.checkpoint_reading,
  settlement.crediting_stop, settlement.hidden_signature
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert, delete, update (slot, state, credited_as, ended_at)
  on settlement.arrival to pod_indexer;
grant insert on settlement.checkpoint, settlement.checkpoint_reading, settlement.hidden_signature
  to pod_indexer;
grant insert (cluster, address, above_slot, up_to_slot, checkpoint_id, difference, halt_reason),
  update (difference, scanned_to_slot) on settlement.crediting_stop to pod_indexer;
grant execute on function settlement.lift_crediting_stop_v1(bigint, text, text, bigint)
  to pod_indexer, pod_finance;

-- 0023_signed_payments ----------------------------------------------------------------------------

-- What the signer has let through, for its rates: see ADR 0034. Only the signer writes here.
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

-- 0024_cranks ------------------------------------------------------------------------------------

-- Steps of a bond that anybody may take on chain (crank), and every message made for one
-- (crank_attempt). The chain takes each once; a crank ends by what the indexer wrote, never by what
-- a sender says.
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

-- 0026_deposits -------------------------------------------------------------------------------

-- Deposits seen on chain, many at a time, written by sets.
-- Books posts of one transfer each that say `verb`, `kind`, `event_at` (whole seconds),
-- `effective_on` (its day in UTC), `actor` chain, `slot`, `external_ref` and, where there are any,
-- `source` and `code` as `meta`: what settlement.apply_v2 would write for them, with the same hashes,
-- when it would apply every one. Otherwise raises PL011, or 23505 for a name or reference that is
-- there: the caller then asks apply_v2. So it is for any other kind, amounts that are large or none,
-- accounts that are unknown, closed, of another asset, that pay and have a floor, or both pay and
-- are paid. Raises what settlement.claim_head_v2 raises.
--
-- Accounts are named once each; p_debits and p_credits are places in p_names. Locks: writer head,
-- balances by id.
create function settlement.book_deposits_v1(
  p_writer integer, p_epoch integer, p_seen_seq bigint, p_seen_hash bytea, p_names text[],
  p_ids uuid[], p_kinds text[], p_debits integer[], p_credits integer[], p_amounts bigint[],
  p_slots bigint[], p_event_at timestamptz[], p_refs text[], p_sources text[], p_codes text[])
returns table (head_seq bigint, head_hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Plans are made when the tables are still empty and kept: see settlement.apply_v2. What is asked
-- meets what is known of the accounts by their places, so that no sets are joined in memory.
set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off as $$
#variable_conflict use_column
declare
  -- Far from 2^63 - 1, whatever a run adds to it.
  c_large constant bigint := 8000000000000000000;
  c_large_amount constant bigint := 1000000000000000;
  w constant settlement.writer :=
    settlement.claim_head_v2(p_writer, p_epoch, p_seen_seq, p_seen_hash);
  v_seq constant bigint := w.head_seq + 1;
  v_n constant integer := cardinality(p_ids);
  -- By place in p_names.
  v_names text[];
  v_ids bigint[];
  v_versions bigint[];
  v_usual boolean;
  v_now timestamptz;
  v_leaves bytea;
  v_closed record;
begin
  select bool_and(o.kind in ('deposit_credited', 'deposit_suspended', 'bond_received')
                  and o.amount between 1 and c_large_amount and o.slot >= 0 and o.ref is not null
                  and get_byte(uuid_send(o.id), 6) / 16 <> 7  -- a name that no charge can have
                  and o.at between '2020-01-01Z' and '2100-01-01Z'
                  and extract(microseconds from o.at) % 1000000 = 0
                  and length(coalesce(o.source, '')) <= 100 and length(coalesce(o.code, '')) <= 100
                  and o.debit between 1 and cardinality(p_names)
                  and o.credit between 1 and cardinality(p_names)
                  and o.debit is not null and o.credit is not null and o.kind is not null
                  and o.amount is not null and o.slot is not null and o.id is not null
                  and o.at is not null)
         and not p_debits && p_credits
    into v_usual
    from unnest(p_ids, p_kinds, p_debits, p_credits, p_amounts, p_slots, p_event_at, p_refs,
                p_sources, p_codes)
         as o (id, kind, debit, credit, amount, slot, at, ref, source, code);
  select array_agg(x.account_id order by d.n), array_agg(to_json(d.name)::text order by d.n)
    into v_ids, v_names
    from unnest(p_names) with ordinality as d (name, n)
    left join settlement.account x on x.name = d.name;
  if v_usual is not true then
    raise exception 'not of the everyday kind' using errcode = 'PL011';
  end if;

  with moved as (
    update settlement.balance x
       set dr = x.dr + d.dr, cr = x.cr + d.cr, version = x.version + d.n
      from (select s.place, v_ids[s.place] as account_id, sum(s.dr)::bigint as dr,
                   sum(s.cr)::bigint as cr, count(*) as n
              from (select o.debit as place, o.amount as dr, 0::bigint as cr
                      from unnest(p_debits, p_amounts) as o (debit, amount)
                    union all
                    select o.credit, 0::bigint, o.amount
                      from unnest(p_credits, p_amounts) as o (credit, amount)) as s
             group by s.place order by 2) as d
     where x.account_id = d.account_id and greatest(x.dr, x.cr) <= c_large
       and (d.dr = 0 or not x.floored)
    returning d.place, x.version - d.n as version
  )
  select array_agg(m.version order by m.place) into v_versions from moved m;
  -- Whether an account is open is asked now that its balance is ours.
  if coalesce(cardinality(v_versions), 0) <> cardinality(p_names)
     or exists (select from unnest(v_ids) as d (id)
                  join settlement.account x on x.account_id = d.id
                 where x.closed_at is not null or x.asset <> 'USDC') then
    raise exception 'not of the everyday kind' using errcode = 'PL011';
  end if;

  v_now := clock_timestamp();
  with
  asked as materialized (
    select o.*, v_ids[o.debit] as debit_id, v_ids[o.credit] as credit_id,
           v_versions[o.debit] + row_number() over (partition by o.debit order by o.ord)
             as debit_entry,
           v_versions[o.credit] + row_number() over (partition by o.credit order by o.ord)
             as credit_entry,
           to_char(o.at at time zone 'utc', 'YYYY-MM-DD') as day,
           to_json(o.ref)::text as told_ref,
           '{' || concat_ws(', ', '"code": ' || to_json(o.code)::text,
                                  '"source": ' || to_json(o.source)::text) || '}' as meta
      from unnest(p_ids, p_kinds, p_debits, p_credits, p_amounts, p_slots, p_event_at, p_refs,
                  p_sources, p_codes) with ordinality
           as o (id, kind, debit, credit, amount, slot, at, ref, source, code, ord)
  ),
  -- The content as jsonb writes it: the shortest keys first, those as long in their order.
  hashed as materialized (
    select a.*, sha256(convert_to(
             '{"kind": "' || a.kind || case a.meta when '{}' then '"' else '", "meta": ' || a.meta end
             || ', "slot": ' || a.slot
             || ', "verb": "post", "actor": "chain", "event_at": "'
             || to_char(a.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00'
             || '", "transfers": [{"debit": ' || v_names[a.debit] || ', "amount": ' || a.amount
             || ', "credit": ' || v_names[a.credit] || '}], "effective_on": "' || a.day
             || '", "external_ref": ' || a.told_ref || '}', 'UTF8')) as content
      from asked a
  ),
  posted as (
    insert into settlement.txn (txn_id, kind, slot, event_at, recorded_at, effective_on,
      external_ref, actor, meta, content_sha256, writer_id, epoch, batch_seq, ord)
    select h.id, h.kind, h.slot, h.at, v_now, h.day::date, h.ref, 'chain', h.meta::jsonb, h.content,
           p_writer, p_epoch, v_seq, h.ord
      from hashed h order by h.ord
  ),
  moved as (
    insert into settlement.transfer (txn_id, leg, debit, credit, amount, debit_entry, credit_entry)
    select h.id, 1, h.debit_id, h.credit_id, h.amount, h.debit_entry, h.credit_entry
      from hashed h order by h.ord
  )
  select string_agg(settlement.leaf_v1(
           '["txn/1", "' || h.id || '", "' || h.kind || '", ' || h.slot || ', '
           || extract(epoch from h.at) || ', ' || extract(epoch from v_now) || ', "' || h.day
           || '", ' || h.told_ref || ', null, null, null, null, null, "chain", null, ' || h.meta
           || ', "' || encode(h.content, 'hex') || '", ' || p_writer || ', ' || p_epoch || ', '
           || v_seq || ', ' || h.ord || ', [[' || h.debit_id || ', ' || h.credit_id || ', '
           || h.amount || ', ' || h.debit_entry || ', ' || h.credit_entry || ']]]'),
         ''::bytea order by h.ord)
    into v_leaves from hashed h;
  v_closed := settlement.close_batch_v2(w, v_n, v_leaves, v_now);
  return query select v_closed.seq, v_closed.hash;
end
$$;
grant execute on function settlement.book_deposits_v1(integer, integer, bigint, bytea, text[],
  uuid[], text[], integer[], integer[], bigint[], bigint[], timestamptz[], text[], text[], text[])
  to pod_indexer;

-- 0027_withdrawals -------------------------------------------------------------------------------

-- Who asks for a payout (an operator or a user), what kind of account its destination is, when it
-- may go at the earliest, and who let it go. An approval is a row of its own, written by a person
-- of finance and by no service; a payout that needs two has them from two different names.
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

-- 0028_cases ------------------------------------------------------------------------------------

-- A seizure as a case: who accused an operator of what, with which evidence and for which requests;
-- who looked at it; and how those who were harmed are credited from the refund pool. What the chain
-- decided is never typed: it is read from settlement.seizure_step, by the bond and the evidence.
-- The same table as settlement/cases/states.py, which a test compares.
create table settlement.case_transition (
  from_state text not null,
  to_state text not null,
  by text not null check (by in ('person', 'chain')),
  primary key (from_state, to_state)
);
insert into settlement.case_transition (from_state, to_state, by) values
  ('open', 'reviewed', 'person'),
  ('open', 'refused', 'person'),
  ('reviewed', 'crediting', 'person'),               -- there is no bond to seize any more
  ('reviewed', 'closed', 'person'),
  ('dismissed', 'closed', 'person'),
  ('withdrawn', 'closed', 'person'),
  ('lapsed', 'closed', 'person'),
  ('executed', 'crediting', 'person'),
  ('executed', 'closed', 'person'),
  ('crediting', 'closed', 'person');
-- Wherever the newest step on chain led, there it stands, in whatever order steps are read. What
-- was executed stays so: the bond is gone.
insert into settlement.case_transition (from_state, to_state, by)
select f.state, t.state, 'chain'
  from unnest(array['open', 'reviewed', 'proposed', 'contested', 'upheld', 'dismissed', 'withdrawn',
                    'lapsed']) as f (state)
 cross join unnest(array['proposed', 'contested', 'upheld', 'dismissed', 'withdrawn', 'lapsed',
                         'executed']) as t (state)
 where f.state <> t.state;

-- Each step of a seizure with the evidence it was proposed with: the newest proposal before it.
create view settlement.seizure_course as
select x.step_id, x.external_ref, x.address, x.step, x.signer, x.reason, x.reply, x.execute_after,
       x.decide_by, x.dies_at, x.slot, x.event_at,
       first_value(x.evidence) over (partition by x.address, x.course order by x.slot, x.step_id)
         as evidence
  from (select s.*, count(*) filter (where s.step = 'proposed')
                      over (partition by s.address order by s.slot, s.step_id) as course
          from settlement.seizure_step s) as x;

create table settlement.fraud_case (
  case_id uuid primary key,
  provider_id uuid not null references settlement.operator,
  bond_address text references settlement.bond,      -- null: there is none, the treasury pays
  reason_code integer not null check (reason_code between 0 and 65535),
  reason text not null check (length(reason) between 1 and 2000),
  manifest text not null,                            -- the accusation, as its hash goes on chain
  evidence bytea not null unique check (evidence = sha256(convert_to(manifest, 'UTF8'))),
  state text not null default 'open',
  opened_at timestamptz not null,
  opened_by text not null check (btrim(opened_by) <> ''),
  opened_in xid8 not null default pg_current_xact_id(),  -- all that belongs to it comes with it
  reviewed_at timestamptz,
  reviewed_by text check (btrim(reviewed_by) <> ''),
  review_note text,
  review_accepts boolean,
  closed_at timestamptz,
  closed_by text check (btrim(closed_by) <> ''),
  close_note text,
  constraint four_eyes check (lower(btrim(reviewed_by)) <> lower(btrim(opened_by))),
  check (num_nulls(reviewed_at, reviewed_by, review_note, review_accepts) in (0, 4)),
  check (num_nulls(closed_at, closed_by, close_note) in (0, 3)),
  check ((closed_at is not null) = (state = 'closed')),
  check (state <> 'open' or reviewed_by is null),
  check (state not in ('reviewed', 'crediting') or review_accepts is true),
  check (state <> 'refused' or review_accepts is false)
);
create index case_of_provider on settlement.fraud_case (provider_id, case_id);
create index case_of_bond on settlement.fraud_case (bond_address);

create table settlement.case_file (
  case_id uuid not null references settlement.fraud_case,
  name text not null check (name <> ''),
  size bigint not null check (size >= 0),
  digest bytea not null check (octet_length(digest) = 32),
  content bytea,                                     -- null: only its hash is kept here
  primary key (case_id, name),
  check (content is null or (octet_length(content), sha256(content)) = (size, digest))
);

-- The requests somebody was harmed by, with what the books say was paid for each.
create table settlement.case_request (
  case_id uuid not null references settlement.fraud_case,
  request_id uuid not null,
  user_account bigint not null references settlement.account,
  paid bigint not null check (paid > 0),
  claimed bigint not null check (claimed > 0),
  primary key (case_id, request_id),
  check (claimed <= paid)
);

-- Who is to be credited how much, and out of what: drawn up by one person, approved by another.
create table settlement.case_list (
  case_id uuid not null references settlement.fraud_case,
  list_no integer not null check (list_no > 0),
  drawn_at timestamptz not null,
  drawn_by text not null check (btrim(drawn_by) <> ''),
  losses bigint not null check (losses > 0),
  credits bigint not null check (credits > 0),
  seized bigint not null check (seized >= 0),        -- the bond of this case
  carried bigint not null check (carried >= 0),      -- left by earlier cases of this operator
  backing bigint not null check (backing >= 0),      -- from the treasury
  approved_at timestamptz,
  approved_by text check (btrim(approved_by) <> ''),
  backing_txn uuid unique references settlement.txn,
  primary key (case_id, list_no),
  constraint four_eyes check (lower(btrim(approved_by)) <> lower(btrim(drawn_by))),
  check ((approved_at is null) = (approved_by is null)),
  check (credits <= losses and credits <= seized + carried + backing),
  check (backing = 0 or (credits = losses and credits = seized + carried + backing)),
  check (backing_txn is null or (backing > 0 and approved_at is not null))
);
create unique index one_approved_list on settlement.case_list (case_id)
  where approved_at is not null;

create table settlement.case_credit (
  case_id uuid not null,
  list_no integer not null,
  request_id uuid not null,
  loss bigint not null check (loss > 0),
  amount bigint not null check (amount between 0 and loss),
  settled_at timestamptz,
  credited bigint check (credited between 0 and amount),  -- less where it was refunded meanwhile
  txn_id uuid unique references settlement.txn,
  primary key (case_id, list_no, request_id),
  foreign key (case_id, list_no) references settlement.case_list,
  foreign key (case_id, request_id) references settlement.case_request,
  check ((settled_at is null) = (credited is null)),
  check ((txn_id is not null) = (coalesce(credited, 0) > 0))
);
create index case_credit_open on settlement.case_credit (case_id, list_no, request_id)
  where settled_at is null;

-- What each case brought into the refund pool and took out of it.
create view settlement.case_money as
select c.case_id, c.provider_id, c.state, coalesce(z.seized, 0)::bigint as seized,
       coalesce(l.carried, 0)::bigint as carried,
       case when l.backing_txn is not null then l.backing else 0 end::bigint as backed,
       coalesce(p.credited, 0)::bigint as credited
  from settlement.fraud_case c
  left join settlement.case_list l on l.case_id = c.case_id and l.approved_at is not null
  left join lateral (select sum(t.amount) as seized
                       from settlement.seizure_course s
                       join settlement.txn x using (external_ref)
                       join settlement.transfer t using (txn_id)
                       join settlement.account a on a.account_id = t.credit
                      where s.address = c.bond_address and s.evidence = c.evidence
                        and s.step = 'executed' and a.name = 'refund-pool') as z on true
  left join lateral (select sum(y.credited) as credited from settlement.case_credit y
                      where y.case_id = c.case_id) as p on true;

-- What is there for a case: its own bond, and what closed cases of the same operator left over.
create view settlement.case_pool as
select m.case_id, m.seized,
       (select coalesce(sum(o.seized + o.carried + o.backed - o.credited)
                          filter (where o.state in ('closed', 'refused')), 0)
               - coalesce(sum(o.carried), 0)
          from settlement.case_money o where o.provider_id = m.provider_id)::bigint as carriable
  from settlement.case_money m;

-- A case is written down at once, about an operator and a bond of theirs; then it only moves.
create function settlement.keep_case_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_by text;
begin
  if tg_op = 'INSERT' then
    if new.state <> 'open' or num_nonnulls(new.reviewed_at, new.closed_at) > 0
       or new.opened_in <> pg_current_xact_id() then
      raise exception 'a case begins open' using errcode = 'PL010';
    end if;
    if new.bond_address is not null and not exists (
        select from settlement.bond b
         where b.address = new.bond_address and b.provider_id = new.provider_id) then
      raise exception 'bond % is not of operator %', new.bond_address, new.provider_id
        using errcode = 'PL010';
    end if;
    return new;
  end if;
  if (to_jsonb(old) - array['state', 'reviewed_at', 'reviewed_by', 'review_note', 'review_accepts',
                            'closed_at', 'closed_by', 'close_note']) is distinct from
     (to_jsonb(new) - array['state', 'reviewed_at', 'reviewed_by', 'review_note', 'review_accepts',
                            'closed_at', 'closed_by', 'close_note'])
     or (old.reviewed_at is not null and
         (old.reviewed_at, old.reviewed_by, old.review_note, old.review_accepts) is distinct from
         (new.reviewed_at, new.reviewed_by, new.review_note, new.review_accepts))
     or (old.state in ('closed', 'refused') and new is distinct from old) then
    raise exception 'case %: what was said does not change', old.case_id using errcode = 'PL010';
  end if;
  if old.state = new.state then
    return new;
  end if;
  select t.by into v_by from settlement.case_transition t
   where t.from_state = old.state and t.to_state = new.state;
  if v_by is null
     or (v_by = 'chain' and not exists (
           select from settlement.seizure_course s
            where s.address = new.bond_address and s.evidence = new.evidence
              and s.step = new.state))
     or (old.state = 'reviewed' and new.state = 'crediting' and exists (
           select from settlement.bond b
            where b.address = new.bond_address and b.state in ('posted', 'retiring')))
     or (new.state = 'crediting' and not exists (
           select from settlement.case_list l
            where l.case_id = new.case_id and l.approved_at is not null))
     or (old.state = 'crediting' and exists (
           select from settlement.case_list l
             left join settlement.case_credit y
               on (y.case_id, y.list_no) = (l.case_id, l.list_no) and y.settled_at is null
            where l.case_id = new.case_id and l.approved_at is not null
              and (y.case_id is not null or (l.backing > 0 and l.backing_txn is null)))) then
    raise exception 'case %: no way from % to %', old.case_id, old.state, new.state
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_case before insert or update on settlement.fraud_case
  for each row execute function settlement.keep_case_v1();

-- Files and requests come with their case.
create function settlement.keep_case_part_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from settlement.fraud_case c
                  where c.case_id = new.case_id and c.opened_in = pg_current_xact_id()) then
    raise exception 'case %: what belongs to it came with it', new.case_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_case_part before insert on settlement.case_file
  for each row execute function settlement.keep_case_part_v1();
create trigger keep_case_part before insert on settlement.case_request
  for each row execute function settlement.keep_case_part_v1();

-- A request is one that the accused operator was paid for.
create function settlement.keep_case_request_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (
      select from settlement.charge c
        join settlement.account a on a.account_id = c.operator_account
        join settlement.fraud_case k on k.case_id = new.case_id
       where c.request_id = new.request_id and a.name = 'host:' || k.provider_id
         and (c.user_account, c.gross) = (new.user_account, new.paid)) then
    raise exception 'request % was not paid like that', new.request_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_case_request before insert on settlement.case_request
  for each row execute function settlement.keep_case_request_v1();

-- An approved list adds up, and spends nobody else's money.
create function settlement.keep_case_list_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_case settlement.fraud_case;
  v_pool settlement.case_pool;
begin
  if tg_op = 'INSERT' then
    if num_nonnulls(new.approved_at, new.backing_txn) > 0 then
      raise exception 'a list is drawn up, then approved' using errcode = 'PL010';
    end if;
    return new;
  end if;
  if (to_jsonb(old) - array['approved_at', 'approved_by', 'backing_txn']) is distinct from
     (to_jsonb(new) - array['approved_at', 'approved_by', 'backing_txn'])
     or (old.approved_at is not null and
         (old.approved_at, old.approved_by) is distinct from (new.approved_at, new.approved_by))
     or (old.backing_txn is not null and old.backing_txn is distinct from new.backing_txn) then
    raise exception 'list % of case %: what was said does not change', old.list_no, old.case_id
      using errcode = 'PL010';
  end if;
  if new.backing_txn is distinct from old.backing_txn and not exists (
      select from settlement.txn x join settlement.transfer t using (txn_id)
       where x.txn_id = new.backing_txn and x.kind = 'refund_pool_backed'
         and x.external_ref = 'refund-pool-backed:' || new.case_id and t.amount = new.backing) then
    raise exception 'case % was not backed like that', new.case_id using errcode = 'PL010';
  end if;
  if old.approved_at is not null or new.approved_at is null then
    return new;
  end if;
  select * into v_case from settlement.fraud_case where case_id = new.case_id for update;
  -- Two cases of one operator do not both take what a third one left over.
  perform pg_advisory_xact_lock(hashtextextended('case:' || v_case.provider_id, 0));
  select * into v_pool from settlement.case_pool where case_id = new.case_id;
  if v_case.review_accepts is not true
     or v_case.state not in ('executed', 'reviewed')
     or (v_case.state = 'reviewed' and exists (
           select from settlement.bond b
            where b.address = v_case.bond_address and b.state in ('posted', 'retiring')))
     or new.seized <> v_pool.seized or new.carried > v_pool.carriable
     or not exists (
           select from settlement.case_credit y
            where (y.case_id, y.list_no) = (new.case_id, new.list_no)
           having (sum(y.loss), sum(y.amount)) = (new.losses, new.credits)) then
    raise exception 'list % of case % cannot be approved', new.list_no, new.case_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_case_list before insert or update on settlement.case_list
  for each row execute function settlement.keep_case_list_v1();

-- A credit is settled once, by an entry that says the same.
create function settlement.keep_case_credit_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_list settlement.case_list;
begin
  select * into v_list from settlement.case_list
   where (case_id, list_no) = (new.case_id, new.list_no);
  if tg_op = 'INSERT' then
    if v_list.approved_at is not null or new.settled_at is not null then
      raise exception 'a list is drawn up, then approved, then settled' using errcode = 'PL010';
    end if;
    return new;
  end if;
  if old.settled_at is not null or v_list.approved_at is null
     or (v_list.backing > 0 and v_list.backing_txn is null)
     or (to_jsonb(old) - array['settled_at', 'credited', 'txn_id']) is distinct from
        (to_jsonb(new) - array['settled_at', 'credited', 'txn_id'])
     or (new.txn_id is not null and not exists (
           select from settlement.txn x
             join settlement.transfer t using (txn_id)
             join settlement.account d on d.account_id = t.debit
             join settlement.case_request r
               on (r.case_id, r.request_id) = (new.case_id, new.request_id)
            where x.txn_id = new.txn_id and x.kind = 'refund_pool_paid'
              and x.external_ref = format('refund-pool:%s:%s', new.case_id, new.request_id)
              and d.name = 'refund-pool'
              and (t.credit, t.amount) = (r.user_account, new.credited))) then
    raise exception 'case %, request %: not credited like that', new.case_id, new.request_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_case_credit before insert or update on settlement.case_credit
  for each row execute function settlement.keep_case_credit_v1();

do $$
declare
  v_table text;
begin
  foreach v_table in array array['case_file', 'case_request', 'case_transition'] loop
    execute format('create trigger only_grows before update or delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
  foreach v_table in array array['fraud_case', 'case_list', 'case_credit'] loop
    execute format('create trigger nothing_lost before delete or truncate on settlement.%I
      for each statement execute function settlement.refuse_change_v1()', v_table);
  end loop;
end
$$;

grant select on settlement.case_transition, settlement.seizure_course, settlement.fraud_case,
  settlement.case_file, settlement.case_request
  to pod_coordinator, pod_settlement, pod_finance;
grant select on settlement.case_list, settlement.case_credit, settlement.case_money,
  settlement.case_pool to pod_settlement, pod_finance;
grant insert (case_id, provider_id, bond_address, reason_code, reason, manifest, evidence,
              opened_at, opened_by) on settlement.fraud_case to pod_settlement;
grant update (state, reviewed_at, reviewed_by, review_note, review_accepts, closed_at, closed_by,
              close_note) on settlement.fraud_case to pod_settlement;
grant insert on settlement.case_file, settlement.case_request to pod_settlement;
grant insert (case_id, list_no, drawn_at, drawn_by, losses, credits, seized, carried, backing),
  update (approved_at, approved_by, backing_txn) on settlement.case_list to pod_settlement;
grant insert (case_id, list_no, request_id, loss, amount),
  update (settled_at, credited, txn_id) on settlement.case_credit to pod_settlement;

-- 0029_payout_schedules --------------------------------------------------------------------------

-- Payouts that an operator has asked for once and for all: every six hours, above a threshold. A
-- tick is what became of one operator's six hours; there is one at most, whatever is started twice.
create table settlement.payout_schedule (
  provider_id uuid primary key references settlement.operator,
  enabled boolean not null,
  threshold bigint not null check (threshold > 0),
  destination text check (length(destination) between 32 and 44),  -- null: the enrolled wallet
  enabled_at timestamptz,                            -- six hours that began before are not its own
  updated_at timestamptz not null,
  check (enabled = (enabled_at is not null))
);

create table settlement.payout_tick (
  provider_id uuid not null references settlement.payout_schedule,
  slot_at timestamptz not null check (extract(epoch from slot_at)::bigint % 21600 = 0),
  outcome text not null
    check (outcome in ('requested', 'below_threshold', 'daily_limit', 'refused')),
  withdrawal_id uuid references settlement.payout,
  detail text,                                       -- why it was refused
  ended_at timestamptz not null,
  primary key (provider_id, slot_at),
  check ((outcome = 'requested') = (withdrawal_id is not null)),
  check ((outcome = 'refused') = (detail is not null))
);

create trigger nothing_lost before delete or truncate on settlement.payout_schedule
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.payout_tick
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.payout_schedule, settlement.payout_tick
  to pod_coordinator, pod_settlement, pod_finance;
grant insert, update (enabled, threshold, destination, enabled_at, updated_at)
  on settlement.payout_schedule to pod_coordinator;
grant insert on settlement.payout_tick to pod_settlement;

-- 0030_payout_gate -----------------------------------------------------------------------------

-- The gate before numbering: after a restore, and whenever the chain has used numbers that the books
-- do not know, no payout has a new number before everything that may still happen has been seen.
create table settlement.payout_gate (
  gate_id bigint generated always as identity primary key,
  era integer not null references settlement.era,
  reason text not null check (reason in ('restored', 'unknown numbers')),
  opened_at timestamptz not null default clock_timestamp(),
  dead_above_height bigint not null check (dead_above_height >= 0),
                                                     -- no blockhash of before lives above it
  safe_slot bigint check (safe_slot >= 0),           -- finalized, and beyond that height
  passed_at timestamptz,
  next_number bigint check (next_number >= 0),       -- where numbering went on
  check ((passed_at is null) = (next_number is null)),
  check (passed_at is null or safe_slot is not null)
);
create unique index one_closed_gate on settlement.payout_gate ((true)) where passed_at is null;

create function settlement.keep_gate_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if old.passed_at is not null
     or (old.gate_id, old.era, old.reason, old.opened_at, old.dead_above_height) is distinct from
        (new.gate_id, new.era, new.reason, new.opened_at, new.dead_above_height)
     or (old.safe_slot is not null and new.safe_slot is distinct from old.safe_slot) then
    raise exception 'gate %: what happened does not change', old.gate_id using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger keep_gate before update on settlement.payout_gate
  for each row execute function settlement.keep_gate_v1();
create trigger nothing_lost before delete or truncate on settlement.payout_gate
  for each statement execute function settlement.refuse_change_v1();

-- Whether payouts may have happened that the books do not know: a gate is closed, or this era, which
-- a restore began, has passed none yet.
create function settlement.payout_gate_closed_v1() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from settlement.payout_gate g where g.passed_at is null)
      or (e.era > 1 and not exists (select from settlement.payout_gate g where g.era = e.era))
    from (select max(x.era) as era from settlement.era x) as e
$$;
grant execute on function settlement.payout_gate_closed_v1()
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;

-- Whoever numbers or takes back, in whatever version: not while the gate is closed. What was paid
-- under a number that the books forgot would be paid, or given back, a second time.
create function settlement.gate_before_numbers_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if settlement.payout_gate_closed_v1() then
    raise exception 'payout %: the gate before numbers is closed', new.payout_id
      using errcode = 'PL010';
  end if;
  return new;
end
$$;
create trigger gate_before_numbers before update of sequence on settlement.payout
  for each row when (new.state = 'numbered' and old.state = 'requested')
  execute function settlement.gate_before_numbers_v1();
-- The indexer cancels only what it has just seen paid.
create trigger gate_before_cancels before update of state on settlement.payout
  for each row when (new.state = 'cancelled' and old.state <> 'cancelled'
                     and current_user <> 'pod_indexer')
  execute function settlement.gate_before_numbers_v1();

-- A payment that the books forgot: of a payout that had no number when they were saved.
insert into settlement.payout_transition (from_state, to_state) values ('requested', 'paid');

grant select on settlement.payout_gate
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;
grant insert (era, reason, dead_above_height), update (safe_slot, passed_at, next_number)
  on settlement.payout_gate to pod_settlement;
-- The indexer ends a payout that the books forgot having paid, and gives up one that was paid under
-- another number.
grant update (cancel_reason, skip_reason) on settlement.payout to pod_indexer;

reset role;
