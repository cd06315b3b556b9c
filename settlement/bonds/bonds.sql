-- name: bond_for_update
-- A bond by its address on chain, locked until the transaction ends.
select state, provider_id, amount from settlement.bond where address = $1::text for update

-- name: add_bond
-- A bond that appeared on chain; no row when it is known already.
insert into settlement.bond (address, code, provider_id, beneficiary, rent_payer, amount,
                             cooldown_seconds, state, posted_at)
values ($1::text, $2::bytea, $3::uuid, $4::text, $5::text, $6::bigint, $7::bigint, $8::text,
        $9::timestamptz)
on conflict do nothing
returning address

-- name: move_bond
-- What a bond's state is from now on, and when it may be released.
update settlement.bond set state = $2::text, release_at = $3::timestamptz
 where address = $1::text

-- name: add_event
-- What the chain did to a bond.
insert into settlement.bond_event (external_ref, address, event, state_after, slot, event_at)
values ($1::text, $2::text, $3::text, $4::text, $5::bigint, $6::timestamptz)

-- name: known_event
-- Whether this movement or instruction was taken in before, and for which bond.
select address, event from settlement.bond_event where external_ref = $1::text

-- name: notify
-- Tells everybody who listens that an operator's bond changed.
select pg_notify('bond_changed', $1::text)

-- name: standing
-- An operator's newest bond that counts.
select address, state, amount, release_at from settlement.bond
 where provider_id = $1::uuid
 order by state = 'posted' desc, state = 'retiring' desc, posted_at desc, address
 limit 1

-- name: pending
-- Bond money in the till that is not escrowed yet.
select b.cr - b.dr from settlement.balance b join settlement.account a using (account_id)
 where a.name = $1::text

-- name: active_providers
-- Operators whose bond is posted.
select distinct provider_id from settlement.bond
 where provider_id is not null and state = 'posted'
