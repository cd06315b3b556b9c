-- name: finished_signatures
-- Those of these signatures that are final for us, and those that are discovered and still open.
select signature, state in ('booked', 'failed') as finished from indexer.signature
 where cluster = $1 and signature = any ($2::bytea[]);
