-- What every paid request writes carries no more than it must: see ADR 0029.
set local role pod_owner;

-- These rows are written by the books' own functions only, which look up (or have just made) what
-- they name; a foreign key would look it up again for every row, and once more at each update of a
-- balance or a hold. That nothing names what is not there, settlement.check_books_v1 checks.
alter table settlement.balance drop constraint balance_account_id_fkey;
alter table settlement.hold
  drop constraint hold_account_id_fkey, drop constraint hold_writer_id_fkey;
alter table settlement.hold_event drop constraint hold_event_hold_id_fkey;
alter table settlement.txn drop constraint txn_hold_id_fkey;
alter table settlement.batch drop constraint batch_writer_id_fkey;

-- Every statement that writes reads each CHECK out of the catalog again: a few say as much as many.
alter table settlement.balance
  drop constraint balance_dr_check, drop constraint balance_cr_check,
  drop constraint balance_held_check, drop constraint balance_version_check,
  add constraint nothing_is_negative check (least(dr, cr, held, version) >= 0);
alter table settlement.hold
  drop constraint hold_captured_check, drop constraint hold_released_check,
  drop constraint hold_adds_up,
  add constraint hold_adds_up check (captured + released <= amount
    and least(captured, released) >= 0 and
    case state when 'open' then released = 0 and (captured = 0 or purpose = 'lease')
         when 'voided' then captured = 0 and released = amount
         else captured + released = amount end);

-- An update in place first tidies its page, which costs as much as there are rows on it.
alter table settlement.balance set (fillfactor = 20);
alter table settlement.hold set (fillfactor = 50);

reset role;
