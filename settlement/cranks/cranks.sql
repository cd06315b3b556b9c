-- name: clocks_run
-- Whether any bond has a time on chain that matters, or anything is open: only then look.
select exists (select from settlement.bond where state = 'retiring')
    or exists (select from settlement.bond
                where seizure_state <> 'none' and state in ('posted', 'retiring'))
    or exists (select from settlement.crank where state in ('waiting', 'signed', 'sent'));

-- name: bonds_with_a_time
-- Bonds for which something may be due at this chain time and nothing is open, longest due first.
select b.address, b.code, b.state, b.provider_id, b.beneficiary, b.first_beneficiary, b.rent_payer,
       b.release_at, b.seizure_state, b.seizure_execute_after, b.seizure_decide_by,
       b.seizure_dies_at
  from settlement.bond b
 where ((b.state = 'retiring' and b.seizure_state = 'none' and b.release_at <= $1)
        or (b.state in ('posted', 'retiring') and b.seizure_state <> 'none'
            and case b.seizure_state when 'contested' then b.seizure_decide_by
                     else b.seizure_execute_after end <= $1))
   and not exists (select from settlement.crank c where c.address = b.address
                      and c.state in ('waiting', 'signed', 'sent'))
 order by coalesce(b.release_at, b.seizure_execute_after), b.address limit $2;

-- name: open_crank
-- A step that is due; nothing when one of this bond is open already.
insert into settlement.crank (crank_id, kind, address, due_at, opened_at)
values ($1, $2, $3, $4, $5)
on conflict (address) where state in ('waiting', 'signed', 'sent') do nothing returning crank_id;

-- name: open_cranks
-- Every crank that is not over, with its bond.
select c.crank_id, c.kind, c.state as crank_state, c.due_at, c.put_off, c.retry_at, c.problem,
       b.address, b.code, b.state, b.provider_id, b.beneficiary, b.first_beneficiary, b.rent_payer,
       b.release_at, b.seizure_state, b.seizure_execute_after, b.seizure_decide_by,
       b.seizure_dies_at
  from settlement.crank c join settlement.bond b using (address)
 where c.state in ('waiting', 'signed', 'sent') order by c.due_at, c.crank_id;

-- name: lock_crank
-- One crank, locked: whoever changes its state holds this lock.
select crank_id, kind, state from settlement.crank where crank_id = $1 for update;

-- name: seen_of_bond
-- The finalized movement by which a bond ended like this.
select external_ref from settlement.bond_event where address = $1 and event = $2
 order by slot desc limit 1;

-- name: newest_step
-- The newest step of a bond's seizures.
select external_ref, step from settlement.seizure_step where address = $1
 order by slot desc, step_id desc limit 1;

-- name: close_crank
-- How a crank ended, by what the indexer wrote.
update settlement.crank set state = $3, outcome_reference = $4, closed_at = $5
 where crank_id = $1 and state = $2 returning state;

-- name: close_attempts
-- Nothing of it is sent again.
update settlement.crank_attempt set closed_at = $2 where crank_id = $1 and closed_at is null;

-- name: has_open_attempt
-- Whether something is on its way for a crank.
select exists (select from settlement.crank_attempt
                where crank_id = $1 and closed_at is null);

-- name: accounts_opened
-- How often we have paid the rent of this wallet's token account for a bond of its.
select count(*) from settlement.crank c join settlement.bond b using (address)
 where b.beneficiary = $1 and c.state = 'done' and exists (
    select from settlement.crank_attempt a
     where a.crank_id = c.crank_id and a.creates_account and a.sends > 0);

-- name: put_off
-- It is not possible now: why, and when to look again.
update settlement.crank set put_off = put_off + 1, problem = $2, retry_at = $3
 where crank_id = $1 and state = 'waiting';

-- name: possible_again
-- It is possible now: what kept it is over.
update settlement.crank set put_off = 0, problem = null, retry_at = null
 where crank_id = $1 and state = 'waiting' and problem is not null;

-- name: add_attempt
-- A message to be signed.
insert into settlement.crank_attempt (crank_id, attempt, creates_account, message,
                                      last_valid_height, built_at)
select $1, coalesce(max(attempt), 0) + 1, $2, $3, $4, $5
  from settlement.crank_attempt where crank_id = $1;

-- name: to_send
-- Signed bytes that were not sent yet, or not since the time given.
select a.crank_id, a.attempt, a.wire, a.signature, a.sends, c.kind
  from settlement.crank_attempt a join settlement.crank c using (crank_id)
 where a.closed_at is null and a.wire is not null and c.state in ('signed', 'sent')
   and (a.last_sent_at is null or a.last_sent_at < $1)
 order by c.due_at, c.crank_id limit $2;

-- name: about_to_send
-- Stored before the bytes go out.
update settlement.crank_attempt
   set sends = sends + 1, first_sent_at = coalesce(first_sent_at, $3), last_sent_at = $3
 where crank_id = $1 and attempt = $2 and closed_at is null and wire is not null
returning sends;

-- name: set_state
-- Moves a locked crank on; the caller took the new state from the table.
update settlement.crank set state = $3 where crank_id = $1 and state = $2 returning state;

-- name: note_problem
-- What the node answered to the last send.
update settlement.crank_attempt set problem = $3
 where crank_id = $1 and attempt = $2 and closed_at is null;

-- name: to_expire
-- Attempts whose blockhash is dead at the finalized height given.
select crank_id, attempt, coalesce(refusal, problem) as problem from settlement.crank_attempt
 where closed_at is null and last_valid_height < $1 order by crank_id limit $2;

-- name: close_attempt
-- Never sent again.
update settlement.crank_attempt set closed_at = $3
 where crank_id = $1 and attempt = $2 and closed_at is null returning attempt;
