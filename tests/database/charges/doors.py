"""Doors to the books for tests: one user and one operator, reservations in few words."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from settlement.charges import Charges, LeaseTerms, Reservation, Settled
from settlement.clock import SystemClock
from settlement.db.pool import open_pool
from settlement.ledger import store
from settlement.ledger.operations import AccountName
from settlement.ledger.writer import GroupCommit
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books


@dataclass(frozen=True, kw_only=True)
class Door:
    """One process's door, and the user who comes to it."""

    charges: Charges
    group: GroupCommit
    user_id: UUID
    provider_id: UUID

    async def reserve(
        self, amount: int, *, least: int | None = None, request_id: UUID | None = None
    ) -> Reservation:
        """Reserve for a new request."""
        return await self.charges.reserve(
            request_id=request_id or factories.request_id(),
            user_id=self.user_id,
            amount_microusdc=MicroUsdc(amount),
            least_microusdc=None if least is None else MicroUsdc(least),
        )

    async def capture(self, reservation: Reservation, gross: int) -> Settled:
        """Settle it."""
        return await reservation.capture(
            provider_id=self.provider_id, gross_microusdc=MicroUsdc(gross)
        )

    async def pay(self, amount: int, gross: int) -> Settled:
        """One request from its beginning to its end."""
        return await self.capture(await self.reserve(amount), gross)

    async def spendable(self) -> int:
        """What the user has, but for what runs."""
        return await self.charges.spendable(self.user_id)


def id_of(account: AccountName) -> UUID:
    """The id in an account's name."""
    return UUID(account.partition(":")[2])


@asynccontextmanager
async def door(
    books: Books,
    name: str = "coordinator",
    terms: LeaseTerms | None = None,
    *,
    give_up_seconds: float = 30,
) -> AsyncGenerator[Door]:
    """The door of a process of this name, with connections of its own."""
    pool = await open_pool(books.database.dsn, role="pod_coordinator", application=name, size=6)
    try:
        writer = await store.open_writer(pool, name)
        async with (
            GroupCommit(pool, writer, give_up_seconds=give_up_seconds) as group,
            Charges(group, pool, SystemClock(), terms) as charges,
        ):
            yield Door(
                charges=charges,
                group=group,
                user_id=id_of(books.user),
                provider_id=id_of(books.host),
            )
    finally:
        await pool.close()


async def holds(books: Books) -> tuple[int, int]:
    """How many leases there were, and how many are open."""
    return (
        int(str(await books.fetchval("select count(*) from settlement.hold"))),
        int(str(await books.fetchval("select count(*) from settlement.hold where state = 'open'"))),
    )


async def charged(books: Books) -> int:
    """What requests have cost so far."""
    return int(
        str(await books.fetchval("select coalesce(sum(gross), 0)::bigint from settlement.charge"))
    )
