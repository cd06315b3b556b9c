-- The beginning and the end of every batch, whichever function writes it; and how a posting process
-- is opened, shown to be alive, and fenced. What only functions call runs with their search_path.
set local role pod_owner;

-- Every door now asks claim_head_v2 first, which says the same without a trigger.
drop trigger keep_writer on settlement.batch;
drop function settlement.keep_writer_v1();

-- The role of whoever calls, as before; without a setting of its own it costs its callers nothing.
create or replace function settlement.caller_role_v1() returns text
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
create or replace function settlement.open_account_v1(p_name text, p_kind text) returns bigint
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
grant execute on function settlement.keep_leases_v1(integer, integer, timestamptz),
  settlement.open_writer_v2(text) to pod_coordinator, pod_indexer, pod_settlement;
grant execute on function settlement.fence_expired_v1(), settlement.begin_era_v1(text, text)
  to pod_settlement;

reset role;
