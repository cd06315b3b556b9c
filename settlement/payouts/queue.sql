-- name: payouts
-- Payouts for people, oldest first: what waits for a person, what is open, or all; after one of them.
select p.payout_id, p.kind, p.account, p.amount, p.destination,
       p.destination_kind, p.state, p.requested_at, p.not_before, p.delay_reason, p.sequence,
       p.needs_approval, p.second_approval, p.skip_reason, p.cancel_reason, p.refused_by,
       p.outcome_reference,
       array(select v.approved_by from settlement.payout_approval v
              where v.payout_id = p.payout_id order by v.approved_at, v.approved_by) as approved_by
  from settlement.payout p
 where p.state = any ($1::text[]) and (p.requested_at, p.payout_id) > ($2, $3)
 order by p.requested_at, p.payout_id limit $4;

-- name: payout
-- One payout for people.
select p.payout_id, p.kind, p.account, p.amount, p.destination,
       p.destination_kind, p.state, p.requested_at, p.not_before, p.delay_reason, p.sequence,
       p.needs_approval, p.second_approval, p.skip_reason, p.cancel_reason, p.refused_by,
       p.outcome_reference,
       array(select v.approved_by from settlement.payout_approval v
              where v.payout_id = p.payout_id order by v.approved_at, v.approved_by) as approved_by
  from settlement.payout p where p.payout_id = $1;

-- name: approvals_of
-- Who approved a payout, when, and as whom in the database.
select approved_by, approved_at, login from settlement.payout_approval
 where payout_id = $1 order by approved_at, approved_by;

-- name: messages_of
-- Every message a payout was in, newest first.
select a.attempt, a.action, m.signature, m.built_at, m.sends, m.confirmed_at, m.ended,
       m.problem, m.refusal
  from settlement.payout_attempt a join settlement.payout_message m using (message_id)
 where a.payout_id = $1 order by a.attempt desc limit $2;
