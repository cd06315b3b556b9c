"""Whatever is asked of the books, in whatever order, they answer as the model does.

Small pools of ids, references, accounts and amounts make replays, conflicts, double spending and
overflow common. After each step every account stands where the model says, the books sum to zero,
nothing is below its floor and what is held is what is open; at the end the whole chain is checked.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from settlement.db.pool import CallConn, reading
from settlement.ledger import store
from settlement.ledger.everyday import EverydayRoad, is_everyday
from settlement.ledger.operations import (
    Capture,
    Charge,
    Code,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Post,
    Transfer,
    Void,
    Writer,
)
from settlement.ledger.store import WriterFenced
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc
from tests import factories
from tests.conftest import Database
from tests.database.books_world import Session, World
from tests.database.model import Model, account_of

_SLOTS = 5
_MANY = (0, 1, 2, 2, 3, 5, 10, 40, 99, 10**6, 2**62, LARGEST_AMOUNT_MICROUSDC, 2**63)
_SOME = _MANY[1:]

_slot = st.integers(0, _SLOTS - 1)
_amount = st.sampled_from(_SOME).map(MicroUsdc)


class CountingRoad(EverydayRoad):
    """The everyday road, and how often it led there or was declined."""

    def __init__(self, writer: Writer, taken: Counter[bool]) -> None:
        super().__init__(writer)
        self._taken = taken

    async def settle(
        self, conn: CallConn, charges: Sequence[Charge], others: Sequence[Hold | Void]
    ) -> list[Outcome] | None:
        settled = await super().settle(conn, charges, others)
        self._taken[settled is not None] += 1
        return settled


class BooksMachine(RuleBasedStateMachine):
    """Postgres and the model, side by side."""

    session: Session
    seen: set[Code]
    everyday: Counter[bool]

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.model = Model()
        self.asked: list[Operation] = []
        self.writers = self.session.begin(self.world, ["one", "two"])
        treasuries = [writer.treasury for writer in self.writers]
        for name in [*self.world.opened, *self.world.common, *treasuries]:
            self.model.accounts[name] = account_of(name)
        self.model.accounts[self.world.closed].closed = True
        first = [
            replace(factories.deposit(user, 1_000), transaction_id=self.world.id("first", number))
            for number, user in enumerate(self.world.users)
        ]
        # Too rare among what is drawn: every run begins with one that is not named by its time.
        user, host = self.world.users[0], self.world.hosts[0]
        untimely = factories.charge(self.world.id("request", 0), user, host, 1, hold_id=None)
        self._ask(self.writers[0], [*first, untimely])

    # What can be asked. Each makes one operation; `batch` asks several at once.

    def _post(self, data: st.DataObject) -> Post:
        names = self.world.names
        legs: list[Transfer] = []
        for _ in range(data.draw(st.integers(1, 3), label="legs")):
            debit, credit = data.draw(
                st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True), label="leg"
            )
            legs.append(factories.transfer(debit, credit, data.draw(_amount, label="amount")))
        reference = data.draw(st.none() | _slot, label="reference")
        reverses = data.draw(st.none() | st.none() | _slot, label="reverses")
        number = data.draw(st.integers(0, 3 * _SLOTS), label="transaction")
        # Now and then one that wants a request's name.
        taken = data.draw(st.integers(0, 9), label="name of a request") == 0
        return factories.post(
            *legs,
            transaction_id=self._request_id(data) if taken else self.world.id("post", number),
            external_ref=None if reference is None else f"{self.world.space}:{reference}",
            reverses=None if reverses in (None, number) else self.world.id("post", reverses or 0),
        )

    def _refund(self, data: st.DataObject) -> Post:
        """Something goes back to a user, mostly in the name of a request that was paid."""
        paid = [(c.request_id, c.user) for c, _ in self.model.charges.values()]
        nothing = (self._request_id(data), self.world.users[0])
        name, user = data.draw(st.sampled_from([*paid, nothing]), label="paid")
        amount = data.draw(st.sampled_from((1, 2, 5, 99)), label="back")
        moved = factories.transfer(factories.TILL, user, amount)
        return replace(self._post(data), transfers=(moved,), refunds=name, reverses=None)

    def _request_id(self, data: st.DataObject) -> UUID:
        return self.world.request(data.draw(_slot, label="request"))

    def _deposit(self, data: st.DataObject) -> Post:
        account = data.draw(st.sampled_from([*self.world.users, self.world.bond]), label="to")
        return replace(
            factories.deposit(account, data.draw(st.sampled_from((10, 100, 10**6)), label="in")),
            transaction_id=self.world.id("deposit", data.draw(st.integers(0, 20), label="deposit")),
        )

    def _hold_id(self, data: st.DataObject) -> UUID:
        return self.world.request(data.draw(_slot, label="hold"))

    def _hold(self, data: st.DataObject) -> Hold:
        return factories.hold(
            data.draw(st.sampled_from([*self.world.users, *self.world.names]), label="account"),
            data.draw(_amount, label="amount"),
            hold_id=self._hold_id(data),
            purpose=data.draw(st.sampled_from(HoldPurpose), label="purpose"),
        )

    def _charge(self, data: st.DataObject) -> Charge:
        hosts = [*self.world.hosts, self.world.missing, self.world.users[0]]
        untimely = data.draw(st.integers(0, 19), label="not named by its time") == 0
        return factories.charge(
            self.world.id("request", 0) if untimely else self._request_id(data),
            data.draw(st.sampled_from([*self.world.users, self.world.hosts[0]]), label="user"),
            data.draw(st.sampled_from(hosts), label="operator"),
            data.draw(st.sampled_from(_MANY), label="gross"),
            data.draw(st.sampled_from((2000, 2000, 0, 3333, 10_000)), label="split"),
            hold_id=data.draw(st.none() | _slot.map(self.world.request), label="from"),
        )

    def _void(self, data: st.DataObject) -> Void:
        reason = data.draw(st.sampled_from(("refused", "gone")), label="reason")
        return Void(hold_id=self._hold_id(data), reason=reason)

    def _capture(self, data: st.DataObject) -> Capture:
        return Capture(hold_id=self._hold_id(data), post=self._post(data))

    def _fitting_hold(self, data: st.DataObject) -> Hold:
        """Often a fresh one that a user can pay, so that there is something to end."""
        return factories.hold(
            data.draw(st.sampled_from(self.world.users), label="account"),
            data.draw(st.sampled_from((5, 10, 99)), label="amount"),
            hold_id=self.world.request(data.draw(st.integers(0, 40), label="hold")),
            purpose=data.draw(st.sampled_from(HoldPurpose), label="purpose"),
        )

    def _fitting_end(self, data: st.DataObject) -> Operation:
        """An end that fits a hold that is open, so that successes are common too."""
        opened = [state.placed for state in self.model.holds.values() if state.open]
        if not opened:
            return self._deposit(data)
        placed = data.draw(st.sampled_from(opened), label="open hold")
        amount = data.draw(
            st.sampled_from((1, placed.amount_microusdc, placed.amount_microusdc + 1)), label="end"
        )
        if placed.account == factories.TILL:
            return Void(hold_id=placed.hold_id, reason="gone")
        if placed.purpose is not HoldPurpose.PAYOUT:
            name = placed.hold_id
            if placed.purpose is HoldPurpose.LEASE:
                name = self.world.request(data.draw(st.integers(50, 99), label="request"))
            host, hold_id = self.world.hosts[0], placed.hold_id
            return factories.charge(name, placed.account, host, amount, hold_id=hold_id)
        return factories.payment(placed.hold_id, placed.account, amount)

    def _again(self, data: st.DataObject) -> Operation:
        if not self.asked:
            return self._deposit(data)
        return data.draw(st.sampled_from(self.asked), label="again")

    @rule(data=st.data(), size=st.integers(1, 6), writer=st.integers(0, 1))
    def batch(self, data: st.DataObject, size: int, writer: int) -> None:
        makers = (
            self._deposit,
            self._hold,
            self._fitting_hold,
            self._fitting_hold,
            self._fitting_end,
            self._fitting_end,
            self._charge,
            self._void,
            self._capture,
            self._post,
            self._refund,
            self._again,
        )
        operations = [data.draw(st.sampled_from(makers), label="verb")(data) for _ in range(size)]
        self._ask(self.writers[writer], operations)

    @rule(data=st.data(), size=st.integers(1, 8), writer=st.integers(0, 1))
    def paid_requests(self, data: st.DataObject, size: int, writer: int) -> None:
        """What group commit carries all day: the same answers by another road."""
        makers = (self._fitting_hold, self._fitting_hold, self._hold, self._charge, self._void)
        ends = (self._fitting_end, self._fitting_end, *makers)
        asked = [data.draw(st.sampled_from(ends), label="verb")(data) for _ in range(size)]
        operations = [operation for operation in asked if is_everyday(operation)]
        if operations:
            road = CountingRoad(self.writers[writer], self.everyday)
            self._ask(self.writers[writer], operations, road)

    @rule()
    def a_newer_life_fences_the_older(self) -> None:
        stale = self.writers[0]
        self.writers[0] = self.session.run(store.open_writer(self.session.pool, stale.name))
        with pytest.raises(WriterFenced):
            self.session.apply(stale, [factories.deposit(self.world.users[0])])
        hold = factories.hold(self.world.users[0], 1)
        with pytest.raises(WriterFenced):
            self.session.apply(stale, [hold], EverydayRoad(stale))

    def _ask(
        self, writer: Writer, operations: Sequence[Operation], road: EverydayRoad | None = None
    ) -> None:
        if road is not None:
            # The everyday road takes charges first; nobody who asks at once can ask for an order.
            operations = sorted(operations, key=lambda each: not isinstance(each, Charge))
        expected = self.model.apply(writer, operations)
        answered = self.session.apply(writer, operations, road)
        assert answered == expected, list(zip(operations, expected, answered, strict=True))
        self.seen.update(outcome.code for outcome in answered)
        self.asked += operations

    @invariant()
    def every_account_stands_where_the_model_says(self) -> None:
        standings = self.session.standings()
        for name, account in self.model.accounts.items():
            expected = account.dr, account.cr, account.held, account.version
            assert standings[name] == expected, name
            assert not account.floored or account.available >= 0, name
        assert sum(dr - cr for dr, cr, _, _ in standings.values()) == 0

    @invariant()
    def what_is_held_is_what_is_open(self) -> None:
        for name in self.world.opened:
            opened = [
                state.rest
                for state in self.model.holds.values()
                if state.open and state.placed.account == name
            ]
            assert self.model.accounts[name].held == sum(opened), name

    def teardown(self) -> None:
        async def step() -> tuple[list[str], list[list[int]]]:
            async with reading(self.session.pool) as conn:
                broken = await store.broken_rules(conn)
                pages = [await store.entries(conn, name) for name in self.world.opened]
                return broken, [[entry.number for entry in page] for page in pages]

        broken, numbers = self.session.run(step())
        assert not broken, broken
        for page in numbers:
            assert all(after == before + 1 for before, after in pairwise([0, *page]))


@pytest.mark.long
@pytest.mark.timeout(1800)  # the nightly profile; and a failure takes its time to shrink
def test_the_books_answer_as_the_model_does(database: Database) -> None:
    session = Session(database)

    class Machine(BooksMachine):
        pass

    Machine.session = session
    Machine.seen = set()
    Machine.everyday = Counter()
    try:
        run_state_machine_as_test(Machine)
    finally:
        session.close()
    # What our own code never lets out.
    impossible = {Code.MALFORMED, Code.META_TOO_LARGE, Code.ASSET_MISMATCH}
    assert Machine.seen == set(Code) - impossible, "every answer there is was compared"
    assert min(Machine.everyday[True], Machine.everyday[False]) >= 10, "both roads were taken"
