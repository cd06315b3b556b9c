-- name: add_checkpoint
-- A comparison and how it ended.
insert into settlement.checkpoint (cluster, address, verdict, slot, agreeing, sources, problem)
values ($1, $2, $3, $4, $5, $6, $7) returning checkpoint_id;

-- name: add_reading
-- What one node said.
insert into settlement.checkpoint_reading (checkpoint_id, provider, slot, balance, movements,
                                           accepted, difference)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: last_good
-- Up to where an account was last found equal to its movements; a person may have taken it further.
select greatest(
  (select slot from settlement.checkpoint where cluster = $1 and address = $2 and verdict = 'equal'
    order by checkpoint_id desc limit 1),
  (select max(up_to_slot) from settlement.crediting_stop
    where cluster = $1 and address = $2 and accepted <> 0)) as slot;

-- name: accepted
-- The differences of an account that persons have taken over.
select coalesce(sum(accepted), 0) from settlement.crediting_stop
 where cluster = $1 and address = $2;

-- name: open_stop
-- The stop of an account, if it is stopped.
select stop_id, cluster, address, above_slot, up_to_slot, difference, scanned_to_slot, raised_at
  from settlement.crediting_stop where cluster = $1 and address = $2 and lifted_at is null;

-- name: open_stops
-- Every account that is stopped.
select stop_id, cluster, address, above_slot, up_to_slot, difference, scanned_to_slot, raised_at
  from settlement.crediting_stop where lifted_at is null order by stop_id;

-- name: raise_stop
-- Nothing of this account above the slot is credited from here on.
insert into settlement.crediting_stop (cluster, address, above_slot, up_to_slot, checkpoint_id,
                                       difference, halt_reason)
values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing returning stop_id;

-- name: note_difference
-- What was seen last.
update settlement.crediting_stop set difference = $2
 where stop_id = $1 and lifted_at is null and difference <> $2;

-- name: scanned
-- Blocks were read up to this slot.
update settlement.crediting_stop set scanned_to_slot = $2
 where stop_id = $1 and lifted_at is null and coalesce(scanned_to_slot, -1) < $2;

-- name: lift
-- The account is credited again; says how much of the difference was taken over.
select settlement.lift_crediting_stop_v1($1, $2, $3, $4) as accepted;

-- name: remember_hidden
-- A signature that a listing did not show.
insert into settlement.hidden_signature (cluster, address, signature, slot, stop_id, found_in)
values ($1, $2, $3, $4, $5, $6) on conflict do nothing;
