-- name: read_frontier
-- Up to which slot each watched address of a cluster has been read completely.
select address, slot from settlement.frontier where cluster = $1;

-- name: start_frontier
-- The first frontier of an address; nothing when there is one already.
insert into settlement.frontier (cluster, address, slot) values ($1, $2, $3)
on conflict do nothing returning slot;

-- name: advance_frontier
-- Compare and swap: moves only from the slot the caller knows.
update settlement.frontier set slot = $4, advanced_at = clock_timestamp()
 where cluster = $1 and address = $2 and slot = $3 returning slot;

-- name: want_frontier
-- Somebody waits for the frontiers of this cluster: the indexer need not wait for its timer.
select pg_notify('podledger_frontier_wanted', $1);

-- name: add_run
-- One comparison and how it ended.
insert into settlement.reconcile_run (run_id, cluster, started_at, finished_at, verdict, problem,
                                      sources)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: add_line
-- One vault of a comparison.
insert into settlement.reconcile_line (run_id, vault, address, slot, books, chain, difference)
values ($1, $2, $3, $4, $5, $6, $7);
