-- name: one_at_a_time
-- What one owner asks for comes one after the other, so that limits cannot be raced.
select pg_advisory_xact_lock(hashtextextended('podledger:withdrawals:' || $1::uuid::text, 0));

-- name: lock_payout
-- One payout, locked: whoever changes its state holds this lock.
select * from settlement.payout where payout_id = $1 for update;

-- name: set_state
-- Moves a locked payout on; the caller took the new state from the table.
update settlement.payout set state = $3 where payout_id = $1 and state = $2 returning state;

-- name: set_states
-- The same for several.
update settlement.payout set state = $3
 where payout_id = any ($1::uuid[]) and state = $2 returning payout_id;

-- name: want_skip
-- The number is to be burned instead of used; the first reason stays.
update settlement.payout set skip_reason = coalesce(skip_reason, $2) where payout_id = $1;

-- name: open_halts
-- Why payouts stand still; nothing when they do not.
select reason, detail, raised_at from settlement.payout_halt where lifted_at is null
 order by halt_id;

-- name: halt
-- Stops payouts, once for each reason.
insert into settlement.payout_halt (reason, detail) values ($1, $2) on conflict do nothing;

-- name: lift_halts
-- A person lets payouts move on.
update settlement.payout_halt set lifted_at = clock_timestamp(), lifted_by = $1
 where lifted_at is null returning reason;

-- name: gate_closed
-- Whether payouts may have happened that the books do not know.
select settlement.payout_gate_closed_v1();
