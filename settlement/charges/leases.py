"""What one user has set aside, in leases, and how requests share it. Pure.

A lease is a hold for many requests. A request takes a part of one lease before it runs, may take
more while it runs, and ends by spending some of its part (what it costs) or none of it. So at any
moment, of every lease:

    captured + the parts of running requests  <=  what is set aside

A request charges one lease. A part that outgrows its lease moves, as a whole, to one with room.
Times are the loop's clock, handed in.
"""

from dataclasses import dataclass, field
from uuid import UUID

from settlement.ledger.operations import Charge


@dataclass(eq=False, kw_only=True, slots=True)
class Lease:
    """A hold of this process for many requests of one user."""

    lease_id: UUID
    amount_microusdc: int
    over_at_seconds: float  # requests that begin later do not use it
    used_at_seconds: float
    captured_microusdc: int = 0
    reserved_microusdc: int = 0
    parts: "set[Part]" = field(default_factory=lambda: set[Part]())

    @property
    def rest_microusdc(self) -> int:
        """What of it is not spent."""
        return self.amount_microusdc - self.captured_microusdc

    @property
    def free_microusdc(self) -> int:
        """What of it no request has taken."""
        return self.rest_microusdc - self.reserved_microusdc


@dataclass(eq=False, kw_only=True, slots=True)
class Part:
    """What a running request has taken of a lease."""

    lease: Lease
    amount_microusdc: int
    charge: Charge | None = None  # on its way to the books
    is_over: bool = False

    @property
    def is_ending(self) -> bool:
        """Whether the request is over, or is being charged: the part stays as it is."""
        return self.is_over or self.charge is not None


@dataclass(frozen=True, kw_only=True)
class Need:
    """How large a part should be, and must be at least; `part` is the one that is there already."""

    wanted_microusdc: int
    least_microusdc: int
    part: Part | None = None

    @property
    def more_microusdc(self) -> int:
        """What is wanted beside what is there already."""
        return self.wanted_microusdc - self._has_microusdc

    @property
    def least_more_microusdc(self) -> int:
        """What is needed beside what is there already."""
        return self.least_microusdc - self._has_microusdc

    @property
    def _has_microusdc(self) -> int:
        return 0 if self.part is None else self.part.amount_microusdc


@dataclass(eq=False, kw_only=True)
class Purse:
    """The leases of one user, oldest first, and what the books last said is available."""

    leases: list[Lease] = field(default_factory=list[Lease])
    available_microusdc: int | None = None
    typical_microusdc: int = 1  # what requests take lately

    @property
    def free_microusdc(self) -> int:
        """What no request has taken, over all leases."""
        return sum(lease.free_microusdc for lease in self.leases)

    @property
    def reserved_microusdc(self) -> int:
        """What running requests have taken."""
        return sum(lease.reserved_microusdc for lease in self.leases)

    @property
    def is_charging(self) -> bool:
        """Whether a charge is on its way to the books."""
        return any(part.charge for lease in self.leases for part in lease.parts)

    def take(self, amount_microusdc: int, *, now_seconds: float) -> Part | None:
        """A part of this size of the oldest lease that has room; None when none has."""
        assert amount_microusdc > 0, "a request takes something"
        self.typical_microusdc = amount_microusdc
        lease = self._with_room(amount_microusdc, now_seconds)
        if lease is None:
            return None
        part = Part(lease=lease, amount_microusdc=0)
        lease.parts.add(part)
        _resize(part, amount_microusdc)
        lease.used_at_seconds = now_seconds
        return part

    def grow(self, part: Part, amount_microusdc: int, *, now_seconds: float) -> bool:
        """Make the part this large, where it is or in another lease; False when none has room."""
        assert not part.is_ending, "a part that is being charged stays as it is"
        more = amount_microusdc - part.amount_microusdc
        if more > part.lease.free_microusdc:
            lease = self._with_room(amount_microusdc, now_seconds)
            if lease is None:
                return False
            _move(part, lease)
        _resize(part, amount_microusdc)
        part.lease.used_at_seconds = now_seconds
        return True

    def spend(self, part: Part, gross_microusdc: int, *, now_seconds: float) -> None:
        """The request is over and cost this much of its part."""
        assert 0 <= gross_microusdc <= part.amount_microusdc, "no more is spent than was taken"
        lease = part.lease
        self.let_go(part, now_seconds=now_seconds)
        lease.captured_microusdc += gross_microusdc

    def let_go(self, part: Part, *, now_seconds: float) -> None:
        """The request is over and cost nothing."""
        lease = part.lease
        assert not part.is_over, "a request ends once"
        _resize(part, 0)
        lease.parts.remove(part)
        lease.used_at_seconds = now_seconds
        part.is_over, part.charge = True, None

    def replace(self, lease: Lease | None) -> None:
        """All leases became this one, which covers what running requests have taken."""
        old, self.leases = self.leases, [] if lease is None else [lease]
        for part in [part for each in old for part in each.parts]:
            assert part.charge is None, "a part that is being charged stays where it is"
            assert lease is not None, "what running requests have taken stays covered"
            _move(part, lease)
        assert lease is None or lease.free_microusdc >= 0, "the new lease covers all parts"

    def to_give_back(self, *, now_seconds: float, idle_seconds: float) -> list[Lease]:
        """Leases that no request uses and none is likely to: over, idle, or nearly drained."""
        newest = self.leases[-1] if self.leases else None
        return [
            lease
            for lease in self.leases
            if not lease.parts
            and (
                lease.rest_microusdc == 0
                or lease.over_at_seconds <= now_seconds
                or lease.used_at_seconds + idle_seconds <= now_seconds
                or (lease is not newest and lease.free_microusdc < self.typical_microusdc)
            )
        ]

    def is_low(self, *, now_seconds: float) -> bool:
        """Whether less than half of what a lease sets aside is left for requests to come."""
        usable = [lease for lease in self.leases if lease.over_at_seconds > now_seconds]
        free = sum(lease.free_microusdc for lease in usable)
        return bool(usable) and 2 * free < usable[-1].amount_microusdc

    def _with_room(self, amount_microusdc: int, now_seconds: float) -> Lease | None:
        for lease in self.leases:
            if lease.free_microusdc >= amount_microusdc and lease.over_at_seconds > now_seconds:
                return lease
        return None


def _resize(part: Part, amount_microusdc: int) -> None:
    part.lease.reserved_microusdc += amount_microusdc - part.amount_microusdc
    part.amount_microusdc = amount_microusdc


def _move(part: Part, lease: Lease) -> None:
    amount = part.amount_microusdc
    _resize(part, 0)
    part.lease.parts.remove(part)
    part.lease = lease
    lease.parts.add(part)
    _resize(part, amount)


def lease_size(
    needed_microusdc: int, available_microusdc: int | None, *, cap_microusdc: int
) -> int:
    """How much to set aside at once for a user who needs this much now (ledger.md, amendment 5).

    A quarter of what is available, at most the cap, at least what is needed; just that as long as
    nobody knows what is available.
    """
    if available_microusdc is None or available_microusdc < needed_microusdc:
        return needed_microusdc
    return max(needed_microusdc, min(cap_microusdc, available_microusdc // 4))
