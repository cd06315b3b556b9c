"""`schema.sql` of each package is where its migrations lead.

One database is built by the migrations, one from the roles and the three schema files; the catalogs
must say the same about tables, columns, keys, indexes, triggers, views, functions, owners and
rights, and the rows that are part of the schema (the chart, tables of states) must be the same.
"""

import asyncio
from importlib import resources

import asyncpg
import pytest

from localnet import postgres
from settlement.db.migrate import MigrationChanged, migrate, migrations_of
from tests.conftest import PACKAGES, Database

# Each query lists one kind of thing as text, one row each.
CATALOG = {
    "relations": """
        select format('%s %s owner=%s options=%s rls=%s acl=%s', c.relkind, c.oid::regclass,
                      c.relowner::regrole, c.reloptions, c.relrowsecurity,
                      (select string_agg(a::text, ',' order by a::text)
                         from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) a))
          from pg_class c where c.relkind in ('r', 'v', 'm', 'S', 'p', 'f') and {mine}""",
    "columns": """
        select format('%s.%s %s null=%s default=%s identity=%s generated=%s acl=%s',
                      c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                      not a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity,
                      a.attgenerated,
                      (select string_agg(x::text, ',' order by x::text) from unnest(a.attacl) x))
          from pg_class c join pg_attribute a on a.attrelid = c.oid
          left join pg_attrdef d on (d.adrelid, d.adnum) = (c.oid, a.attnum)
         where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'p') and {mine}""",
    "constraints": """
        select format('%s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
          from pg_constraint k join pg_class c on c.oid = k.conrelid where {mine}""",
    "indexes": """
        select pg_get_indexdef(i.indexrelid)
          from pg_index i join pg_class c on c.oid = i.indrelid where {mine}""",
    "triggers": """
        select format('%s enabled=%s', pg_get_triggerdef(t.oid), t.tgenabled)
          from pg_trigger t join pg_class c on c.oid = t.tgrelid
         where not t.tgisinternal and {mine}""",
    "views": """
        select format('%s %s', c.oid::regclass, pg_get_viewdef(c.oid))
          from pg_class c where c.relkind in ('v', 'm') and {mine}""",
    "functions": """
        select format('%s owner=%s acl=%s', pg_get_functiondef(c.oid), c.proowner::regrole,
                      (select string_agg(a::text, ',' order by a::text)
                         from unnest(coalesce(c.proacl, acldefault('f', c.proowner))) a))
          from pg_proc c where {mine_function}""",
    "types": """
        select format('%s %s', c.typname, c.typtype) from pg_type c
         where c.typtype in ('e', 'd') and c.typnamespace::regnamespace::text = any ($1::text[])""",
    "schemas": """
        select format('%s owner=%s acl=%s', c.nspname, c.nspowner::regrole,
                      (select string_agg(a::text, ',' order by a::text)
                         from unnest(c.nspacl) a))
          from pg_namespace c where c.nspname = any ($1::text[])""",
}
_MINE = """c.relnamespace::regnamespace::text = any ($1::text[])
           and c.oid <> coalesce(to_regclass('settlement.migration')::oid, 0)"""
_MINE_FUNCTION = "c.pronamespace::regnamespace::text = any ($1::text[])"
# Rows that are part of the schema: every table that is not empty in a new database.
TABLES = """
select c.oid::regclass::text from pg_class c
 where c.relkind = 'r' and c.relnamespace::regnamespace::text = any ($1::text[])
   and c.oid <> coalesce(to_regclass('settlement.migration')::oid, 0) order by 1
"""


async def test_schema_files_are_where_the_migrations_lead(
    database: Database, empty_database: Database
) -> None:
    await _build_from_schema_files(empty_database)
    for kind, query in CATALOG.items():
        text = query.format(mine=_MINE, mine_function=_MINE_FUNCTION)
        migrated, written = [
            {row[0] for row in await _fetch(each, text)} for each in (database, empty_database)
        ]
        assert migrated - written == set(), f"{kind} that only the migrations make"
        assert written - migrated == set(), f"{kind} that only schema.sql makes"


async def test_rows_that_belong_to_the_schema_are_the_same(
    database: Database, empty_database: Database
) -> None:
    await _build_from_schema_files(empty_database)
    for (table,) in await _fetch(database, TABLES):
        rows = f"select to_jsonb(t) - 'opened_at' - 'begun_at' from {table} t"
        migrated, written = [
            {row[0] for row in await _fetch(each, rows, with_schemas=False)}
            for each in (database, empty_database)
        ]
        assert migrated == written, table


async def test_migrating_again_does_nothing(database: Database) -> None:
    assert await migrate(database.dsn, PACKAGES) == []


async def test_a_migration_that_was_changed_after_it_ran_is_noticed(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn)
    await connection.execute("update settlement.migration set sha256 = 'another' where number = 2")
    await connection.close()
    with pytest.raises(MigrationChanged):
        await migrate(database.dsn, PACKAGES)


async def test_databases_of_one_cluster_can_be_migrated_at_once(
    postgres_cluster: postgres.Cluster,
) -> None:
    """Roles are the cluster's: whoever comes second finds them, however close."""
    admin = await asyncpg.connect(postgres_cluster.dsn())
    names = [f"at_once_{number}" for number in range(4)]
    try:
        for name in names:
            await admin.execute(f"create database {name} template template0")
        await asyncio.gather(
            *(migrate(postgres_cluster.dsn(name), ("settlement",)) for name in names)
        )
    finally:
        for name in names:
            await admin.execute(f"drop database if exists {name} with (force)")
        await admin.close()


async def test_a_login_that_is_no_superuser_can_migrate_and_take_on_the_roles(
    postgres_cluster: postgres.Cluster,
) -> None:
    """What a hosted Postgres gives: a login with CREATEROLE that owns its database."""
    admin = await asyncpg.connect(postgres_cluster.dsn())
    try:
        await admin.execute("create role plain login createrole createdb password 'plain'")
        if await admin.fetchval("select exists (select from pg_roles where rolname = 'pod_owner')"):
            for role in await _roles(admin):
                await admin.execute(f"grant {role} to plain with admin option")
        await admin.execute("create database plain owner plain template template0")
        dsn = f"postgresql://plain:plain@127.0.0.1:{postgres_cluster.port}/plain?sslmode=disable"
        assert await migrate(dsn, ("settlement",))
        assert await migrate(dsn, ("settlement",)) == []
        login = await asyncpg.connect(dsn)
        await login.execute("set role pod_coordinator")
        await login.fetch("select * from settlement.open_writer_v2('coordinator')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await login.execute("update settlement.balance set cr = 1")
        await login.close()
    finally:
        await admin.execute("drop database if exists plain with (force)")
        await admin.execute("drop owned by plain cascade")
        await admin.execute("drop role if exists plain")
        await admin.close()


def test_every_package_has_its_schema_file_once_it_has_a_migration() -> None:
    for package in PACKAGES:
        schema = resources.files(package).joinpath("schema.sql")
        assert schema.is_file() == bool(migrations_of(package)), package


async def _roles(admin: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    return [
        row[0] for row in await admin.fetch(r"select rolname from pg_roles where rolname ~ '^pod_'")
    ]


async def _build_from_schema_files(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn)
    try:
        roles = next(each for each in migrations_of("settlement") if each.number == 1)
        async with connection.transaction():
            await connection.execute(roles.text)
        for package in PACKAGES:
            file = resources.files(package).joinpath("schema.sql")
            if file.is_file():
                async with connection.transaction():
                    await connection.execute(file.read_text())
    finally:
        await connection.close()


async def _fetch(
    database: Database, query: str, *, with_schemas: bool = True
) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database.dsn)
    try:
        return await connection.fetch(query, *([list(PACKAGES)] if with_schemas else []))
    finally:
        await connection.close()
