-- The one way money moves. Post, hold, capture, charge and void, many at a time, for one writer.
set local role pod_owner;

-- Raises PL001 when the writer is fenced, PL002 when the isolation level is wrong, and 40001 when
-- another writer took the same name at the same moment (do it again: it will be a plain answer).
-- Decides every operation on copies of the balances, then writes what it accepted in a fixed
-- number of statements. Locks: writer head, balances by id, holds by id; what the locks protect is
-- read by later statements, which see what others committed while we waited (READ COMMITTED).
create function settlement.apply_v1(p_writer integer, p_epoch integer, p_operations jsonb)
returns table (code text, available bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- Plans are made when the tables are still empty and kept: reading a table whole would look cheap.
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
  c_max constant bigint := 9223372036854775807;
  w settlement.writer;
  v_seq bigint;
  v_now timestamptz;
  v_root bytea;
  v_hash bytea;
  v_rows bigint;
  -- o_: one element per operation; r_: its result; l_: per transfer of a post or capture
  o_verb text[]; o_id uuid[]; o_hold uuid[]; o_account text[]; o_operator text[];
  o_amount bigint[]; o_over boolean[]; o_bps integer[]; o_purpose text[]; o_reason text[];
  o_a integer[]; o_op integer[]; o_h integer[]; o_t integer[]; o_hash bytea[];
  o_ref text[]; o_reverses uuid[]; o_first integer[]; o_last integer[];
  o_known boolean[]; o_open boolean[];
  r_code text[]; r_available bigint[]; r_ord integer[]; r_share bigint[]; r_balance bigint[];
  r_user_entry bigint[]; r_operator_entry bigint[]; r_treasury_entry bigint[]; r_taken bigint[];
  l_debit integer[]; l_credit integer[]; l_amount bigint[];
  l_debit_entry bigint[]; l_credit_entry bigint[];
  -- a_: accounts that are touched, by id; h_: holds that are named; t_: transactions that are named
  a_id bigint[]; a_name text[]; a_dr bigint[]; a_cr bigint[]; a_held bigint[]; a_version bigint[];
  a_floored boolean[]; a_open boolean[]; a_kind text[];
  h_id uuid[]; h_a integer[]; h_amount bigint[]; h_purpose text[]; h_writer integer[];
  h_state text[]; h_placed bigint[]; h_reason text[]; h_voided bigint[]; h_captured bigint[];
  h_user integer[]; h_operator bigint[]; h_gross bigint[]; h_bps integer[]; h_charged bigint[];
  t_id uuid[]; t_hash bytea[]; t_available bigint[]; t_refs text[]; t_reversible uuid[];
  a integer; b integer; h integer; t integer; v_treasury integer;
  v_done integer; v_n integer := 0; v_code text; v_left bigint; v_share bigint; v_taken numeric;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'the books need READ COMMITTED' using errcode = 'PL002';
  end if;
  select * into w from settlement.writer where writer_id = p_writer for update;
  if w.epoch is distinct from p_epoch then
    raise exception 'epoch % of writer % is over', p_epoch, p_writer using errcode = 'PL001';
  end if;
  if w.head_seq > 0 and not exists (select from settlement.batch x where x.writer_id = p_writer
                                    and x.seq = w.head_seq and x.hash = w.head_hash) then
    raise exception 'writer % has lost its head', p_writer using errcode = 'PL001';
  end if;

  -- What is asked.
  select array_agg(o.verb order by o.n), array_agg(o.id order by o.n),
         array_agg(case when o.verb in ('hold', 'charge', 'void') then o.id else o.hold end
                   order by o.n),
         array_agg(o.account order by o.n), array_agg(o.operator order by o.n),
         array_agg(least(o.amount, c_max)::bigint order by o.n),
         array_agg(coalesce(o.amount > c_max, false) or
                   (o.verb in ('post', 'capture') and exists (select from
                    jsonb_to_recordset(o.transfers) as x (amount numeric) where x.amount > c_max))
                   order by o.n),
         array_agg(o.split_bps order by o.n), array_agg(o.purpose order by o.n),
         array_agg(o.reason order by o.n), array_agg(o.external_ref order by o.n),
         array_agg(o.reverses order by o.n),
         array_agg(case when o.verb in ('post', 'capture') then sha256(convert_to(
           jsonb_strip_nulls((p_operations -> (o.n::integer - 1)) - 'id')::text, 'UTF8')) end
           order by o.n)
    into o_verb, o_id, o_hold, o_account, o_operator, o_amount, o_over, o_bps, o_purpose, o_reason,
         o_ref, o_reverses, o_hash
    from rows from (jsonb_to_recordset(p_operations) as (verb text, id uuid, hold uuid,
           account text, operator text, amount numeric, split_bps integer, purpose text,
           reason text, external_ref text, reverses uuid, transfers jsonb))
         with ordinality as o (verb, id, hold, account, operator, amount, split_bps, purpose,
           reason, external_ref, reverses, transfers, n);

  -- Lock what it touches, then read it.
  select array_agg(s.id order by s.id) into a_id from (
    select x.account_id as id from settlement.account x where x.name = any (
      o_account || o_operator
      || array(select jsonb_path_query(p_operations, '$[*].transfers[*].debit') #>> '{}')
      || array(select jsonb_path_query(p_operations, '$[*].transfers[*].credit') #>> '{}'))
    union select x.account_id from settlement.hold x where x.hold_id = any (o_hold)
    union select w.treasury_account where 'charge' = any (o_verb)) s;
  perform from settlement.balance x where x.account_id = any (a_id)
    order by x.account_id for update;
  perform from settlement.hold x where x.hold_id = any (o_hold) order by x.hold_id for update;

  select array_agg(y.name order by x.account_id), array_agg(x.dr order by x.account_id),
         array_agg(x.cr order by x.account_id), array_agg(x.held order by x.account_id),
         array_agg(x.version order by x.account_id), array_agg(x.floored order by x.account_id),
         array_agg(y.closed_at is null order by x.account_id),
         array_agg(y.kind order by x.account_id)
    into a_name, a_dr, a_cr, a_held, a_version, a_floored, a_open, a_kind
    from settlement.balance x join settlement.account y using (account_id)
   where x.account_id = any (a_id);
  v_treasury := array_position(a_id, w.treasury_account);
  h_id := array(select distinct x from unnest(o_hold) as x where x is not null order by x);
  select array_agg(p.n order by d.n), array_agg(x.amount order by d.n),
         array_agg(x.purpose order by d.n), array_agg(x.writer_id order by d.n),
         array_agg(case when p.n is not null then x.state end order by d.n),
         array_agg(e.available_after order by d.n), array_agg(v.reason order by d.n),
         array_agg(v.available_after order by d.n), array_agg(u.n order by d.n),
         array_agg(c.operator_account order by d.n), array_agg(c.gross order by d.n),
         array_agg(c.split_bps order by d.n), array_agg(c.user_available_after order by d.n)
    into h_a, h_amount, h_purpose, h_writer, h_state, h_placed, h_reason, h_voided,
         h_user, h_operator, h_gross, h_bps, h_charged
    from unnest(h_id) with ordinality as d (id, n)
    left join settlement.hold x on x.hold_id = d.id
    left join unnest(a_id) with ordinality as p (id, n) on p.id = x.account_id
    -- One look by key for each, however the tables are thought to be (hence the limits).
    left join lateral (select available_after from settlement.hold_event e
                        where e.hold_id = d.id and e.event = 'placed' limit 1) as e on true
    left join lateral (select reason, available_after from settlement.hold_event v
                        where v.hold_id = d.id and v.event = 'voided' limit 1) as v on true
    left join settlement.charge c on c.request_id = d.id
    left join unnest(a_id) with ordinality as u (id, n) on u.id = c.user_account;
  select array_agg(x.n order by o.n), array_agg(y.n order by o.n), array_agg(z.n order by o.n)
    into o_a, o_op, o_h
    from unnest(o_account, o_operator, o_hold) with ordinality as o (account, operator, hold, n)
    left join unnest(a_name) with ordinality as x (name, n) on x.name = o.account
    left join unnest(a_name) with ordinality as y (name, n) on y.name = o.operator
    left join unnest(h_id) with ordinality as z (id, n) on z.id = o.hold;
  if 'post' = any (o_verb) or 'capture' = any (o_verb) then
    select array_agg(q.debit order by q.n, q.leg), array_agg(q.credit order by q.n, q.leg),
           array_agg(least(q.amount, c_max)::bigint order by q.n, q.leg)
      into l_debit, l_credit, l_amount
      from (select o.n, s.leg, x.n as debit, y.n as credit, s.amount
              from jsonb_array_elements(p_operations) with ordinality as o (op, n)
             cross join lateral rows from (jsonb_to_recordset(o.op -> 'transfers')
                   as (debit text, credit text, amount numeric))
                   with ordinality as s (debit, credit, amount, leg)
              left join unnest(a_name) with ordinality as x (name, n) on x.name = s.debit
              left join unnest(a_name) with ordinality as y (name, n) on y.name = s.credit) as q;
    select array_agg(c.before + 1 order by c.n), array_agg(c.before + c.legs order by c.n)
      into o_first, o_last
      from (select o.n, coalesce(jsonb_array_length(o.op -> 'transfers'), 0) as legs,
                   sum(coalesce(jsonb_array_length(o.op -> 'transfers'), 0)) over (order by o.n)
                   - coalesce(jsonb_array_length(o.op -> 'transfers'), 0) as before
              from jsonb_array_elements(p_operations) with ordinality as o (op, n)) as c;
    t_id := array(select distinct x.id from unnest(o_id, o_verb) as x (id, verb)
                   where x.verb in ('post', 'capture') order by x.id);
    select array_agg(x.content_sha256 order by d.n), array_agg(x.available_after order by d.n)
      into t_hash, t_available
      from unnest(t_id) with ordinality as d (id, n)
      left join settlement.txn x on x.txn_id = d.id;
    t_refs := array(select x.external_ref from settlement.txn x
                     where x.external_ref = any (o_ref));
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
  h_captured := array_fill(null::bigint, array[cardinality(h_id)]);
  l_debit_entry := array_fill(null::bigint, array[coalesce(cardinality(l_amount), 0)]);
  l_credit_entry := l_debit_entry;
  for i in 1 .. cardinality(o_verb) loop
    v_code := null; v_left := null;
    a := o_a[i]; b := o_op[i]; h := o_h[i];
    if o_over[i] then
      v_code := 'overflow';
    elsif o_verb[i] = 'hold' then
      if h_state[h] is not null then
        v_code := 'conflict';
        if h_a[h] = a and h_amount[h] = o_amount[i] and h_purpose[h] = o_purpose[i]
           and h_writer[h] = p_writer then
          v_code := 'replayed'; v_left := h_placed[h];
        end if;
      elsif a is null then v_code := 'account_unknown';
      elsif not a_open[a] then v_code := 'account_closed';
      elsif a_floored[a] and a_cr[a] - a_dr[a] - a_held[a] < o_amount[i] then
        v_code := 'insufficient'; v_left := a_cr[a] - a_dr[a] - a_held[a];
      elsif a_dr[a] > c_max - a_held[a] - o_amount[i] then v_code := 'overflow';
      else
        a_held[a] := a_held[a] + o_amount[i];
        v_left := a_cr[a] - a_dr[a] - a_held[a];
        h_a[h] := a; h_amount[h] := o_amount[i]; h_purpose[h] := o_purpose[i];
        h_writer[h] := p_writer; h_state[h] := 'open'; h_placed[h] := v_left;
      end if;
    elsif o_verb[i] = 'charge' then
      if h_gross[h] is not null then
        v_code := 'conflict';
        if h_user[h] = a and h_operator[h] = a_id[b] and h_gross[h] = o_amount[i]
           and h_bps[h] = o_bps[i] then
          v_code := 'replayed'; v_left := h_charged[h];
        end if;
      elsif h_state[h] is null then v_code := 'hold_unknown';
      elsif (a_kind[a], a_kind[b]) is distinct from ('user', 'host') then
        v_code := 'account_unknown';
      elsif h_a[h] <> a or h_purpose[h] <> 'request' or h_writer[h] <> p_writer then
        v_code := 'conflict';
      elsif h_state[h] <> 'open' then v_code := 'hold_closed';
      elsif o_amount[i] > h_amount[h] then v_code := 'hold_exceeded';
      elsif not (a_open[a] and a_open[b]) then v_code := 'account_closed';
      elsif greatest(a_cr[b], a_cr[v_treasury]) > c_max - o_amount[i] then v_code := 'overflow';
      else
        v_share := div(o_amount[i]::numeric * o_bps[i], 10000);
        a_dr[a] := a_dr[a] + o_amount[i]; a_held[a] := a_held[a] - h_amount[h];
        a_cr[b] := a_cr[b] + o_amount[i] - v_share;
        a_cr[v_treasury] := a_cr[v_treasury] + v_share;
        a_version[a] := a_version[a] + 1; a_version[b] := a_version[b] + 1;
        a_version[v_treasury] := a_version[v_treasury] + 1;
        v_left := a_cr[a] - a_dr[a] - a_held[a];
        r_share[i] := v_share; r_balance[i] := a_cr[a] - a_dr[a];
        r_user_entry[i] := a_version[a]; r_operator_entry[i] := a_version[b];
        r_treasury_entry[i] := a_version[v_treasury];
        h_state[h] := 'captured'; h_captured[h] := o_amount[i]; h_user[h] := a;
        h_operator[h] := a_id[b]; h_gross[h] := o_amount[i]; h_bps[h] := o_bps[i];
        h_charged[h] := v_left;
      end if;
    elsif o_verb[i] = 'void' then
      if h_state[h] is null then v_code := 'hold_unknown';
      elsif h_purpose[h] = 'request' and h_writer[h] <> p_writer then v_code := 'conflict';
      elsif h_state[h] = 'voided' and h_reason[h] = o_reason[i] then
        v_code := 'replayed'; v_left := h_voided[h];
      elsif h_state[h] <> 'open' then v_code := 'hold_closed';
      else
        a := h_a[h];
        a_held[a] := a_held[a] - h_amount[h];
        v_left := a_cr[a] - a_dr[a] - a_held[a];
        h_state[h] := 'voided'; h_captured[h] := 0; h_reason[h] := o_reason[i];
        h_voided[h] := v_left;
      end if;
    else
      t := array_position(t_id, o_id[i]);
      if t_hash[t] is not null then
        v_code := case when t_hash[t] = o_hash[i] then 'replayed' else 'conflict' end;
        v_left := case when v_code = 'replayed' then t_available[t] end;
      elsif h is not null and h_state[h] is null then v_code := 'hold_unknown';
      elsif h is not null and h_purpose[h] = 'request' and h_writer[h] <> p_writer then
        v_code := 'conflict';
      elsif h is not null and h_state[h] <> 'open' then v_code := 'hold_closed';
      elsif o_ref[i] = any (t_refs)
            or (o_reverses[i] is not null and o_reverses[i] <> all (t_reversible)) then
        v_code := 'conflict';
      end if;
      v_taken := 0;
      for l in o_first[i] .. o_last[i] loop
        exit when v_code is not null;
        if l_debit[l] is null or l_credit[l] is null then v_code := 'account_unknown';
        elsif not (a_open[l_debit[l]] and a_open[l_credit[l]]) then v_code := 'account_closed';
        elsif l_debit[l] = h_a[h] then v_taken := v_taken + l_amount[l];
        end if;
      end loop;
      if v_code is null and h is not null then
        v_code := case when v_taken = 0 then 'conflict'
                       when v_taken > h_amount[h] then 'hold_exceeded' end;
      end if;
      if v_code is null then
        if h is not null then a_held[h_a[h]] := a_held[h_a[h]] - h_amount[h]; end if;
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
          if h is not null then a_held[h_a[h]] := a_held[h_a[h]] + h_amount[h]; end if;
        else
          if h is not null then
            a := h_a[h];
            v_left := a_cr[a] - a_dr[a] - a_held[a];
            h_state[h] := 'captured'; h_captured[h] := v_taken; r_taken[i] := v_taken;
          end if;
          t_hash[t] := o_hash[i]; t_available[t] := v_left;
          t_refs := t_refs || o_ref[i];
          t_reversible := array_remove(t_reversible, o_reverses[i]) || o_id[i];
        end if;
      end if;
    end if;
    if v_code is null then
      v_n := v_n + 1; r_ord[i] := v_n; v_code := 'applied';
    end if;
    r_code[i] := v_code; r_available[i] := v_left;
  end loop;

  if v_n > 0 then
    v_seq := w.head_seq + 1;
    v_now := clock_timestamp();
    -- Write what was accepted. A name that another writer took meanwhile inserts fewer rows.
    insert into settlement.hold (hold_id, account_id, amount, purpose, writer_id, epoch)
    select o.id, a_id[o.a], o.amount, o.purpose, p_writer, p_epoch
      from unnest(o_verb, o_id, o_a, o_amount, o_purpose, r_ord)
           as o (verb, id, a, amount, purpose, ord)
     where o.verb = 'hold' and o.ord is not null
    on conflict do nothing;
    get diagnostics v_rows = row_count;
    insert into settlement.txn (txn_id, kind, slot, event_at, recorded_at, effective_on,
      external_ref, reverses, hold_id, hold_captured, available_after, actor, reason, meta,
      content_sha256, writer_id, epoch, batch_seq, ord)
    select o.id, x.kind, x.slot, x.event_at, v_now, x.effective_on, o.ref, o.reverses, o.hold,
           o.taken, case when o.hold is not null then o.available end, x.actor, o.reason,
           coalesce(x.meta, '{}'), o.hash, p_writer, p_epoch, v_seq, o.ord
      from unnest(o_verb, o_id, o_hold, o_ref, o_reverses, o_reason, o_hash, r_taken, r_available,
                  r_ord) with ordinality
           as o (verb, id, hold, ref, reverses, reason, hash, taken, available, ord, n)
     cross join lateral jsonb_to_record(p_operations -> (o.n::integer - 1)) as x (kind text,
           slot bigint, event_at timestamptz, effective_on date, actor text, meta jsonb)
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
    select o.hold, case o.verb when 'hold' then 'placed' else 'voided' end, o.reason, o.available,
           p_writer, p_epoch, v_seq, o.ord, v_now
      from unnest(o_verb, o_hold, o_reason, r_available, r_ord)
           as o (verb, hold, reason, available, ord)
     where o.verb in ('hold', 'void') and o.ord is not null;
    insert into settlement.charge (request_id, user_account, operator_account, treasury_account,
      gross, operator_share, treasury_share, split_bps, user_entry, operator_entry, treasury_entry,
      user_balance_after, user_available_after, writer_id, epoch, batch_seq, ord, recorded_at)
    select o.id, a_id[o.a], a_id[o.b], w.treasury_account, o.amount, o.amount - o.share, o.share,
           o.bps, o.user_entry, o.operator_entry, o.treasury_entry, o.balance, o.available,
           p_writer, p_epoch, v_seq, o.ord, v_now
      from unnest(o_verb, o_id, o_a, o_op, o_amount, r_share, o_bps, r_user_entry,
                  r_operator_entry, r_treasury_entry, r_balance, r_available, r_ord)
           as o (verb, id, a, b, amount, share, bps, user_entry, operator_entry, treasury_entry,
                 balance, available, ord)
     where o.verb = 'charge' and o.ord is not null;
    update settlement.hold x
       set state = d.state, captured = d.captured, released = x.amount - d.captured
      from unnest(h_id, h_state, h_captured) as d (id, state, captured)
     where x.hold_id = d.id and d.captured is not null;
    -- No balance moves but by the rows just written, and to where it was decided.
    update settlement.balance x
       set dr = x.dr + d.dr, cr = x.cr + d.cr, held = x.held + d.held, version = x.version + d.n
      from (select s.account_id, sum(s.dr)::bigint as dr, sum(s.cr)::bigint as cr,
                   sum(s.held)::bigint as held, sum(s.n)::bigint as n
              from (select f.account_id, f.dr, f.cr, 0 as held, 1 as n from settlement.entry f
                     where f.writer_id = p_writer and f.batch_seq = v_seq
                    union all
                    select f.account_id, 0, 0, f.held, 0 from settlement.hold_flow f
                     where f.writer_id = p_writer and f.batch_seq = v_seq) as s
             group by s.account_id) as d
     where x.account_id = d.account_id;
    if exists (select from unnest(a_id, a_dr, a_cr, a_held, a_version)
                 as d (id, dr, cr, held, version)
               join settlement.balance x on x.account_id = d.id
              where (x.dr, x.cr, x.held, x.version) <> (d.dr, d.cr, d.held, d.version)) then
      raise exception 'what was written is not what was decided' using errcode = 'PL004';
    end if;
    select settlement.merkle_root_v1(array_agg(x.leaf order by x.ord)) into v_root
      from settlement.batch_leaves_v1(p_writer, v_seq) as x;
    v_hash := settlement.batch_hash_v1(p_writer, p_epoch, v_seq, v_n, w.head_hash, v_root);
    insert into settlement.batch (writer_id, seq, epoch, n, root, prev_hash, hash, created_at)
    values (p_writer, v_seq, p_epoch, v_n, v_root, w.head_hash, v_hash, v_now);
    update settlement.writer x set head_seq = v_seq, head_hash = v_hash
     where x.writer_id = p_writer;
  end if;
  return query select o.c, o.v from unnest(r_code, r_available) with ordinality as o (c, v, n)
   order by o.n;
end
$$;
grant execute on function settlement.apply_v1(integer, integer, jsonb)
  to pod_coordinator, pod_indexer, pod_settlement;

reset role;
