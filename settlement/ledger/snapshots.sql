-- name: around
-- The newest snapshot of an account at or below an entry, and the seal of the first one at or after.
select coalesce(s.seal_no, 0) as seal_no, coalesce(s.entry, 0) as entry, coalesce(s.dr, 0) as dr,
       coalesce(s.cr, 0) as cr, n.seal_no as next_seal,
       exists (select from settlement.writer w where w.treasury_account = $1::bigint) as is_treasury
  from (values (1)) as one
  left join lateral (select * from settlement.snapshot y
                      where y.account_id = $1::bigint and y.entry <= $2::bigint
                      order by y.entry desc limit 1) as s on true
  left join lateral (select y.seal_no from settlement.snapshot y
                      where y.account_id = $1::bigint and y.entry >= $2::bigint
                      order by y.entry limit 1) as n on true

-- name: since
-- What an account's entries after a number, and up to another, add up to: by the numbers' indexes.
select coalesce(sum(x.dr), 0)::bigint as dr, coalesce(sum(x.cr), 0)::bigint as cr,
       coalesce(sum(x.n), 0)::bigint as n
  from (select sum(t.amount) as dr, 0 as cr, count(*) as n from settlement.transfer t
         where t.debit = $1::bigint and t.debit_entry > $2::bigint and t.debit_entry <= $3::bigint
        union all
        select 0, sum(t.amount), count(*) from settlement.transfer t
         where t.credit = $1::bigint and t.credit_entry > $2::bigint
           and t.credit_entry <= $3::bigint
        union all
        select sum(c.gross), 0, count(*) from settlement.charge c
         where c.user_account = $1::bigint and c.user_entry > $2::bigint
           and c.user_entry <= $3::bigint
        union all
        select 0, sum(c.operator_share), count(*) from settlement.charge c
         where c.operator_account = $1::bigint and c.operator_entry > $2::bigint
           and c.operator_entry <= $3::bigint) as x

-- name: treasury_since
-- The same for what charges brought a treasury, whose entries have no index: by the batches after
-- one seal's cut, and up to another's.
select coalesce(sum(x.cr), 0)::bigint as cr, coalesce(sum(x.n), 0)::bigint as n
  from settlement.writer w
  left join lateral (select y.to_seq from settlement.seal_cut y
                      where y.writer_id = w.writer_id and y.seal_no <= $4::integer
                      order by y.to_seq desc limit 1) as low on true
  left join lateral (select y.to_seq from settlement.seal_cut y
                      where y.writer_id = w.writer_id and y.seal_no >= $5::integer
                      order by y.to_seq limit 1) as high on true
 cross join lateral (
   select sum(c.treasury_share) as cr, count(*) as n from settlement.charge c
    where c.writer_id = w.writer_id and c.batch_seq > coalesce(low.to_seq, 0)
      and c.batch_seq <= coalesce(high.to_seq, w.head_seq)
      and c.treasury_entry > $2::bigint and c.treasury_entry <= $3::bigint) as x
 where w.treasury_account = $1::bigint
