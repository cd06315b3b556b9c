-- A stop of crediting that ends by itself ends its incident, too; the indexer may close no other.
set local role pod_owner;

create function indexer.close_stop_incident_v1(p_stop bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  update indexer.incident i set closed_at = s.lifted_at, closed_by = s.lifted_by
    from settlement.crediting_stop s
   where s.stop_id = p_stop and s.lifted_at is not null and i.cluster = s.cluster
     and i.kind = 'the balance is not the sum of the movements'
     and i.reference = format('%s stop %s', s.address, s.stop_id) and i.closed_at is null
$$;
grant execute on function indexer.close_stop_incident_v1(bigint) to pod_indexer, pod_finance;

reset role;
