-- name: get_charge
-- What one settled request cost and how it was shared.
select gross, operator_share, treasury_share from settlement.charge where request_id = $1

-- name: get_spent
-- What the user who paid this request has paid in all, how it was shared, in how many requests.
select coalesce(sum(c.gross), 0)::bigint as gross,
       coalesce(sum(c.operator_share), 0)::bigint as operator_share,
       coalesce(sum(c.treasury_share), 0)::bigint as treasury_share,
       count(*) as requests
  from settlement.charge c
 where c.user_account = (select x.user_account from settlement.charge x where x.request_id = $1)
