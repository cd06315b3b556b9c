-- name: lock_counter
-- The next number to give out, locked.
select program_id, next_sequence from settlement.payout_counter for update;

-- name: start_counter
-- The first number of a deployment, read from the chain.
insert into settlement.payout_counter (program_id, next_sequence) values ($1, $2)
on conflict do nothing;

-- name: set_counter
-- Remembers the next number.
update settlement.payout_counter set next_sequence = $1;

-- name: numbers_gone
-- Numbers from here on that the chain used up without us.
select sequence from settlement.payout_number_gone where sequence >= $1;

-- name: requested
-- Payouts that may have a number at this moment, oldest first, locked.
select * from settlement.payout
 where state = 'requested' and (not_before is null or not_before <= $2)
 order by requested_at, payout_id limit $1 for update;

-- name: give_numbers
-- Payouts' numbers, and where their money will arrive.
update settlement.payout p
   set state = 'numbered', sequence = n.sequence, destination_account = n.destination_account
  from unnest($1::uuid[], $2::bigint[], $3::text[]) as n (payout_id, sequence, destination_account)
 where p.payout_id = n.payout_id and p.state = 'requested' returning p.payout_id;

-- name: refused_before
-- Whether this person refused it for this reason already.
select true from settlement.payout
 where payout_id = $1 and cancel_reason = $2 and refused_by = $3;

-- name: refuse
-- A person refuses what has no number yet; its hold is voided in the same transaction.
update settlement.payout set state = 'cancelled', cancel_reason = $2, refused_by = $3
 where payout_id = $1 and state in ('awaiting_approval', 'requested') returning state;

-- name: passed_by
-- Numbers that are not decided, so far behind the next one, and not given up yet; locked.
select p.* from settlement.payout p
 where p.state in ('numbered', 'signed', 'sent') and p.skip_reason is null
   and p.sequence <= (select next_sequence - $1::bigint from settlement.payout_counter)
 order by p.sequence for update;

-- name: counts
-- How many payouts stand where, and since when the oldest waits.
select state, count(*) as n, min(requested_at) as oldest from settlement.payout
 where state not in ('paid', 'skipped', 'cancelled') group by state;

-- name: bonds_to_fund
-- Enrolled operators whose coded deposits reach a bond, and who neither have one nor one underway.
select o.provider_id, o.wallet, d.code
  from settlement.operator o
  join settlement.deposit_code d using (provider_id)
  join settlement.account a on a.name = 'bond-pending:' || o.provider_id
  join settlement.balance b using (account_id)
 where b.cr - b.dr - b.held >= $1
   and not exists (select from settlement.bond x where x.provider_id = o.provider_id
                      and x.state in ('posted', 'retiring'))
   and not exists (select from settlement.bond x
                    where x.code = d.code and x.first_beneficiary = o.wallet)
   and not exists (select from settlement.payout p where p.provider_id = o.provider_id
                      and p.kind = 'fund_bond'
                      and (p.state not in ('paid', 'skipped', 'cancelled') or p.requested_at > $2))
 order by o.provider_id limit $3;

-- name: add_bond_funding
-- An intent to turn an operator's pending money into a bond.
insert into settlement.payout (payout_id, kind, provider_id, account, amount, destination, code,
                               reference, state, requested_at)
values ($1, 'fund_bond', $2, $3, $4, $5, $6, $7, 'requested', $8)
on conflict do nothing returning payout_id;
