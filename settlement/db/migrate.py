"""Brings a database to the present: numbered SQL files of each package, each in one transaction.

`settlement.migration` remembers what ran, with the hash of the file: a file changed after it ran is
a mistake that stops the run. One migrator works at a time (an advisory lock); running again does
nothing. The first migration makes the roles, so the login needs CREATEROLE (or be a superuser).
"""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import asyncpg

from settlement.db.pool import DatabaseUnavailable
from settlement.errors import Conflict

_FILE = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")
_BOOKKEEPING = """
create schema if not exists settlement;
create table if not exists settlement.migration (
  package text not null, number integer not null, name text not null, sha256 text not null,
  applied_at timestamptz not null default now(), primary key (package, number));
"""
_LOWEST_SERVER_VERSION = 150_000


class MigrationChanged(Conflict):
    """A migration that already ran on this database has another content now."""


class ServerTooOld(Conflict):
    """PostgreSQL 15 or later is needed."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One numbered file of a package."""

    package: str
    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hex digest of the file, as remembered in the database."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations_of(package: str) -> list[Migration]:
    """The package's migrations in order; a gap or a doubled number is a bug."""
    found: list[Migration] = []
    for entry in resources.files(package).joinpath("migrations").iterdir():
        matched = _FILE.match(entry.name)
        if matched:
            found.append(
                Migration(
                    package=package,
                    number=int(matched["number"]),
                    name=entry.name,
                    text=entry.read_text(),
                )
            )
    found.sort(key=lambda migration: migration.number)
    numbers = [migration.number for migration in found]
    assert numbers == list(range(1, len(numbers) + 1)), f"{package} migrations: {numbers}"
    return found


async def migrate(dsn: str, packages: tuple[str, ...]) -> list[str]:
    """Apply what is missing, package by package in the order given; return what was applied.

    Raises `MigrationChanged`, `ServerTooOld`, `DatabaseUnavailable`.
    """
    try:
        connection = await asyncpg.connect(dsn, server_settings={"lock_timeout": "60000"})
    except (OSError, asyncpg.PostgresConnectionError) as error:
        raise DatabaseUnavailable(problem=str(error)) from error
    try:
        await _require_version(connection)
        await connection.execute(
            "select pg_advisory_lock(hashtextextended('podledger:migrate', 0))"
        )
        await connection.execute(_BOOKKEEPING)
        applied: list[str] = []
        for package in packages:
            for migration in migrations_of(package):
                if await _apply(connection, migration):
                    applied.append(f"{package}/{migration.name}")
        return applied
    finally:
        await connection.close()


async def _require_version(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    version = int(await connection.fetchval("show server_version_num"))
    if version < _LOWEST_SERVER_VERSION:
        raise ServerTooOld(server_version_num=version)


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> bool:
    known = await connection.fetchval(
        "select sha256 from settlement.migration where package = $1 and number = $2",
        migration.package,
        migration.number,
    )
    if known is not None:
        if known != migration.sha256:
            raise MigrationChanged(package=migration.package, migration=migration.name)
        return False
    async with connection.transaction():
        await connection.execute(migration.text)
        await connection.execute(
            "insert into settlement.migration (package, number, name, sha256)"
            " values ($1, $2, $3, $4)",
            migration.package,
            migration.number,
            migration.name,
            migration.sha256,
        )
    return True
