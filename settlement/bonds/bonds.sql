-- name: bond_for_update
-- A bond by its address on chain, locked until the transaction ends.
select code, state, provider_id, amount from settlement.bond where address = $1::text for update

-- name: add_bond
-- A bond that appeared on chain; no row when it is known already.
insert into settlement.bond (address, code, provider_id, beneficiary, first_beneficiary, rent_payer,
                             amount, cooldown_seconds, state, posted_at)
values ($1::text, $2::bytea, $3::uuid, $4::text, $4::text, $5::text, $6::bigint, $7::bigint,
        $8::text, $9::timestamptz)
on conflict do nothing
returning address

-- name: move_bond
-- What a bond's state is from now on, and when it may be released.
update settlement.bond set state = $2::text, release_at = $3::timestamptz
 where address = $1::text

-- name: hand_over
-- Whose a bond is from now on, and for whom it counts.
update settlement.bond set beneficiary = $2::text, provider_id = $3::uuid where address = $1::text

-- name: handed_over_later
-- Whether a bond changed hands at a later slot than this one.
select exists (select from settlement.bond_event
                where address = $1::text and event = 'handed_over' and slot > $2::bigint)

-- name: add_step
-- A step of a seizure; no row when it is known already.
insert into settlement.seizure_step (external_ref, address, step, signer, evidence, reason, reply,
                                     execute_after, decide_by, dies_at, slot, event_at)
values ($1::text, $2::text, $3::text, $4::text, $5::bytea, $6::integer, $7::bytea,
        $8::timestamptz, $9::timestamptz, $10::timestamptz, $11::bigint, $12::timestamptz)
on conflict (external_ref) do nothing
returning step_id

-- name: known_step
-- What was taken in of this instruction before.
select address, step from settlement.seizure_step where external_ref = $1::text

-- name: steps_of
-- The steps of a bond's seizures in the order of the chain.
select step, event_at, evidence, reason, reply, execute_after, decide_by, dies_at
  from settlement.seizure_step where address = $1::text order by slot, step_id

-- name: set_seizure
-- The seizure of a bond that is open now. A bond we do not know has no row.
update settlement.bond
   set seizure_state = $2::text, seizure_proposed_at = $3::timestamptz,
       seizure_evidence = $4::bytea, seizure_reason = $5::integer, seizure_reply = $6::bytea,
       seizure_execute_after = $7::timestamptz, seizure_decide_by = $8::timestamptz,
       seizure_dies_at = $9::timestamptz
 where address = $1::text

-- name: seizure
-- The open seizure of a bond.
select seizure_state, seizure_proposed_at, seizure_evidence, seizure_reason, seizure_reply,
       seizure_execute_after, seizure_decide_by, seizure_dies_at
  from settlement.bond where address = $1::text and seizure_state <> 'none'

-- name: add_event
-- What the chain did to a bond.
insert into settlement.bond_event (external_ref, address, event, state_after, slot, event_at)
values ($1::text, $2::text, $3::text, $4::text, $5::bigint, $6::timestamptz)

-- name: known_event
-- Whether this movement or instruction was taken in before, and for which bond.
select address, event from settlement.bond_event where external_ref = $1::text

-- name: notify
-- Tells everybody who listens that an operator's bond changed.
select pg_notify('bond_changed', $1::text)

-- name: standing
-- An operator's newest bond that counts, and the transaction that ended it.
select b.address, b.state, b.amount, b.release_at, b.seizure_state,
       (select split_part(e.external_ref, ':', 3) from settlement.bond_event e
         where e.address = b.address and e.event = b.state
           and b.state in ('released', 'seized')) as ended_by
  from settlement.bond b
 where b.provider_id = $1::uuid
 order by b.state = 'posted' desc, b.state = 'retiring' desc, b.posted_at desc, b.address
 limit 1

-- name: pending
-- Bond money in the till that is not escrowed yet, and how much of it nothing is set aside for.
select b.cr - b.dr as pending, greatest(0, b.cr - b.dr - b.held) as free from settlement.balance b join settlement.account a using (account_id)
 where a.name = $1::text

-- name: retirements_cancelled
-- When (by our clock) each of these operators last stopped a retirement on chain.
select b.provider_id, max(e.recorded_at) as at
  from settlement.bond b join settlement.bond_event e using (address)
 where b.provider_id = any ($1::uuid[]) and e.event = 'retirement_cancelled'
 group by b.provider_id

-- name: active_providers
-- Operators whose bond is posted.
select distinct provider_id from settlement.bond
 where provider_id is not null and state = 'posted'
