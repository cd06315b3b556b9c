-- Who may do what in the database, for all three packages. Roles belong to the whole cluster, so
-- they may exist already, and two databases may be migrated at the same moment: each step is
-- tried again when the other one was faster.
--
-- pod_owner owns every object and cannot log in; the functions that write run as it. Each service
-- takes on one of the other roles (SET ROLE) and can do just what is granted to that role.

do $$
declare
  v_role text;
  v_tries int;
begin
  foreach v_role in array array['pod_owner', 'pod_coordinator', 'pod_indexer', 'pod_settlement',
                                'pod_signer', 'pod_finance'] loop
    v_tries := 0;
    loop
      begin
        if not exists (select from pg_roles where rolname = v_role) then
          execute format('create role %I nologin', v_role);
        end if;
        -- A superuser may take on any role; another login has to be a member.
        if not (select rolsuper from pg_roles where rolname = current_user) then
          execute format('grant %I to %I', v_role, current_user);
        end if;
        exit;
      exception
        when duplicate_object or unique_violation or internal_error then
          v_tries := v_tries + 1;
          if v_tries > 20 then
            raise;
          end if;
          perform pg_sleep(0.05);
      end;
    end loop;
  end loop;
  execute format('grant create on database %I to pod_owner', current_database());
end
$$;

create schema if not exists settlement;
alter schema settlement owner to pod_owner;
-- What remembers the migrations is made before the first of them runs.
do $$
begin
  if to_regclass('settlement.migration') is not null then
    alter table settlement.migration owner to pod_owner;
  end if;
end
$$;

set local role pod_owner;
-- Nothing of ours may be called by everybody just because it exists.
alter default privileges revoke execute on functions from public;
grant usage on schema settlement
  to pod_coordinator, pod_indexer, pod_settlement, pod_signer, pod_finance;
reset role;
