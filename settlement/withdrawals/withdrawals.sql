-- name: by_key
-- The withdrawal an owner asked for under an idempotency key, or under its id.
select payout_id from settlement.payout
 where (provider_id = $1 or user_id = $1) and kind = 'pay'
   and (idempotency_key = $2 or payout_id = $3);

-- name: past
-- What an owner withdrew since a moment and did not get back, and where money went before.
select coalesce(sum(amount) filter (where requested_at > $2
                                      and state not in ('skipped', 'cancelled')), 0)::bigint as day,
       coalesce(bool_or(state = 'paid' and destination = $3), false) as paid_here,
       (array_agg(destination order by outcome_slot desc, requested_at desc)
          filter (where state = 'paid'))[1] as last_paid_to
  from settlement.payout
 where (provider_id = $1 or user_id = $1) and kind = 'pay'
   and not starts_with(account, 'bond-pending:');

-- name: user_code
-- The code a user's deposits are known by.
select code from settlement.deposit_code where user_id = $1;

-- name: paid_in_from
-- Whether one of these token accounts paid a deposit that named this account by its code.
select exists (
  select from settlement.account a
    join settlement.transfer t on t.credit = a.account_id
    join settlement.txn x using (txn_id)
   where a.name = $1 and x.kind = 'deposit_credited' and x.meta ->> 'source' = any ($2::text[]));

-- name: add_withdrawal
-- A withdrawal that was asked for; its hold is placed in the same transaction.
insert into settlement.payout (payout_id, kind, provider_id, user_id, account, amount, destination,
                               destination_kind, code, reference, idempotency_key, state,
                               requested_at, needs_approval, second_approval, not_before,
                               delay_reason)
values ($1, 'pay', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11 = 'awaiting_approval', $13,
        $14, $15);

-- name: withdrawal
-- One withdrawal as its owner sees it.
select p.payout_id, p.provider_id, p.user_id, p.amount, p.destination, p.destination_account,
       p.state, p.requested_at, p.sequence, p.not_before, p.delay_reason, p.second_approval,
       p.cancel_reason, p.refused_by, p.skip_reason,
       (select count(*) from settlement.payout_approval v where v.payout_id = p.payout_id)
         as approvals,
       case when s.signature is null then 'unsent' when s.confirmed then 'confirmed'
            else 'sent' end as progress,
       coalesce(split_part(p.outcome_reference, ':', 3), s.signature) as signature
  from settlement.payout p
  left join lateral (select m.signature, m.confirmed_at is not null as confirmed
                       from settlement.payout_attempt a
                       join settlement.payout_message m using (message_id)
                      where a.payout_id = p.payout_id and a.action = 'execute' and m.sends > 0
                      order by m.confirmed_at is not null desc, a.attempt desc limit 1) s on true
 where p.payout_id = $1 and p.kind = 'pay';

-- name: withdrawals_of
-- An owner's withdrawals, newest first, before a moment.
select p.payout_id, p.provider_id, p.user_id, p.amount, p.destination, p.destination_account,
       p.state, p.requested_at, p.sequence, p.not_before, p.delay_reason, p.second_approval,
       p.cancel_reason, p.refused_by, p.skip_reason,
       (select count(*) from settlement.payout_approval v where v.payout_id = p.payout_id)
         as approvals,
       case when s.signature is null then 'unsent' when s.confirmed then 'confirmed'
            else 'sent' end as progress,
       coalesce(split_part(p.outcome_reference, ':', 3), s.signature) as signature
  from settlement.payout p
  left join lateral (select m.signature, m.confirmed_at is not null as confirmed
                       from settlement.payout_attempt a
                       join settlement.payout_message m using (message_id)
                      where a.payout_id = p.payout_id and a.action = 'execute' and m.sends > 0
                      order by m.confirmed_at is not null desc, a.attempt desc limit 1) s on true
 where (p.provider_id = $1 or p.user_id = $1) and p.kind = 'pay'
   and (p.requested_at, p.payout_id) < ($2, $3)
 order by p.requested_at desc, p.payout_id desc limit $4;

-- name: cancel
-- Takes back what has no number yet; its hold is voided in the same transaction.
update settlement.payout set state = 'cancelled', cancel_reason = $3
 where payout_id = $1 and state = $2 returning state;
