-- How the journal is read as entries, what of it is hashed, and how a batch is linked to the one
-- before; with it the chains that are there are made anew.
set local role pod_owner;

-- Every movement, one row per account it touched, numbered per account.
create view settlement.entry as
  select t.debit as account_id, t.debit_entry as entry, t.amount as dr, 0::bigint as cr,
         x.kind, x.txn_id as cause_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord, x.effective_on
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select t.credit, t.credit_entry, 0::bigint, t.amount,
         x.kind, x.txn_id, x.external_ref, x.slot, x.event_at, x.recorded_at,
         x.writer_id, x.batch_seq, x.ord, x.effective_on
    from settlement.transfer t join settlement.txn x using (txn_id)
  union all
  select c.user_account, c.user_entry, c.gross, 0::bigint, 'charge', c.request_id, null,
         null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date
    from settlement.charge c
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select c.operator_account, c.operator_entry, 0::bigint, c.operator_share, 'charge', c.request_id,
         null, null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date
    from settlement.charge c
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq
  union all
  select w.treasury_account, c.treasury_entry, 0::bigint, c.treasury_share, 'charge', c.request_id,
         null, null::bigint, b.created_at, b.created_at, c.writer_id, c.batch_seq, c.ord,
         (b.created_at at time zone 'utc')::date
    from settlement.charge c join settlement.writer w using (writer_id)
    left join settlement.batch b on b.writer_id = c.writer_id and b.seq = c.batch_seq;

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

grant select on settlement.entry, settlement.hold_flow
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

-- What one row contributes to its batch's hash: all that stands in it, in a fixed order. These
-- functions are written so that the planner puts them in place of their calls.
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
grant select on settlement.chain_before
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

alter table settlement.batch disable trigger only_grows;
do $$
declare
  w settlement.writer;
  b settlement.batch;
  v_hash bytea;
  v_rows bigint;
begin
  for w in select * from settlement.writer order by writer_id loop
    insert into settlement.chain_before (writer_id, head_seq, head_hash)
    select w.writer_id, w.head_seq, w.head_hash where w.head_seq > 0;
    v_hash := settlement.first_link_v2(w.name, w.era);
    v_rows := 0;
    for b in select * from settlement.batch where writer_id = w.writer_id order by seq loop
      b.root := settlement.batch_root_v2((select string_agg(leaf, ''::bytea order by ord)
        from settlement.batch_leaves_v2(b.writer_id, b.seq)));
      b.hash := settlement.batch_hash_v2(b.writer_id, b.epoch, b.seq, b.n, v_rows, b.created_at,
                                         v_hash, b.root);
      update settlement.batch set rows_before = v_rows, root = b.root, prev_hash = v_hash,
             hash = b.hash where writer_id = b.writer_id and seq = b.seq;
      v_hash := b.hash;
      v_rows := v_rows + b.n;
    end loop;
    update settlement.writer set head_hash = v_hash, head_rows = v_rows
     where writer_id = w.writer_id;
  end loop;
end
$$;
alter table settlement.batch enable trigger only_grows;
alter table settlement.batch alter column rows_before drop default;

reset role;
