-- name: losses
-- What each request of a case cost whom, and what went back already.
select r.request_id, u.name as user, r.paid, r.claimed,
       greatest(coalesce(f.refunded, 0), coalesce(y.credited, 0))::bigint as refunded
  from settlement.case_request r
  join settlement.account u on u.account_id = r.user_account
  left join settlement.refund f using (request_id)
  left join lateral (select sum(k.credited) as credited from settlement.case_credit k
                      where k.request_id = r.request_id) as y on true
 where r.case_id = $1::uuid
 order by r.request_id

-- name: pool
-- What is there for a case, and whether its bond can still be seized.
select p.seized, greatest(p.carriable, 0)::bigint as carriable,
       exists (select from settlement.bond b join settlement.fraud_case c on c.bond_address = b.address
                where c.case_id = p.case_id and b.state in ('posted', 'retiring')) as seizable
  from settlement.case_pool p where p.case_id = $1::uuid

-- name: add_list
-- A list, behind the others of its case.
insert into settlement.case_list (case_id, list_no, drawn_at, drawn_by, losses, credits, seized,
                                  carried, backing)
select $1::uuid, coalesce(max(l.list_no), 0) + 1, $2::timestamptz, $3::text, $4::bigint, $5::bigint,
       $6::bigint, $7::bigint, $8::bigint
  from settlement.case_list l where l.case_id = $1::uuid
returning list_no

-- name: add_credits
-- What a list gives back for each request.
insert into settlement.case_credit (case_id, list_no, request_id, loss, amount)
select $1::uuid, $2::integer, x.id, x.loss, x.amount
  from unnest($3::uuid[], $4::bigint[], $5::bigint[]) as x (id, loss, amount)

-- name: lists
-- The lists of a case, with what was settled of each.
select l.list_no, l.drawn_at, l.drawn_by, l.losses, l.credits, l.seized, l.carried, l.backing,
       l.approved_at, l.approved_by, l.backing_txn, y.settled, y.open, y.credited
  from settlement.case_list l
  join lateral (select count(k.settled_at) as settled,
                       count(*) filter (where k.settled_at is null) as open,
                       coalesce(sum(k.credited), 0)::bigint as credited
                  from settlement.case_credit k
                 where (k.case_id, k.list_no) = (l.case_id, l.list_no)) as y on true
 where l.case_id = $1::uuid
 order by l.list_no

-- name: credits
-- What a list gives back to whom for which request.
select k.request_id, u.name as user, k.loss, k.amount, k.credited, k.txn_id
  from settlement.case_credit k
  join settlement.case_request r using (case_id, request_id)
  join settlement.account u on u.account_id = r.user_account
 where k.case_id = $1::uuid and k.list_no = $2::integer
 order by k.request_id

-- name: approve_list
-- A second person agrees to a list.
update settlement.case_list set approved_at = $3::timestamptz, approved_by = $4::text
 where case_id = $1::uuid and list_no = $2::integer
