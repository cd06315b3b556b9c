"""Keeps one user's purse: requests take their part of a lease in memory, and pay from it.

Only where no lease has room is the database asked (`funding`). A charge whose answer is lost stays
on its way, and its part where it is, until it is asked for again and told.
"""

import asyncio
from contextlib import suppress
from typing import Final
from uuid import UUID

from settlement.charges.backing import Backing
from settlement.charges.funding import Funding
from settlement.charges.leases import Need, Part, Purse
from settlement.charges.motion import Motion
from settlement.charges.refusals import InsufficientBalance
from settlement.db.pool import DatabaseUnavailable, reading
from settlement.errors import PodError, Unavailable
from settlement.ledger import store
from settlement.ledger.operations import AccountName, Charge, Outcome
from settlement.money import MicroUsdc

_MOST_LOOKS: Final = 8
_REST_SECONDS: Final = 1.0
_GIVE_UP_SECONDS: Final = 30.0


class Keeper:
    """One user's purse, as requests see it."""

    def __init__(self, account: AccountName, backing: Backing) -> None:
        self.account = account
        self._backing = backing
        self._funding = Funding(account, backing)
        self._asking = Motion()
        self._renewing = False

    @property
    def purse(self) -> Purse:
        """What is set aside for this user."""
        return self._funding.purse

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost if this were forgotten."""
        return self._funding.is_empty and not self._asking.is_on and not self._renewing

    @property
    def moves(self) -> int | None:
        """How often money moved between balance and leases; None while it does."""
        return None if self._funding.motion.is_on else self._funding.motion.count

    async def reserve(self, *, wanted_microusdc: int, least_microusdc: int) -> Part:
        """A part as large as wanted, or as large as can be. Raises `InsufficientBalance`."""
        need = Need(wanted_microusdc=wanted_microusdc, least_microusdc=least_microusdc)
        part = self._funding.take(need)
        if part is None:
            funding = self._fund(need)
            try:
                part = await _answered(funding)
            except (asyncio.CancelledError, DatabaseUnavailable):
                funding.add_done_callback(self._unwanted)
                raise
        self._renew_if_low()
        return part

    async def extend(self, part: Part, *, wanted_microusdc: int, least_microusdc: int) -> bool:
        """Make the part as large as wanted, or as can be; False when that is below the least."""
        need = Need(wanted_microusdc=wanted_microusdc, least_microusdc=least_microusdc, part=part)
        if self._funding.take(need) is None:
            try:
                await _answered(self._fund(need))
            except InsufficientBalance:
                return False
        self._renew_if_low()
        return True

    async def charge(
        self, part: Part, *, request_id: UUID, operator: AccountName, gross_microusdc: MicroUsdc
    ) -> Outcome:
        """Have the request's price paid from its part, which ends with the answer.

        After `Unavailable` nobody knows: call it again, with the same.
        """
        while part.charge is None and self._funding.remakes.is_on:
            await self._funding.remakes.rest()
        if part.charge is None:
            part.charge = Charge(
                request_id=request_id,
                hold_id=part.lease.lease_id,
                user=self.account,
                operator=operator,
                gross_microusdc=gross_microusdc,
            )
        try:
            async with self._backing.room:
                outcome = await self._backing.submit(part.charge)
        except Unavailable:
            raise
        except Exception:
            self._ended(part, 0)
            raise
        self._ended(part, gross_microusdc if outcome.done else 0)
        return outcome

    def release(self, part: Part) -> None:
        """The request is over and costs nothing."""
        self._ended(part, 0)

    async def spendable(self) -> int:
        """What the user has now, but for what running requests have taken."""
        found = 0
        for _ in range(_MOST_LOOKS):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._funding.motion.rest(), _REST_SECONDS)
            seen = self.moves
            async with reading(self._backing.pool) as conn:
                there = (await store.balance(conn, self.account)).available_microusdc
            found = there + self.purse.free_microusdc
            if self.heard(there, seen=seen):
                break
        return found

    def heard(self, available_microusdc: int, *, seen: int | None) -> bool:
        """The balance was read: true still, if nothing moved since `seen` (`moves`, before it)."""
        if seen is None or seen != self.moves:
            return False
        self.purse.available_microusdc = available_microusdc
        return True

    def tidy(self) -> None:
        """Give back leases that nobody uses and nobody is likely to."""
        if self._funding.remakes.is_on:
            return
        leases = self.purse.to_give_back(
            now_seconds=self._backing.now(),
            idle_seconds=0 if self._funding.is_recalled else self._backing.terms.idle_seconds,
        )
        for lease in leases:
            self._funding.give_back(lease)

    async def give_up(self) -> None:
        """Another process needs the money: give back what is not taken, and say so."""
        if await self._funding.give_up():
            await self._backing.recalls.gave_back(self.account)

    async def close(self) -> None:
        """Give back every lease that no request uses."""
        await self._funding.give_back_unused()

    def _ended(self, part: Part, gross_microusdc: int) -> None:
        self.purse.spend(part, gross_microusdc, now_seconds=self._backing.now())
        self._funding.charged.set()
        self.tidy()

    def _fund(self, need: Need) -> "asyncio.Task[Part]":
        self._asking.begin()
        funding = self._backing.spawn(self._funding.fund(need))
        funding.add_done_callback(lambda _: self._asking.end())
        return funding

    def _unwanted(self, funding: "asyncio.Task[Part]") -> None:
        if not funding.cancelled() and funding.exception() is None:
            self.release(funding.result())

    def _renew_if_low(self) -> None:
        if not self._renewing and self._funding.renewal_microusdc is not None:
            self._renewing = True
            self._backing.spawn(self._renew())

    async def _renew(self) -> None:
        # When it fails the next request asks for itself, and is told why it cannot have it.
        try:
            with suppress(PodError):
                await self._funding.renew()
        finally:
            self._renewing = False


async def _answered(funding: "asyncio.Task[Part]") -> Part:
    """What comes of it; it goes on when nobody waits for it any more."""
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            return await asyncio.shield(funding)
    except TimeoutError:
        raise DatabaseUnavailable(problem="the books did not answer in time") from None
