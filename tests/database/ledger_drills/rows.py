"""What stands in every table of the books, to be compared later."""

import asyncpg

_TABLES = """
select c.oid::regclass::text from pg_class c
 where c.relkind = 'r' and c.relnamespace::regnamespace::text = 'settlement' order by 1
"""


async def rows_of(dsn: str) -> dict[str, str]:
    """A hash of each table's rows."""
    connection = await asyncpg.connect(dsn)
    try:
        return {
            table: await connection.fetchval(
                "select count(*) || md5(coalesce(string_agg(t::text, '|' order by t::text), ''))"
                f" from {table} t"
            )
            for (table,) in await connection.fetch(_TABLES)
        }
    finally:
        await connection.close()
