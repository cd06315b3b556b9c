-- Payouts that an operator has asked for once and for all: every six hours, above a threshold. A
-- tick is what became of one operator's six hours; there is one at most, whatever is started twice.
set local role pod_owner;

create table settlement.payout_schedule (
  provider_id uuid primary key references settlement.operator,
  enabled boolean not null,
  threshold bigint not null check (threshold > 0),
  destination text check (length(destination) between 32 and 44),  -- null: the enrolled wallet
  enabled_at timestamptz,                            -- six hours that began before are not its own
  updated_at timestamptz not null,
  check (enabled = (enabled_at is not null))
);

create table settlement.payout_tick (
  provider_id uuid not null references settlement.payout_schedule,
  slot_at timestamptz not null check (extract(epoch from slot_at)::bigint % 21600 = 0),
  outcome text not null
    check (outcome in ('requested', 'below_threshold', 'daily_limit', 'refused')),
  withdrawal_id uuid references settlement.payout,
  detail text,                                       -- why it was refused
  ended_at timestamptz not null,
  primary key (provider_id, slot_at),
  check ((outcome = 'requested') = (withdrawal_id is not null)),
  check ((outcome = 'refused') = (detail is not null))
);

create trigger nothing_lost before delete or truncate on settlement.payout_schedule
  for each statement execute function settlement.refuse_change_v1();
create trigger only_grows before update or delete or truncate on settlement.payout_tick
  for each statement execute function settlement.refuse_change_v1();

grant select on settlement.payout_schedule, settlement.payout_tick
  to pod_coordinator, pod_settlement, pod_finance;
grant insert, update (enabled, threshold, destination, enabled_at, updated_at)
  on settlement.payout_schedule to pod_coordinator;
grant insert on settlement.payout_tick to pod_settlement;

reset role;
