-- name: due
-- Operators whose six hours began at this moment and were not looked at, after the one given.
select s.provider_id, s.threshold, coalesce(s.destination, o.wallet) as destination
  from settlement.payout_schedule s join settlement.operator o using (provider_id)
 where s.enabled and s.enabled_at <= $1 and s.provider_id > $2
   and not exists (select from settlement.payout_tick t
                    where t.provider_id = s.provider_id and t.slot_at = $1)
 order by s.provider_id limit $3;

-- name: asked_before
-- The withdrawal that was asked for under a tick's key, by whoever died before writing the tick.
select payout_id from settlement.payout
 where provider_id = $1 and kind = 'pay' and idempotency_key = $2;

-- name: add_tick
-- What became of it; whoever was faster has written the same.
insert into settlement.payout_tick (provider_id, slot_at, outcome, withdrawal_id, detail, ended_at)
values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning slot_at;
