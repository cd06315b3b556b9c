-- name: reserve_user_code
-- Reserves a code for a user; no row when the code or the user has one already.
insert into settlement.deposit_code (code, user_id) values ($1::bytea, $2::uuid)
on conflict do nothing
returning code

-- name: code_of_user
-- The code a user's deposits are known by.
select code from settlement.deposit_code where user_id = $1::uuid

-- name: add_operator
-- Enrolls an operator; no row when the provider is enrolled already.
insert into settlement.operator (provider_id, wallet) values ($1::uuid, $2::text)
on conflict do nothing
returning provider_id

-- name: reserve_bond_code
-- Reserves a bond code for a provider; no row when the code or the provider has one already.
insert into settlement.deposit_code (code, provider_id) values ($1::bytea, $2::uuid)
on conflict do nothing
returning code

-- name: operator
-- An enrolled operator and the code of its bond.
select o.provider_id, o.wallet, o.enrolled_at, c.code
  from settlement.operator o join settlement.deposit_code c using (provider_id)
 where o.provider_id = $1::uuid

-- name: code_owners
-- Whom codes belong to, and the wallet when it is an operator.
select c.code, c.user_id, c.provider_id, o.wallet
  from settlement.deposit_code c left join settlement.operator o using (provider_id)
 where c.code = any ($1::bytea[])

-- name: ever_credited
-- Whether the account has ever been credited.
select coalesce((select b.cr > 0 from settlement.balance b
                   join settlement.account a using (account_id)
                  where a.name = $1::text), false)
