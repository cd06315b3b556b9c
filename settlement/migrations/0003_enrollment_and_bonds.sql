-- Who a deposit code belongs to, which operators are enrolled, what is known of each bond; and the
-- check of the books as a whole.
set local role pod_owner;

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

create trigger only_grows before update or delete or truncate on settlement.operator
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.deposit_code
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.bond_event
  for each statement execute function settlement.refuse_change_v1();
create trigger nothing_lost before delete or truncate on settlement.bond
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.operator, settlement.deposit_code, settlement.bond,
  settlement.bond_event to pod_coordinator, pod_indexer, pod_settlement, pod_finance;
grant insert on settlement.operator, settlement.deposit_code to pod_coordinator;
grant insert on settlement.bond, settlement.bond_event to pod_indexer;
grant update (state, release_at) on settlement.bond to pod_indexer;

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
   where (a.floored, b.floored, a.asset) is distinct from (k.floored, k.floored, k.asset)
  union all
  select 'held is open holds', format('%s: held %s, open %s', a.name, b.held, coalesce(h.open, 0))
    from settlement.balance b join settlement.account a using (account_id)
    left join (select account_id, sum(amount) as open from settlement.hold
                where state = 'open' group by account_id) as h using (account_id)
   where b.held <> coalesce(h.open, 0)
  union all
  select 'balance is its entries', format('%s: %s/%s/%s, entries say %s/%s/%s', a.name, b.dr, b.cr,
         b.version, coalesce(e.dr, 0), coalesce(e.cr, 0), coalesce(e.n, 0))
    from settlement.balance b join settlement.account a using (account_id)
    left join (select account_id, sum(dr) as dr, sum(cr) as cr, count(*) as n
                 from settlement.entry group by account_id) as e using (account_id)
   where (b.dr, b.cr, b.version) <> (coalesce(e.dr, 0), coalesce(e.cr, 0), coalesce(e.n, 0))
  union all
  select 'entries are numbered', format('account %s: %s entries from %s to %s', account_id,
         count(*), min(entry), max(entry))
    from settlement.entry group by account_id
  having min(entry) <> 1 or max(entry) <> count(*) or count(distinct entry) <> count(*)
  union all
  select 'balance after', format('charge %s of account %s', c.request_id, c.user_account)
    from (select account_id, entry, sum(cr - dr) over (partition by account_id order by entry)
                 as after from settlement.entry) as e
    join settlement.charge c on c.user_account = e.account_id and c.user_entry = e.entry
   where c.user_balance_after <> e.after
  union all
  select 'hold is its events', format('hold %s is %s', h.hold_id, h.state)
    from settlement.hold h
    left join settlement.charge c on c.request_id = h.hold_id
    left join settlement.txn x on x.hold_id = h.hold_id
    left join settlement.hold_event p on p.hold_id = h.hold_id and p.event = 'placed'
    left join settlement.hold_event v on v.hold_id = h.hold_id and v.event = 'voided'
   where p.hold_id is null or num_nonnulls(c.request_id, x.txn_id, v.hold_id) > 1
      or h.state <> case when v.hold_id is not null then 'voided'
                         when num_nonnulls(c.request_id, x.txn_id) = 1 then 'captured'
                         else 'open' end
      or h.captured <> coalesce(c.gross, x.hold_captured, 0)
  union all
  select 'batch hash', format('writer %s, batch %s', b.writer_id, b.seq)
    from settlement.batch b
   cross join lateral (select count(*) as n, max(x.ord) as last,
                              settlement.merkle_root_v1(array_agg(x.leaf order by x.ord)) as root
                         from settlement.batch_leaves_v1(b.writer_id, b.seq) as x) as r
   where r.n <> b.n or r.last <> b.n or r.root is distinct from b.root
      or b.hash <> settlement.batch_hash_v1(b.writer_id, b.epoch, b.seq, b.n, b.prev_hash, b.root)
  union all
  select 'chain', format('writer %s, batch %s', w.writer_id, b.seq)
    from settlement.writer w
    join (select writer_id, seq, prev_hash, lag(seq, 1, 0::bigint) over o as before,
                 lag(hash) over o as hash_before from settlement.batch
          window o as (partition by writer_id order by seq)) as b using (writer_id)
   where b.seq <> b.before + 1
      or b.prev_hash <> coalesce(b.hash_before,
                                 sha256(convert_to('writer/1|' || w.name, 'UTF8')))
  union all
  select 'head', format('writer %s is at %s', w.name, w.head_seq)
    from settlement.writer w
    left join lateral (select seq, hash from settlement.batch
                        where writer_id = w.writer_id order by seq desc limit 1) as b on true
   where (w.head_seq, w.head_hash) is distinct from
         (coalesce(b.seq, 0), coalesce(b.hash, sha256(convert_to('writer/1|' || w.name, 'UTF8'))))
  union all
  select 'row without batch', format('writer %s, batch %s, %s', r.writer_id, r.batch_seq, r.ord)
    from (select writer_id, batch_seq, epoch, ord from settlement.charge
          union all select writer_id, batch_seq, epoch, ord from settlement.txn
          union all select writer_id, batch_seq, epoch, ord from settlement.hold_event) as r
    left join settlement.batch b on b.writer_id = r.writer_id and b.seq = r.batch_seq
   where b.epoch is distinct from r.epoch
$$;
grant execute on function settlement.check_books_v1()
  to pod_coordinator, pod_indexer, pod_settlement, pod_finance;

reset role;
