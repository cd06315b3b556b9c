-- A writer is used by one role. Who may post could until now post, and start new lives, in
-- anybody's name.
set local role pod_owner;

-- The role that opened it first; null (a name of before this migration that nobody knows) until
-- somebody does.
alter table settlement.writer add column role text;
update settlement.writer set role = 'pod_' || name
 where name in ('coordinator', 'indexer', 'settlement');

-- Who is calling, also from inside a function that runs as its owner: there current_user is the
-- owner, but the setting stays what SET ROLE made it, and a login needs to be a member for that.
create function settlement.caller_role_v1() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(nullif(current_setting('role'), 'none'), session_user::text)
$$;

-- A new life of the writer of this name: older lives are fenced from here on. Raises PL006 when it
-- belongs to another role.
create or replace function settlement.open_writer_v1(p_name text)
returns table (writer_id integer, epoch integer, treasury text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_treasury constant text := 'treasury:' || p_name;
  v_account constant bigint := settlement.open_account_v1(v_treasury, 'treasury_child');
  v_role constant text := settlement.caller_role_v1();
begin
  return query
    insert into settlement.writer as x (name, epoch, head_hash, treasury_account, role)
    values (p_name, 1, sha256(convert_to('writer/1|' || p_name, 'UTF8')), v_account, v_role)
    on conflict (name) do update set epoch = x.epoch + 1, role = v_role
      where coalesce(x.role, v_role) = v_role
    returning x.writer_id, x.epoch, v_treasury;
  if not found then
    raise exception 'writer % is not the writer of %', p_name, v_role using errcode = 'PL006';
  end if;
end
$$;

-- Nothing moves without a row here, whichever function moves it: so this is where a writer is
-- refused to whom it does not belong. One that was never opened since becomes the caller's.
create function settlement.keep_writer_v1() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_caller constant text := settlement.caller_role_v1();
  v_role text;
begin
  select role into v_role from settlement.writer where writer_id = new.writer_id;
  if v_role is null then
    update settlement.writer set role = v_caller where writer_id = new.writer_id;
  elsif v_role <> v_caller then
    raise exception 'writer % is not the writer of %', new.writer_id, v_caller
      using errcode = 'PL006';
  end if;
  return new;
end
$$;
create trigger keep_writer before insert on settlement.batch
  for each row execute function settlement.keep_writer_v1();

reset role;
