-- name: fence_expired
-- Fences the writers whose leases are over and that do not say that they are alive.
select writer_id, epoch from settlement.fence_expired_v1()

-- name: expired_leases
-- Leases whose time is over and whose writer is fenced: anybody may give them back.
select h.hold_id from settlement.hold h join settlement.writer w using (writer_id)
 where h.state = 'open' and h.purpose = 'lease' and h.expires_at < clock_timestamp()
   and h.epoch < w.epoch
 order by h.expires_at limit $1::integer

-- name: begin_era
-- The books were restored: fences every writer, and new chains begin.
select settlement.begin_era_v1($1::text, $2::text)
