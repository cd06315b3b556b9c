-- name: on_its_way
-- A refund of this operator that is not over.
select payout_id, amount, destination from settlement.payout
 where provider_id = $1 and kind = 'pay' and account = $2
   and state not in ('paid', 'skipped', 'cancelled');

-- name: add_refund
-- An intent to send pending bond money back; its hold is placed in the same transaction.
insert into settlement.payout (payout_id, kind, provider_id, account, amount, destination, code,
                               reference, state, requested_at)
values ($1, 'pay', $2, $3, $4, $5, $6, $7, 'requested', $8);
