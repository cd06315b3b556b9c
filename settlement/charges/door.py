"""The coordinator's door to the books: reserve before a request runs, then capture or release.

    reserve    a bounded part of what is set aside for the user, in memory: no write per request
    extend     more of it, while the answer grows
    capture    what the request cost, once per request id; durable when it returns
    release    it cost nothing

Money is set aside in leases (`leases`), which live for minutes, are renewed before they run out and
are given back when they are idle. This process says that it is alive every 20 seconds; one that
does not is fenced before anybody else gives back what it left (ledger.md, amendment 4). A capture
never exceeds its reservation, and reservations never exceed what is set aside: so nobody can spend
what they do not have, however many requests run at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Final
from uuid import UUID

import structlog

from settlement.charges.backing import ALIVE_SECONDS, Backing, LeaseTerms
from settlement.charges.keeper import Keeper
from settlement.charges.leases import Part
from settlement.charges.recall import Recalls
from settlement.charges.refusals import RequestClosed, RequestConflict, Settled, refused
from settlement.clock import Clock
from settlement.db import sql
from settlement.db.pool import TRANSIENT, Pool, calling, reading, retried
from settlement.errors import Unavailable
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName
from settlement.ledger.writer import GroupCommit, WriterBusy
from settlement.money import MicroUsdc, split_gross

BEAT_SECONDS: Final = 20
_SWEEP_SECONDS: Final = 5
_AGAIN_SECONDS: Final = 1
_CLOSE_SECONDS: Final = 5
_QUERIES: Final = sql.load("settlement.charges", "charges.sql")
_log = structlog.get_logger(__name__)


class Reservation:
    """What one request may cost; it ends once, by `capture` or `release`."""

    def __init__(
        self, request_id: UUID, keeper: Keeper, part: Part, end: Callable[[], None]
    ) -> None:
        self.request_id = request_id
        self._keeper = keeper
        self._part = part
        self._end = end
        self._price: tuple[UUID, MicroUsdc] | None = None
        self._settled: Settled | None = None
        available = keeper.purse.available_microusdc or 0
        # What the user could spend before this request, as far as is known without asking.
        self.spendable_microusdc = available + keeper.purse.free_microusdc + part.amount_microusdc

    @property
    def amount_microusdc(self) -> MicroUsdc:
        """The most it may cost as it stands."""
        return MicroUsdc(self._part.amount_microusdc)

    async def extend(self, more_microusdc: int, *, least_microusdc: int | None = None) -> bool:
        """Reserve so much more, or as much as there is; False when that is below the least.

        The least is all of it unless said otherwise. Raises what `Charges.reserve` raises, but for
        `InsufficientBalance`.
        """
        self._still_open()
        least = more_microusdc if least_microusdc is None else least_microusdc
        assert 0 < least <= more_microusdc, "more is asked for, and at least a part of it"
        amount = self._part.amount_microusdc
        return await self._keeper.extend(
            self._part, wanted_microusdc=amount + more_microusdc, least_microusdc=amount + least
        )

    async def capture(self, *, provider_id: UUID, gross_microusdc: MicroUsdc) -> Settled:
        """Settle the request; what its gross does not use is free again. Durable when it returns.

        Again with the same is told the same. After `Unavailable` nobody knows whether it happened:
        call it again. Raises `RequestConflict` and `RequestClosed`, and what the books refuse.
        """
        if self._price not in (None, (provider_id, gross_microusdc)):
            raise RequestConflict(request_id=self.request_id)
        if self._settled is not None:
            return self._settled
        self._still_open(but_priced=True)
        assert gross_microusdc <= self._part.amount_microusdc, "no more than is reserved"
        self._price = (provider_id, gross_microusdc)
        try:
            outcome = await self._keeper.charge(
                self._part,
                request_id=self.request_id,
                operator=accounts.host(provider_id),
                gross_microusdc=gross_microusdc,
            )
        finally:
            if self._part.is_over:
                self._end()
        if not outcome.done:
            raise refused(outcome, request_id=self.request_id)
        share = split_gross(gross_microusdc)
        assert outcome.balance_microusdc is not None, "a charge tells the balance after it"
        self._settled = Settled(
            gross_microusdc=gross_microusdc,
            operator_microusdc=share.operator_microusdc,
            treasury_microusdc=share.treasury_microusdc,
            balance_microusdc=outcome.balance_microusdc,
        )
        return self._settled

    def release(self) -> None:
        """Nobody pays; what was reserved is free again. Raises `RequestClosed`."""
        self._still_open()
        self._keeper.release(self._part)
        self._end()

    def _still_open(self, *, but_priced: bool = False) -> None:
        if self._part.is_over or (self._price is not None and not but_priced):
            raise RequestClosed(request_id=self.request_id)


class Charges:
    """The door, one per process: `async with Charges(books, pool, clock) as charges`."""

    def __init__(
        self, books: GroupCommit, pool: Pool, clock: Clock, terms: LeaseTerms | None = None
    ) -> None:
        recalls = Recalls(pool, books.writer, self._recalled)
        self._backing = Backing(books, pool, clock, terms or LeaseTerms(), recalls)
        self._keepers: dict[AccountName, Keeper] = {}
        self._running: set[UUID] = set()
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Charges":
        """Nothing is set aside by a process that did not say that it is alive."""
        await retried(self._say_alive)
        for loop in (self._beat, self._sweep, self._backing.recalls.follow):
            self._loops.append(asyncio.create_task(self._for_ever(loop)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back what no request uses; what cannot be is found at the next start."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if not self._backing.fuse.done():
            with suppress(TimeoutError, Unavailable):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await asyncio.gather(*(keeper.close() for keeper in self._keepers.values()))
        await self._backing.stop()

    async def watch(self) -> None:
        """For ever. Raises `WriterFenced` when this process must end."""
        await asyncio.shield(self._backing.fuse)

    async def reserve(
        self,
        *,
        request_id: UUID,
        user_id: UUID,
        amount_microusdc: MicroUsdc,
        least_microusdc: MicroUsdc | None = None,
    ) -> Reservation:
        """Reserve so much for a request, or as much as there is when that is the least or more.

        The least is all of it unless said otherwise. Raises `InsufficientBalance` (with details
        `available_microusdc` and `required_microusdc`), `RequestConflict`, `RequestUnknown`,
        `AccountClosed`, `WriterBusy`, and what `GroupCommit.submit` raises.
        """
        least = amount_microusdc if least_microusdc is None else least_microusdc
        assert 0 < least <= amount_microusdc, "something is reserved, and at least a part of it"
        if self._backing.fuse.done():
            await self._backing.fuse
        if self._backing.is_busy:
            raise WriterBusy
        if request_id in self._running:
            raise RequestConflict(request_id=request_id)
        self._running.add(request_id)
        try:
            keeper = self._keeper(user_id)
            part = await keeper.reserve(wanted_microusdc=amount_microusdc, least_microusdc=least)
        except BaseException:
            self._running.discard(request_id)
            raise
        return Reservation(request_id, keeper, part, lambda: self._running.discard(request_id))

    async def spendable(self, user_id: UUID) -> int:
        """What the user has now, but for what running requests have reserved."""
        return await self._keeper(user_id).spendable()

    async def give_back(self, user_id: UUID) -> None:
        """Give back what is set aside for the user and no request uses."""
        keeper = self._keepers.get(accounts.user(user_id))
        if keeper is not None:
            await keeper.close()

    @property
    def reserved_microusdc(self) -> int:
        """What running requests have reserved, all together."""
        return sum(keeper.purse.reserved_microusdc for keeper in self._keepers.values())

    @property
    def leased_microusdc(self) -> int:
        """What is set aside in leases, all together."""
        free = sum(keeper.purse.free_microusdc for keeper in self._keepers.values())
        return self.reserved_microusdc + free

    def _keeper(self, user_id: UUID) -> Keeper:
        account = accounts.user(user_id)
        keeper = self._keepers.get(account)
        if keeper is None:
            keeper = self._keepers[account] = Keeper(account, self._backing)
        return keeper

    def _recalled(self, account: AccountName) -> None:
        if account in self._keepers:
            self._backing.spawn(self._keepers[account].give_up())

    # What is done again and again.

    async def _for_ever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except (*TRANSIENT, Unavailable) as error:
                _log.warning("leases_wait", problem=str(error) or type(error).__name__)
                await asyncio.sleep(_AGAIN_SECONDS)
            except Exception as error:  # fenced, or a bug: either way this process must end
                return self._backing.blow(error)

    async def _beat(self) -> None:
        await asyncio.sleep(BEAT_SECONDS)
        await self._say_alive()

    async def _say_alive(self) -> None:
        until = self._backing.clock.now() + timedelta(seconds=ALIVE_SECONDS)
        async with calling(self._backing.pool) as conn:
            await store.keep_leases(conn, self._backing.writer, until)

    async def _sweep(self) -> None:
        await asyncio.sleep(_SWEEP_SECONDS)
        for account, keeper in list(self._keepers.items()):
            keeper.tidy()
            if keeper.is_empty:
                del self._keepers[account]
        await self._look_around()

    async def _look_around(self) -> None:
        """Learn what users have who paid in meanwhile: to set the right amount aside next time."""
        seen = {name: keeper.moves for name, keeper in self._keepers.items() if keeper.purse.leases}
        if not seen:
            return
        async with reading(self._backing.pool) as conn:
            rows = await conn.fetch(_QUERIES["available"], list(seen))
        for row in rows:
            name = AccountName(row["name"])
            if name in self._keepers:
                self._keepers[name].heard(row["available"], seen=seen[name])
