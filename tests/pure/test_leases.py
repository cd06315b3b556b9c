"""Parts of leases: whatever requests do, no lease gives more than is set aside."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from settlement.charges.leases import Lease, Part, Purse, lease_size
from settlement.ledger import accounts
from settlement.ledger.operations import Charge
from settlement.money import MicroUsdc

amounts = st.integers(1, 50)


def lease(amount: int, *, over_at: float = 100, used_at: float = 0) -> Lease:
    return Lease(
        lease_id=uuid4(), amount_microusdc=amount, over_at_seconds=over_at, used_at_seconds=used_at
    )


def charge(part: Part, gross: int) -> Charge:
    return Charge(
        request_id=uuid4(),
        hold_id=part.lease.lease_id,
        user=accounts.user(uuid4()),
        operator=accounts.host(uuid4()),
        gross_microusdc=MicroUsdc(gross),
    )


class PurseMachine(RuleBasedStateMachine):
    """Requests come, grow, end and are charged; leases come, are made one, and go."""

    def __init__(self) -> None:
        super().__init__()
        self.purse = Purse()
        self.running: list[Part] = []
        self.now = 0.0
        self.placed = 0  # what was ever set aside and not given back
        self.spent = 0

    @initialize(amount=amounts)
    def begin(self, amount: int) -> None:
        self.place(amount)

    @rule(amount=st.integers(1, 200))
    def place(self, amount: int) -> None:
        self.purse.leases.append(lease(amount, over_at=self.now + 30, used_at=self.now))
        self.placed += amount

    @rule(amount=amounts)
    def take(self, amount: int) -> None:
        most = max((each.free_microusdc for each in self.usable()), default=0)
        part = self.purse.take(amount, now_seconds=self.now)
        assert (part is not None) == (amount <= most)
        if part is not None:
            assert part.amount_microusdc == amount
            self.running.append(part)

    @rule(data=st.data(), more=amounts)
    def grow(self, data: st.DataObject, more: int) -> None:
        part = self.one(data)
        if part is None or part.is_ending:
            return
        before = part.amount_microusdc
        room = part.lease.free_microusdc >= more
        room = room or any(each.free_microusdc >= before + more for each in self.usable())
        assert self.purse.grow(part, before + more, now_seconds=self.now) == room
        assert part.amount_microusdc == before + more * room

    @rule(data=st.data())
    def charge(self, data: st.DataObject) -> None:
        part = self.one(data)
        if part is not None and part.charge is None:
            gross = data.draw(st.integers(0, part.amount_microusdc))
            part.charge = charge(part, gross)

    @rule(data=st.data(), done=st.booleans())
    def charged(self, data: st.DataObject, done: bool) -> None:
        part = self.one(data)
        if part is not None and part.charge is not None:
            assert part.charge.hold_id == part.lease.lease_id, "it is charged where it lies"
            gross = part.charge.gross_microusdc if done else 0
            self.purse.spend(part, gross, now_seconds=self.now)
            self.spent += gross
            self.running.remove(part)

    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        part = self.one(data)
        if part is not None and part.charge is None:
            self.purse.let_go(part, now_seconds=self.now)
            self.running.remove(part)

    @rule(more=st.integers(0, 50))
    def remake(self, more: int) -> None:
        if self.purse.is_charging:
            return
        self.placed -= sum(each.rest_microusdc for each in self.purse.leases)
        amount = self.purse.reserved_microusdc + more
        self.purse.replace(lease(amount, over_at=self.now + 30) if amount else None)
        self.placed += amount
        assert self.purse.free_microusdc == more

    @rule(later=st.sampled_from((1, 20, 100)))
    def give_back(self, later: int) -> None:
        self.now += later
        for each in self.purse.to_give_back(now_seconds=self.now, idle_seconds=60):
            assert not each.parts
            self.purse.leases.remove(each)
            self.placed -= each.rest_microusdc

    @invariant()
    def no_lease_gives_more_than_is_set_aside(self) -> None:
        for each in self.purse.leases:
            assert each.reserved_microusdc == sum(part.amount_microusdc for part in each.parts)
            assert each.captured_microusdc + each.reserved_microusdc <= each.amount_microusdc
        assert {part for each in self.purse.leases for part in each.parts} == set(self.running)
        assert all(part in part.lease.parts for part in self.running)

    @invariant()
    def nothing_is_lost(self) -> None:
        rest = self.purse.free_microusdc + self.purse.reserved_microusdc
        assert rest == self.placed - self.spent

    def usable(self) -> list[Lease]:
        return [each for each in self.purse.leases if each.over_at_seconds > self.now]

    def one(self, data: st.DataObject) -> Part | None:
        return data.draw(st.sampled_from(self.running)) if self.running else None


PurseTest = PurseMachine.TestCase


def taken(purse: Purse, amount: int, now: float = 0) -> Part:
    part = purse.take(amount, now_seconds=now)
    assert part is not None
    return part


def test_the_oldest_lease_with_room_is_used_up_first() -> None:
    old, new = lease(10), lease(10)
    purse = Purse(leases=[old, new])
    assert [taken(purse, each).lease for each in (6, 6, 4)] == [old, new, old]


def test_a_part_that_outgrows_its_lease_moves_as_a_whole() -> None:
    old, new = lease(10), lease(10)
    purse = Purse(leases=[old, new])
    part, other = taken(purse, 4), taken(purse, 4)
    assert purse.grow(part, 9, now_seconds=0)
    assert (part.lease, old.free_microusdc, new.free_microusdc) == (new, 6, 1)
    assert not purse.grow(other, 11, now_seconds=0)
    assert (other.lease, other.amount_microusdc) == (old, 4)


def test_a_lease_whose_time_is_over_takes_no_new_request_but_serves_its_old_ones() -> None:
    purse = Purse(leases=[lease(10, over_at=5)])
    part = taken(purse, 2, now=4)
    assert purse.take(2, now_seconds=5) is None
    assert purse.grow(part, 3, now_seconds=6)
    assert purse.to_give_back(now_seconds=6, idle_seconds=60) == []
    purse.let_go(part, now_seconds=6)
    assert purse.to_give_back(now_seconds=6, idle_seconds=60) == purse.leases


def test_what_is_given_back() -> None:
    drained, newest = lease(10), lease(100)
    purse = Purse(leases=[drained, newest])
    purse.spend(taken(purse, 7), 7, now_seconds=0)
    assert purse.to_give_back(now_seconds=1, idle_seconds=60) == [drained]
    assert purse.to_give_back(now_seconds=60, idle_seconds=60) == [drained, newest]
    purse.leases.remove(drained)
    purse.spend(taken(purse, 100), 100, now_seconds=0)
    assert purse.to_give_back(now_seconds=0, idle_seconds=60) == [newest], "nothing is left in it"


def test_a_purse_is_low_when_less_than_half_is_free() -> None:
    purse = Purse(leases=[lease(10)])
    taken(purse, 5)
    assert not purse.is_low(now_seconds=0)
    taken(purse, 1)
    assert purse.is_low(now_seconds=0)
    assert not purse.is_low(now_seconds=100), "what is over is no measure"


@pytest.mark.parametrize(
    ("needed", "available", "expected"),
    [
        (10, None, 10),  # nobody knows: just what is needed
        (10, 5, 10),  # the books will say no
        (10, 10, 10),
        (10, 100, 25),
        (10, 10_000, 500),
        (600, 10_000, 600),
    ],
)
def test_the_size_of_a_lease(needed: int, available: int | None, expected: int) -> None:
    assert lease_size(needed, available, cap_microusdc=500) == expected


@given(amounts, st.integers(0, 10_000), st.integers(1, 500))
def test_a_lease_leaves_three_quarters_to_others_unless_needed(
    needed: int, available: int, cap: int
) -> None:
    size = lease_size(needed, available, cap_microusdc=cap)
    assert size == needed or (size <= available // 4 and size <= cap)
    assert size >= needed
    assert size <= max(needed, available)


def test_no_more_is_spent_than_was_taken_and_a_request_ends_once() -> None:
    purse = Purse(leases=[lease(10)])
    part = taken(purse, 4)
    with pytest.raises(AssertionError):
        purse.spend(part, 5, now_seconds=0)
    purse.spend(part, 4, now_seconds=0)
    with pytest.raises(AssertionError):
        purse.let_go(part, now_seconds=0)
    with pytest.raises(AssertionError):
        purse.grow(part, 5, now_seconds=0)
