-- name: to_sign
-- Messages nobody has signed or refused yet.
select a.crank_id, a.attempt from settlement.crank_attempt a
  join settlement.crank c using (crank_id)
 where a.closed_at is null and a.wire is null and a.refusal is null and c.state = 'waiting'
 order by c.due_at, c.crank_id limit $1;

-- name: crank_with_bond
-- One crank and its bond as the indexer wrote it; the crank is locked.
select c.crank_id, c.kind, c.state as crank_state,
       b.address, b.code, b.state, b.provider_id, b.beneficiary, b.first_beneficiary, b.rent_payer,
       b.release_at, b.seizure_state, b.seizure_execute_after, b.seizure_decide_by,
       b.seizure_dies_at
  from settlement.crank c join settlement.bond b using (address)
 where c.crank_id = $1 for update of c;

-- name: message
-- One message, locked.
select message from settlement.crank_attempt
 where crank_id = $1 and attempt = $2 and closed_at is null and wire is null
   and refusal is null for update;

-- name: signed_since
-- How many messages were signed since a moment.
select count(*) from settlement.crank_attempt where signed_at > $1;

-- name: store_signature
-- Written before anybody can send it.
update settlement.crank_attempt set signature = $3, wire = $4, signed_at = $5
 where crank_id = $1 and attempt = $2 and wire is null returning attempt;

-- name: set_signed
-- A locked crank has its signature.
update settlement.crank set state = 'signed' where crank_id = $1 and state = 'waiting'
returning state;

-- name: refuse
-- Why this message is not signed.
update settlement.crank_attempt set refusal = $3 where crank_id = $1 and attempt = $2;
