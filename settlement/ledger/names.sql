-- name: name_request
-- Gives a client's attempt an id; no row when it has one.
insert into settlement.request_name (user_id, fingerprint, request_id)
values ($1::uuid, $2::bytea, $3::uuid)
on conflict (user_id, fingerprint) do nothing returning request_id

-- name: request_named
-- The id that a client's attempt was given.
select request_id from settlement.request_name
 where user_id = $1::uuid and fingerprint = $2::bytea
