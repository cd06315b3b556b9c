-- name: schedule
-- What an operator has asked for, and its wallet.
select s.provider_id, s.enabled, s.threshold, s.destination, s.enabled_at, o.wallet
  from settlement.payout_schedule s join settlement.operator o using (provider_id)
 where s.provider_id = $1;

-- name: put_schedule
-- Replace what an operator has asked for; enabled again, its six hours begin anew.
insert into settlement.payout_schedule as s (provider_id, enabled, threshold, destination,
                                             enabled_at, updated_at)
values ($1, $2, $3, $4, case when $2 then $5::timestamptz end, $5)
on conflict (provider_id) do update
   set enabled = excluded.enabled, threshold = excluded.threshold,
       destination = excluded.destination, updated_at = excluded.updated_at,
       enabled_at = case when excluded.enabled then coalesce(s.enabled_at, excluded.enabled_at) end;

-- name: ticks
-- What became of an operator's last six hours, newest first.
select t.slot_at, t.outcome, t.withdrawal_id, t.detail, p.amount
  from settlement.payout_tick t left join settlement.payout p on p.payout_id = t.withdrawal_id
 where t.provider_id = $1 order by t.slot_at desc limit $2;
