-- name: clusters
-- Every chain this database knows.
select cluster from indexer.cluster order by cluster;

-- name: frontiers
-- How far each address has been read, since when the chain is known to be that far, how many
-- providers stand for it, and since when what is not final below has been waiting.
select w.purpose, w.address, f.slot, f.advanced_at,
       (select count(distinct p.provider) from indexer.proof p
         where p.cluster = w.cluster and p.address = w.address and p.slot >= f.slot) as sources,
       extract(epoch from clock_timestamp() - least(
         (select min(s.discovered_at) from indexer.mention m
            join indexer.signature s on s.cluster = m.cluster and s.signature = m.signature
           where m.cluster = w.cluster and m.address = w.address
             and s.state in ('wanted', 'unreadable')),
         (select min(p.proven_at) from indexer.proof p
           where p.cluster = w.cluster and p.address = w.address and p.slot >= f.slot)
       ))::float8 as lag_seconds
  from indexer.watched w
  left join settlement.frontier f on f.cluster = w.cluster and f.address = w.address
 where w.cluster = $1 order by w.purpose;

-- name: providers
-- Whom we ask, and what each was like when it was last looked at.
select provider, distrust, version, first_block, finalized_slot, lag_slots, latency_ms,
       errors_per_mille, leads, demoted, problem,
       extract(epoch from clock_timestamp() - seen_at)::float8 as seen_seconds
  from indexer.provider where cluster = $1 order by leads desc, demoted, provider;

-- name: queues
-- What waits: to be fetched, to be readable, to be listed by every provider, to be final.
select count(*) filter (where s.state = 'wanted') as wanted,
       count(*) filter (where s.state = 'unreadable') as unreadable,
       extract(epoch from clock_timestamp() - min(s.discovered_at))::float8 as oldest_seconds,
       (select count(distinct u.signature) from indexer.unlisted u
         where u.cluster = $1 and u.listed_at is null and u.decided_at is null) as unlisted,
       (select count(*) from settlement.arrival a
         where a.cluster = $1 and a.state = 'arriving') as arriving
  from indexer.signature s where s.cluster = $1 and s.state in ('wanted', 'unreadable');

-- name: unattributed
-- What lies in the accounts of money that nobody has been named for, and by how many entries.
select a.name, b.cr - b.dr as net_microusdc, b.version as entries
  from settlement.account a join settlement.balance b using (account_id)
 where a.name in ('suspense', 'quarantine', 'unexplained-out') order by a.name;

-- name: incidents
-- What a person has to look at, the newest first.
select incident_id, kind, reference, detail, opened_at, count(*) over () as of_all
  from indexer.incident where cluster = $1 and closed_at is null
 order by incident_id desc limit $2;

-- name: unlisted
-- What one provider lists and another does not, the newest first.
select provider, address, signature, slot, since_slot from indexer.unlisted
 where cluster = $1 and listed_at is null and decided_at is null
 order by slot desc, signature, address, provider limit $2;

-- name: decide_unlisted
-- A person has decided that nobody need list this signature: the frontiers wait for it no longer.
update indexer.unlisted set decided_at = clock_timestamp(), decided_by = $3
 where cluster = $1 and signature = $2 and listed_at is null and decided_at is null
returning provider, address;

-- name: close_incident
-- A person has looked at it.
update indexer.incident set closed_at = clock_timestamp(), closed_by = $3
 where cluster = $1 and incident_id = $2 and closed_at is null returning kind, reference;
