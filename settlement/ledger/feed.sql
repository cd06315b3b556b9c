-- name: batches_after
-- The next batches of each writer after the number that was seen of it.
select b.writer_id, b.seq, b.n, b.hash
  from settlement.writer w
  left join unnest($1::integer[], $2::bigint[]) as c (writer_id, seq) using (writer_id)
 cross join lateral (select * from settlement.batch y
                      where y.writer_id = w.writer_id and y.seq > coalesce(c.seq, 0)
                      order by y.seq limit $3::integer) as b
 order by b.writer_id, b.seq
