-- name: case
-- A case with the newest step that the chain took about its evidence.
select c.case_id, c.provider_id, c.bond_address, c.reason_code, c.reason, c.manifest, c.evidence,
       c.state, c.opened_at, c.opened_by, c.reviewed_at, c.reviewed_by, c.review_note,
       c.review_accepts, c.closed_at, c.closed_by, c.close_note, s.step as newest_step
  from settlement.fraud_case c
  left join lateral (select y.step from settlement.seizure_course y
                      where y.address = c.bond_address and y.evidence = c.evidence
                      order by y.slot desc, y.step_id desc limit 1) as s on true
 where c.case_id = $1::uuid

-- name: cases
-- A page of cases, newest first, of one operator or of all; only those shown to the operator or all.
select c.case_id, c.provider_id, c.bond_address, c.reason_code, c.reason, c.manifest, c.evidence,
       c.state, c.opened_at, c.opened_by, c.reviewed_at, c.reviewed_by, c.review_note,
       c.review_accepts, c.closed_at, c.closed_by, c.close_note, s.step as newest_step
  from settlement.fraud_case c
  left join lateral (select y.step from settlement.seizure_course y
                      where y.address = c.bond_address and y.evidence = c.evidence
                      order by y.slot desc, y.step_id desc limit 1) as s on true
 where ($1::uuid is null or c.provider_id = $1::uuid) and c.case_id < $2::uuid
   and (not $3::boolean or c.review_accepts is true or s.step is not null)
 order by c.case_id desc
 limit $4::integer

-- name: case_steps
-- What the chain did about a case, in its order.
select s.step, s.external_ref, s.signer, s.reply, s.execute_after, s.decide_by, s.dies_at, s.slot,
       s.event_at
  from settlement.seizure_course s
  join settlement.fraud_case c on s.address = c.bond_address and s.evidence = c.evidence
 where c.case_id = $1::uuid
 order by s.slot, s.step_id

-- name: case_files
-- The files of a case's evidence, and which of them are kept here.
select name, size, digest, content is not null as kept from settlement.case_file
 where case_id = $1::uuid order by name collate "C"

-- name: case_file
-- One file of a case's evidence.
select name, size, digest, content from settlement.case_file
 where case_id = $1::uuid and name = $2::text

-- name: case_requests
-- The requests of a case, without who sent them.
select request_id, paid, claimed from settlement.case_request
 where case_id = $1::uuid order by request_id
