set local role pod_owner;

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

reset role;
