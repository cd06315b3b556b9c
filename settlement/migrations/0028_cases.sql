-- A seizure as a case: who accused an operator of what, with which evidence and for which requests;
-- who looked at it; and how those who were harmed are credited from the refund pool. What the chain
-- decided is never typed: it is read from settlement.seizure_step, by the bond and the evidence.
set local role pod_owner;

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

reset role;
