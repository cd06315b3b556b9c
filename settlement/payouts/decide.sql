-- name: add_approval
-- One person's word for a payout; the same name again is refused.
insert into settlement.payout_approval (payout_id, approved_by, approved_at) values ($1, $2, $3);

-- name: approvals
-- How many people have approved a payout and how many it needs.
select 1 + p.second_approval::integer as needed,
       (select count(*) from settlement.payout_approval a where a.payout_id = p.payout_id)
         as approvals
  from settlement.payout p where p.payout_id = $1;

-- name: approve
-- As many as it needs have approved it: it goes on.
update settlement.payout set state = 'requested', approved_by = $2, approved_at = $3
 where payout_id = $1 and state = 'awaiting_approval' returning state;
