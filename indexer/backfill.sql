-- name: left
-- How many discovered signatures are still to be booked, and the lowest slot of them.
select count(*) as signatures, min(slot) as slot
  from indexer.signature where cluster = $1 and state in ('wanted', 'unreadable');

-- name: lock_holder
-- Which session holds an advisory lock of ours.
select a.pid, a.application_name, a.client_addr::text as address, a.backend_start as since
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
 where l.locktype = 'advisory' and l.granted
   and l.database = (select oid from pg_database where datname = current_database())
   and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended('podledger:' || $1, 0);
