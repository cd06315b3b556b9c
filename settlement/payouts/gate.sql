-- name: state
-- The era of the books, whether the gate is closed, the row of that if there is one yet, and the
-- next number.
select e.era, g.gate_id, g.reason, g.dead_above_height, g.safe_slot,
       settlement.payout_gate_closed_v1() as closed,
       (select next_sequence from settlement.payout_counter) as next_sequence
  from (select max(era) as era from settlement.era) e
  left join settlement.payout_gate g on g.passed_at is null;

-- name: unknown
-- Which of these numbers, used up on chain, the books know nothing of.
select n.sequence from unnest($1::bigint[]) as n (sequence)
 where not exists (select from settlement.payout p where p.sequence = n.sequence)
   and not exists (select from settlement.payout_number_gone g where g.sequence = n.sequence)
 order by n.sequence;

-- name: close_gate
-- From here on nothing is numbered.
insert into settlement.payout_gate (era, reason, dead_above_height) values ($1, $2, $3)
on conflict do nothing returning gate_id;

-- name: blockhashes_dead
-- The slot by which every blockhash of before is dead.
update settlement.payout_gate set safe_slot = $2
 where gate_id = $1 and safe_slot is null and passed_at is null;

-- name: read_to
-- How far the indexer has read these addresses.
select address, slot from settlement.frontier
 where cluster = $1 and address = any ($2::text[]);

-- name: want_reading
-- Asks the indexer to look now.
select pg_notify('podledger_frontier_wanted', $1);

-- name: pass_gate
-- Numbering goes on.
update settlement.payout_gate set passed_at = clock_timestamp(), next_number = $2
 where gate_id = $1 and passed_at is null returning gate_id;
