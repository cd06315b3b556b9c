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
-- Payouts that may have a number now, oldest first, locked.
select * from settlement.payout where state = 'requested'
 order by requested_at, payout_id limit $1 for update;

-- name: give_number
-- A payout's number and where its money will arrive.
update settlement.payout set state = 'numbered', sequence = $2, destination_account = $3
 where payout_id = $1 and state = 'requested' returning state;

-- name: to_build
-- Numbered payouts for which nothing is on its way.
select p.* from settlement.payout p where p.state = 'numbered' and not exists (
    select from settlement.payout_attempt a
     where a.payout_id = p.payout_id and a.closed_at is null)
 order by p.sequence limit $1;

-- name: accounts_opened
-- How often we have paid the rent of this wallet's token account.
select count(*) from settlement.payout p
 where p.destination = $1 and p.state = 'paid' and exists (
    select from settlement.payout_attempt a
     where a.payout_id = p.payout_id and a.creates_account and a.sends > 0);

-- name: add_attempt
-- A message to be signed.
insert into settlement.payout_attempt (payout_id, attempt, action, creates_account, message,
                                       last_valid_height, built_at)
select $1, coalesce(max(attempt), 0) + 1, $2, $3, $4, $5, $6
  from settlement.payout_attempt where payout_id = $1;

-- name: has_open_attempt
-- Whether something is on its way for a payout.
select exists (select from settlement.payout_attempt
                where payout_id = $1 and closed_at is null);

-- name: want_skip
-- The number is to be burned instead of used; the first reason stays.
update settlement.payout set skip_reason = coalesce(skip_reason, $2) where payout_id = $1;

-- name: approve
-- A person lets a payout go on.
update settlement.payout set state = 'requested', approved_by = $2, approved_at = $3
 where payout_id = $1 and state = 'awaiting_approval' returning state;

-- name: to_send
-- Signed bytes that were not sent yet, or not since the time given.
select a.payout_id, a.attempt, a.wire, a.signature, a.sends, p.sequence
  from settlement.payout_attempt a join settlement.payout p using (payout_id)
 where a.closed_at is null and a.wire is not null and p.state in ('signed', 'sent')
   and (a.last_sent_at is null or a.last_sent_at < $1)
 order by p.sequence limit $2;

-- name: about_to_send
-- Stored before the bytes go out.
update settlement.payout_attempt
   set sends = sends + 1, first_sent_at = coalesce(first_sent_at, $3), last_sent_at = $3
 where payout_id = $1 and attempt = $2 and closed_at is null and wire is not null
returning sends;

-- name: note_problem
-- What the node answered to the last send.
update settlement.payout_attempt set problem = $3
 where payout_id = $1 and attempt = $2 and closed_at is null;

-- name: to_expire
-- Attempts whose blockhash is dead at the finalized height given.
select a.payout_id, a.attempt from settlement.payout_attempt a
 where a.closed_at is null and a.last_valid_height < $1 order by a.payout_id limit $2;

-- name: close_attempt
-- Never sent again.
update settlement.payout_attempt set closed_at = $3
 where payout_id = $1 and attempt = $2 and closed_at is null returning attempt;

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
