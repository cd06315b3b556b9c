-- name: to_build
-- Numbered payouts for which nothing is on its way, and how their messages before fared: how many
-- went out in vain, how often the chain said no to the payout alone, and whether it did so to one
-- that it shared.
select p.*, t.in_vain, t.rejected, t.alone
  from settlement.payout p
 cross join lateral (
    select count(*) filter (where m.sends > 0 and m.ended in ('expired', 'failed')) as in_vain,
           count(*) filter (where m.members = 1 and (m.rejected or m.ended = 'failed'))
             as rejected,
           coalesce(bool_or(m.members > 1 and m.ended in ('failed', 'refused')), false) as alone
      from settlement.payout_attempt a join settlement.payout_message m using (message_id)
     where a.payout_id = p.payout_id) t
 where p.state = 'numbered' and not exists (
    select from settlement.payout_attempt a
     where a.payout_id = p.payout_id and a.closed_at is null)
 order by p.sequence limit $1;

-- name: accounts_opened
-- How often we have paid the rent of the token accounts of these wallets.
select p.destination, count(*) as opened from settlement.payout p
 where p.destination = any ($1::text[]) and p.state = 'paid' and exists (
    select from settlement.payout_attempt a join settlement.payout_message m using (message_id)
     where a.payout_id = p.payout_id and a.creates_account and m.sends > 0)
 group by p.destination;

-- name: lock_payouts
-- Payouts by their ids, locked in the order of their numbers.
select * from settlement.payout where payout_id = any ($1::uuid[]) order by sequence for update;

-- name: underway
-- For which of these something is on its way.
select payout_id from settlement.payout_attempt
 where payout_id = any ($1::uuid[]) and closed_at is null;

-- name: add_message
-- A message to be signed.
insert into settlement.payout_message (payer, members, message, cost_lamports, last_valid_height,
                                       built_at)
values ($1, $2, $3, $4, $5, $6) returning message_id;

-- name: add_attempts
-- Who is in a message, in its order.
insert into settlement.payout_attempt (payout_id, attempt, action, creates_account, message_id,
                                       position)
select m.payout_id,
       1 + coalesce((select max(a.attempt) from settlement.payout_attempt a
                      where a.payout_id = m.payout_id), 0),
       m.action, m.creates_account, $1, m.nth - 1
  from unnest($2::uuid[], $3::text[], $4::boolean[])
       with ordinality as m (payout_id, action, creates_account, nth);

-- name: to_send
-- Signed bytes that were not sent yet, or not since the time given.
select m.message_id, m.wire, m.signature, m.members, m.sends
  from settlement.payout_message m
 where m.closed_at is null and m.wire is not null
   and m.confirmed_at is null
   and (m.last_sent_at is null or m.last_sent_at < $1)
 order by m.message_id limit $2;

-- name: lock_members
-- The payouts whose open attempts are in these messages, locked in the order of their numbers.
select p.* from settlement.payout p
 where p.payout_id in (select a.payout_id from settlement.payout_attempt a
                        where a.message_id = any ($1::bigint[]) and a.closed_at is null)
 order by p.sequence for update;

-- name: members
-- Whose open attempts are in these messages.
select message_id, payout_id from settlement.payout_attempt
 where message_id = any ($1::bigint[]) and closed_at is null;

-- name: about_to_send
-- Stored before the bytes go out.
update settlement.payout_message
   set sends = sends + 1, first_sent_at = coalesce(first_sent_at, $2), last_sent_at = $2,
       problem = null, rejected = false
 where message_id = any ($1::bigint[]) and closed_at is null and wire is not null
returning message_id;

-- name: note_problem
-- What the node answered to the last send, and whether it would say so again.
update settlement.payout_message set problem = $2, rejected = $3
 where message_id = $1 and closed_at is null;

-- name: to_watch
-- What was sent and not seen confirmed yet.
select message_id, signature from settlement.payout_message
 where closed_at is null and sends > 0 and confirmed_at is null order by message_id limit $1;

-- name: confirmed
-- A node has shown these confirmed. That completes nothing.
update settlement.payout_message set confirmed_at = $2
 where message_id = any ($1::bigint[]) and closed_at is null and confirmed_at is null;

-- name: queue_for_sol
-- What waits for the fee payer: what open messages may cost, and what has none yet.
select (select coalesce(sum(m.cost_lamports), 0) from settlement.payout_message m
         where m.closed_at is null) as underway,
       count(*) as payouts,
       count(*) filter (where p.kind = 'fund_bond') as bonds,
       count(distinct p.destination) filter (where p.kind = 'pay' and not exists (
          select from settlement.payout d
           where d.destination = p.destination and d.state = 'paid' and d.kind = 'pay'))
         as new_wallets
  from settlement.payout p
 where p.state in ('requested', 'numbered') and not exists (
    select from settlement.payout_attempt a
     where a.payout_id = p.payout_id and a.closed_at is null);

-- name: to_expire
-- Messages whose blockhash is dead at the finalized height given.
select message_id from settlement.payout_message
 where closed_at is null and last_valid_height < $1 order by message_id limit $2;

-- name: to_break
-- Messages that cannot happen any more: a member was decided without the others, the signer refused
-- what several share, or another key has the payer's role now.
select m.message_id, m.refusal is not null as refused from settlement.payout_message m
 where m.closed_at is null
   and (m.payer <> $1 or (m.members > 1 and m.refusal is not null)
        or (m.members > 1 and exists (
            select from settlement.payout_attempt a
             where a.message_id = m.message_id and a.closed_at is not null)))
 order by m.message_id limit $2;

-- name: close_attempts_of
-- Nothing of a message is sent again; whose attempts were still open.
update settlement.payout_attempt set closed_at = $2
 where message_id = $1 and closed_at is null returning payout_id;

-- name: close_message
-- How a message ended.
update settlement.payout_message set closed_at = $2, ended = $3
 where message_id = $1 and closed_at is null returning message_id;
