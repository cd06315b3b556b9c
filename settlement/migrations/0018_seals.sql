-- Seals: a cut of all writers' chains, the tree over every row up to there, and where the accounts
-- stood that moved since the seal before. One signs or publishes its hash and vouches for all of it.
set local role pod_owner;

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

reset role;
