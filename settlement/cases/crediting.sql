-- name: open_credits
-- Credits of a case that are to be settled, with what may still go back for each request. The books
-- bound a refund of what they have at hand, or have refunded before.
select k.request_id, u.name as user, k.amount,
       (r.paid - greatest(coalesce(f.refunded, 0), coalesce(y.credited, 0)))::bigint as left_over,
       f.request_id is not null or coalesce(c.is_there, false) as bounded
  from settlement.case_credit k
  join settlement.case_list l using (case_id, list_no)
  join settlement.case_request r using (case_id, request_id)
  join settlement.account u on u.account_id = r.user_account
  left join settlement.refund f using (request_id)
  left join lateral (select sum(o.credited) as credited from settlement.case_credit o
                      where o.request_id = k.request_id) as y on true
  left join lateral (select true as is_there from settlement.charge x
                      where x.request_id = k.request_id limit 1) as c on true
 where k.case_id = $1::uuid and l.approved_at is not null and k.settled_at is null
 order by k.request_id
 limit $2::integer

-- name: settle_credits
-- Credits that are settled from now on.
update settlement.case_credit k
   set settled_at = $2::timestamptz, credited = x.credited, txn_id = x.txn_id
  from unnest($3::uuid[], $4::bigint[], $5::uuid[]) as x (id, credited, txn_id)
 where k.case_id = $1::uuid and k.request_id = x.id and k.settled_at is null
   and k.list_no = (select l.list_no from settlement.case_list l
                     where l.case_id = $1::uuid and l.approved_at is not null)

-- name: back_list
-- The entry by which the treasury backed a case's approved list.
update settlement.case_list set backing_txn = $2::uuid
 where case_id = $1::uuid and approved_at is not null
