-- name: one_at_a_time
-- Two signers count one after the other.
select pg_advisory_xact_lock(hashtextextended('podledger:signer:rates', 0));

-- name: counted
-- Which of these payouts count already, and whether as openings of an account.
select payout_id, opened_at is not null as opened from settlement.signed_payment
 where payout_id = any($1);

-- name: signed_since
-- What was let through since the first moment (an hour ago) and since the second (a day ago).
select coalesce(sum(amount) filter (where signed_at > $1), 0)::bigint as hour,
       coalesce(sum(amount) filter (where signed_at > $2), 0)::bigint as day,
       count(*) filter (where opened_at > $1) as openings
  from settlement.signed_payment where signed_at > $2 or opened_at > $2;

-- name: count
-- A payout counts once; later it may come to count as an opening too.
insert into settlement.signed_payment as p (payout_id, amount, signed_at, opened_at)
values ($1, $2, $3, $4)
on conflict (payout_id) do update set opened_at = coalesce(p.opened_at, excluded.opened_at);
