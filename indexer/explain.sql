-- name: explained_signature
-- What is known of one signature.
select slot, place, state, problem, discovered_at, finished_at
  from indexer.signature where cluster = $1 and signature = $2;

-- name: explained_addresses
-- Which watched addresses it is about, and what they are watched for.
select m.address, w.purpose
  from indexer.mention m join indexer.watched w using (cluster, address)
 where m.cluster = $1 and m.signature = $2
 order by w.purpose, m.address;

-- name: explained_entries
-- What the books have under these references, transfer by transfer, in the order it was booked.
select x.external_ref as reference, x.kind, x.actor, x.reason, x.recorded_at, t.leg,
       d.name as debit, c.name as credit, t.amount
  from settlement.txn x
  join settlement.transfer t using (txn_id)
  join settlement.account d on d.account_id = t.debit
  join settlement.account c on c.account_id = t.credit
 where x.external_ref = any ($1::text[])
 order by x.recorded_at, x.batch_seq, x.ord, t.leg;

-- name: explained_incidents
-- What people were told about it.
select incident_id, kind, reference, detail, opened_at, closed_at, closed_by
  from indexer.incident
 where cluster = $1 and position($2::text in reference) > 0
 order by incident_id;
