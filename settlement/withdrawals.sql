-- name: one_at_a_time
-- Requests of one operator come one after the other, so that limits cannot be raced.
select pg_advisory_xact_lock(hashtextextended('podledger:withdrawals:' || $1::uuid::text, 0));

-- name: requested_since
-- What an operator asked for since a moment and did not get back.
select coalesce(sum(amount), 0)::bigint from settlement.payout
 where provider_id = $1 and kind = 'pay' and requested_at > $2
   and state not in ('skipped', 'cancelled');

-- name: add_withdrawal
-- A withdrawal that was asked for; its hold is placed in the same transaction.
insert into settlement.payout (payout_id, kind, provider_id, account, amount, destination, code,
                               reference, idempotency_key, state, requested_at, needs_approval)
values ($1, 'pay', $2, $3, $4, $5, $6, $7, $8, $9, $10, $9 = 'awaiting_approval');

-- name: by_key
-- The withdrawal an operator asked for under an idempotency key, or under its id.
select payout_id from settlement.payout
 where provider_id = $1 and kind = 'pay' and (idempotency_key = $2 or payout_id = $3);

-- name: withdrawal
-- One withdrawal as its operator sees it.
select p.payout_id, p.provider_id, p.amount, p.destination, p.state, p.requested_at, p.sequence,
       coalesce(p.cancel_reason, p.skip_reason) as reason,
       coalesce(split_part(p.outcome_reference, ':', 3), s.signature) as signature
  from settlement.payout p
  left join lateral (select m.signature from settlement.payout_attempt a
                       join settlement.payout_message m using (message_id)
                      where a.payout_id = p.payout_id and m.sends > 0
                      order by a.attempt desc limit 1) s on true
 where p.payout_id = $1 and p.kind = 'pay';

-- name: withdrawals_of
-- An operator's withdrawals, newest first, before a moment.
select p.payout_id, p.provider_id, p.amount, p.destination, p.state, p.requested_at, p.sequence,
       coalesce(p.cancel_reason, p.skip_reason) as reason,
       coalesce(split_part(p.outcome_reference, ':', 3), s.signature) as signature
  from settlement.payout p
  left join lateral (select m.signature from settlement.payout_attempt a
                       join settlement.payout_message m using (message_id)
                      where a.payout_id = p.payout_id and m.sends > 0
                      order by a.attempt desc limit 1) s on true
 where p.provider_id = $1 and p.kind = 'pay' and (p.requested_at, p.payout_id) < ($2, $3)
 order by p.requested_at desc, p.payout_id desc limit $4;

-- name: cancel
-- Takes back what has no number yet; its hold is voided in the same transaction.
update settlement.payout set state = 'cancelled', cancel_reason = $3
 where payout_id = $1 and state = $2 returning state;
