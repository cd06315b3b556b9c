"""Brings money from a user's balance into leases and back; one thing at a time for each user.

Where no lease has room, one of the waiting requests asks the books and all profit: a request is
told that it is not enough only after the books said what is available and every lease of this
process was counted. What lies in parts too small is brought together first (`remake`), and what
other processes hold is asked for (`recall`).

While leases are made anew nothing else touches them: charges on their way are waited for, new ones
wait. All of it goes on when the request that asked is gone: nothing is placed and then forgotten.
"""

import asyncio
from datetime import timedelta
from typing import Final
from uuid import UUID

from settlement.charges.backing import Backing
from settlement.charges.leases import Lease, Need, Part, Purse, lease_size
from settlement.charges.motion import Motion
from settlement.charges.refusals import InsufficientBalance, refused
from settlement.charges.remake import GIVEN_BACK, Remade, Remake, Short, remake
from settlement.clock import new_id
from settlement.db.pool import DatabaseUnavailable
from settlement.errors import Unavailable
from settlement.ledger.operations import AccountName, Code, Hold, HoldPurpose, Void
from settlement.ledger.writer import WriterBusy, WriterClosed
from settlement.money import MicroUsdc

# Each look at the books may find that somebody was faster.
_MOST_LOOKS: Final = 8
_PAUSE_SECONDS: Final = 0.25
_QUIET_SECONDS: Final = 5.0


class Funding:
    """One user's purse, as it is filled and emptied."""

    def __init__(self, account: AccountName, backing: Backing) -> None:
        self.account = account
        self.purse = Purse()
        self.motion = Motion()  # of money between balance and leases
        self.remakes = Motion()
        self.charged = asyncio.Event()
        self._backing = backing
        self._lock = asyncio.Lock()
        self._ending: dict[UUID, int] = {}  # leases on their way back, and what is left of them
        self._looks = 0
        self._refused = (0, 0)  # after which look somebody was, and what was unspent
        self._recalled_until_seconds = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost if this were forgotten."""
        return not (self.purse.leases or self.motion.is_on or self._lock.locked())

    @property
    def is_recalled(self) -> bool:
        """Whether another process needs the money: nothing is set aside beyond need."""
        return self._recalled_until_seconds > self._backing.now()

    def take(self, need: Need) -> Part | None:
        """A part as large as wanted, of what is set aside; None when no lease has room."""
        now = self._backing.now()
        if self.remakes.is_on:
            return None
        if need.part is None:
            return self.purse.take(need.wanted_microusdc, now_seconds=now)
        if need.part.is_ending:
            return need.part  # whoever wanted more of it is gone
        grown = self.purse.grow(need.part, need.wanted_microusdc, now_seconds=now)
        return need.part if grown else None

    async def fund(self, need: Need) -> Part:
        """A part as large as wanted, or as can be. Raises `InsufficientBalance`."""
        arrived = self._looks
        give_up_at_seconds = self._backing.now() + self._backing.terms.wait_seconds
        async with self._lock:
            for _ in range(_MOST_LOOKS):
                part = self.take(need)
                if part is not None:
                    return part
                look, found = self._refused
                # What was found before this request came does not count.
                is_told = look > arrived and found < need.least_more_microusdc
                if not is_told:
                    found = await self._look(need)
                if isinstance(found, Part):
                    return found
                if found >= need.least_more_microusdc:
                    continue  # somebody else was faster
                if is_told or not await self._others_gave_back(need, give_up_at_seconds):
                    self._refused = (self._looks, found)
                    raise InsufficientBalance(
                        available_microusdc=found, required_microusdc=need.least_more_microusdc
                    )
        raise WriterBusy(account=self.account)

    async def renew(self) -> None:
        """Set more aside, before somebody needs it."""
        async with self._lock:
            size = self.renewal_microusdc
            if size is not None:
                await self._place(size)

    @property
    def renewal_microusdc(self) -> int | None:
        """How large a lease should be placed now, before somebody needs it; None: none."""
        available = self.purse.available_microusdc
        if (
            available is None
            or self.is_recalled
            or not self.purse.is_low(now_seconds=self._backing.now())
        ):
            return None
        size = self._size(1, available)
        return size if size >= self.purse.typical_microusdc else None

    async def give_up(self) -> bool:
        """Keep only what running requests have taken; whether anything was given back."""
        self._recalled_until_seconds = self._backing.now() + self._backing.terms.recalled_seconds
        async with self._lock:
            if self.purse.free_microusdc:
                await self._remake(None)
            elif self._ending:
                await self.motion.rest()
            else:
                return False
            return True

    async def give_back_unused(self) -> None:
        """End all leases that no request uses, and wait until they have ended."""
        async with self._lock:
            for lease in self.purse.leases.copy():
                if not lease.parts:
                    self.give_back(lease)
        await self.motion.rest()

    def give_back(self, lease: Lease) -> None:
        """End a lease that no request uses; soon."""
        self.purse.leases.remove(lease)
        self._end(lease.lease_id, lease.rest_microusdc)

    # What follows is done by whoever has the lock.

    async def _look(self, need: Need) -> Part | int:
        """Ask the books for a lease: the part taken of it, or all that is unspent."""
        self._looks += 1
        found = await self._place(self._size(need.wanted_microusdc))
        if isinstance(found, Lease):
            return self._as_much_as_there_is(need, found)
        unspent = found + self._unspent_microusdc
        if unspent >= need.least_more_microusdc and found < need.wanted_microusdc:
            if self.purse.leases or self._ending:
                made = await self._remake(need)
            else:
                made = await self._place(found)
            if isinstance(made, Lease):
                return self._as_much_as_there_is(need, made)
            unspent = made
        return unspent

    async def _place(self, amount_microusdc: int) -> Lease | int:
        """Place a lease; or what is available, when that is too little."""
        lease = self._new_lease(amount_microusdc)
        hold = Hold(
            hold_id=lease.lease_id,
            account=self.account,
            amount_microusdc=MicroUsdc(amount_microusdc),
            purpose=HoldPurpose.LEASE,
            expires_at=self._backing.clock.now() + self._lifetime,
        )
        with self.motion.on():
            try:
                outcome = await self._backing.submit(hold)
            except DatabaseUnavailable:
                self._end(lease.lease_id, 0)  # if it is there
                raise
            if outcome.code is Code.INSUFFICIENT:
                self.purse.available_microusdc = max(0, outcome.available_microusdc or 0)
                return self.purse.available_microusdc
            if not outcome.done:
                raise refused(outcome, account=self.account)
            self.purse.available_microusdc = outcome.available_microusdc
            self.purse.leases.append(lease)
        return lease

    async def _remake(self, need: Need | None) -> Lease | int:
        """Make one lease of all; or what is unspent, when that is too little for the need."""
        try:
            with self.remakes.on(), self.motion.on():
                await self._nobody_charges()
                lease = self._new_lease(0)
                plan = Remake(
                    account=self.account,
                    old=[*(each.lease_id for each in self.purse.leases), *self._ending],
                    lease_id=lease.lease_id,
                    expires_at=self._backing.clock.now() + self._lifetime,
                    amount_of=lambda available: self._remade_microusdc(need, available),
                )
                remade = await self._until_known(plan)
                lease.amount_microusdc = remade.amount_microusdc
                self.purse.replace(lease if lease.amount_microusdc else None)
                self.purse.available_microusdc = remade.available_microusdc
                self._ending.clear()
        except Short as short:
            return short.unspent_microusdc
        return lease

    def _remade_microusdc(self, need: Need | None, available_microusdc: int) -> int:
        reserved = self.purse.reserved_microusdc
        if need is None:
            return reserved
        unspent = available_microusdc - reserved
        more = min(need.more_microusdc, unspent)
        if more < need.least_more_microusdc:
            raise Short(max(0, unspent))
        return reserved + self._size(more, unspent)

    async def _until_known(self, plan: Remake) -> Remade:
        while True:
            try:
                return await remake(self._backing.pool, self._backing.writer, plan)
            except DatabaseUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _nobody_charges(self) -> None:
        try:
            async with asyncio.timeout(_QUIET_SECONDS):
                while self.purse.is_charging:
                    self.charged.clear()
                    await self.charged.wait()
        except TimeoutError:
            raise WriterBusy(account=self.account) from None

    async def _others_gave_back(self, need: Need, give_up_at_seconds: float) -> bool:
        """Ask other processes for what they do not use; whether to look at the books again."""
        elsewhere = await self._backing.recalls.elsewhere(self.account)
        if not elsewhere.is_leased:
            unspent = elsewhere.available_microusdc + self._unspent_microusdc
            return unspent >= need.least_more_microusdc
        now = self._backing.now()
        if now >= give_up_at_seconds:
            return False
        self._recalled_until_seconds = now + self._backing.terms.recalled_seconds
        await self._backing.recalls.ask(self.account, wait_seconds=give_up_at_seconds - now)
        return True  # even if nobody answered: it may have come back before they were asked

    @property
    def _unspent_microusdc(self) -> int:
        """What is set aside and not taken by requests, or on its way back."""
        return self.purse.free_microusdc + sum(self._ending.values())

    def _as_much_as_there_is(self, need: Need, lease: Lease) -> Part:
        """The part wanted, or all that the lease has room for: at least what is needed."""
        if need.part is not None and need.part.is_ending:
            return need.part
        now = self._backing.now()
        if need.part is None:
            amount = min(need.wanted_microusdc, lease.free_microusdc)
            part = self.purse.take(amount, now_seconds=now)
            assert part is not None, "the lease was made for it"
            return part
        room = lease.free_microusdc
        room += need.part.amount_microusdc if need.part.lease is lease else 0
        grown = self.purse.grow(need.part, min(need.wanted_microusdc, room), now_seconds=now)
        assert grown, "the lease was made for it"
        return need.part

    # What happens beside it.

    def _end(self, lease_id: UUID, rest_microusdc: int) -> None:
        self._ending[lease_id] = rest_microusdc
        self.motion.begin()
        self._backing.spawn(self._void(lease_id))

    async def _void(self, lease_id: UUID) -> None:
        """Until the books say that the lease has ended."""
        void = Void(hold_id=lease_id, reason=GIVEN_BACK)
        try:
            while lease_id in self._ending:
                try:
                    async with self._backing.room:
                        outcome = await self._backing.submit(void)
                except WriterClosed:
                    return
                except Unavailable:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                if outcome.code is Code.APPLIED:
                    self.purse.available_microusdc = outcome.available_microusdc
                self._ending.pop(lease_id, None)
        finally:
            self.motion.end()

    def _new_lease(self, amount_microusdc: int) -> Lease:
        now = self._backing.now()
        lifetime = self._backing.terms.lifetime_seconds
        return Lease(
            lease_id=new_id(self._backing.clock),
            amount_microusdc=amount_microusdc,
            over_at_seconds=now + lifetime - lifetime // 10,
            used_at_seconds=now,
        )

    @property
    def _lifetime(self) -> timedelta:
        return timedelta(seconds=self._backing.terms.lifetime_seconds)

    def _size(self, needed_microusdc: int, available_microusdc: int | None = None) -> int:
        if self.is_recalled:
            return needed_microusdc
        known = (
            self.purse.available_microusdc if available_microusdc is None else available_microusdc
        )
        return lease_size(needed_microusdc, known, cap_microusdc=self._backing.terms.cap_microusdc)
