-- name: fold
-- What the movements of a vault come to at the end of a slot.
select coalesce(sum(amount) filter (where to_vault = $2), 0)
     - coalesce(sum(amount) filter (where from_vault = $2), 0) as microusdc
  from indexer.movement where cluster = $1 and slot <= $3;

-- name: unknown
-- Those of these signatures that are not known to be about the address.
select s.signature from unnest($3::bytea[]) as s (signature)
 where not exists (select from indexer.mention m
                    where m.cluster = $1 and m.signature = s.signature and m.address = $2);

-- name: close_incident
-- The incident of a stop ends with it.
select indexer.close_stop_incident_v1($1);
