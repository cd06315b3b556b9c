-- name: book_deposits
-- Books deposits seen on chain by sets; raises PL011 or 23505 when they must take `apply`.
select head_seq, head_hash from settlement.book_deposits_v1($1::integer, $2::integer, $3::bigint,
  $4::bytea, $5::text[], $6::uuid[], $7::text[], $8::integer[], $9::integer[], $10::bigint[],
  $11::bigint[], $12::timestamptz[], $13::text[], $14::text[], $15::text[])
