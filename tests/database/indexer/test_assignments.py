"""Whose money is that arrived without a name: what waits, and the one entry that assigns it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from settlement import assignments
from settlement.assignments import (
    AlreadyAssigned,
    AmountsDiffer,
    Assigned,
    Assignment,
    AssignmentRefused,
    AssignmentUnexplained,
    MovementNotWaiting,
    MovementUnknown,
    OwnerNotPossible,
    OwnerUnknown,
    SeveralOwners,
    Unassigned,
)
from settlement.db.pool import Pool, open_pool, reading, transaction
from settlement.errors import PodError
from settlement.finance import WRITER
from settlement.ledger import accounts, postings, store
from settlement.ledger.operations import AccountName, Transfer
from settlement.money import MicroUsdc
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import FakeNode, follower
from tests.database.words import typed
from tests.pure.transactions import (
    ALICE_ATA,
    TILL,
    WATCH,
    answer,
    deposit,
    memo,
    signature,
    transfer,
)

NAMELESS, WRONG, CODED = (
    f"chain:{WATCH.cluster}:{signature(number)}:{place}"
    for number, place in ((0, "0:-1:0"), (1, "-1:-1:0"), (2, "0:0:0"))
)


class Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        return datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
async def finance(desk: Desk) -> AsyncIterator[Pool]:
    """Connections of the role that `pod deposits assign` takes."""
    pool = await open_pool(desk.database.dsn, role="pod_settlement", application="test", size=4)
    yield pool
    await pool.close()


@pytest.fixture
async def arrived(desk: Desk) -> Desk:
    """A desk with 7 in suspense, 9 in quarantine and 5 of the user's."""
    coded = deposit(desk.user_code, 5)
    made = [
        answer(transfer(ALICE_ATA, TILL, 7), memo("for \x1b[31mAda"), till=7),
        answer(coded, till=9),
        answer(coded, till=5),
    ]
    node = FakeNode()
    for number, one in enumerate(made):
        node.add(replace(one, signature=signature(number), slot=10 + number))
    await follower(node, desk.pool, desk.writer).round()
    assert await desk.nets() == {
        "suspense": 7,
        "quarantine": 9,
        desk.user: 5,
        "chain:till": -21,
    }
    return desk


def decided(
    reference: str,
    *owners: AccountName,
    shares: Mapping[AccountName, MicroUsdc | None] | None = None,
    actor: str = "ann",
    reason: str = "ticket 12",
) -> Assignment:
    """That these are its owners, the whole to the only one, or with their shares."""
    named = dict.fromkeys(owners) if shares is None else shares
    return Assignment(reference=reference, owners=named, actor=actor, reason=reason)


def _out_of_suspense(owner: AccountName) -> Transfer:
    return Transfer(debit=accounts.SUSPENSE, credit=owner, amount_microusdc=MicroUsdc(1))


async def assigned(pool: Pool, wanted: Assignment) -> Assigned:
    return await assignments.assign(pool, Noon(), wanted)


async def waiting(pool: Pool) -> list[Unassigned]:
    return [one async for one in assignments.unassigned(pool)]


async def test_what_waits_is_listed_with_what_was_said(arrived: Desk, finance: Pool) -> None:
    found = await waiting(finance)
    assert [(one.account, one.reference, one.amount_microusdc, one.slot) for one in found] == [
        ("suspense", NAMELESS, 7, 10),
        ("quarantine", WRONG, 9, 11),
    ]
    assert found[0].source == str(ALICE_ATA)
    assert all(one.age_seconds >= 0 for one in found)


async def test_suspense_is_assigned_by_a_later_entry(arrived: Desk, finance: Pool) -> None:
    done = await assigned(finance, decided(NAMELESS, arrived.user))
    assert (dict(done.shares), done.before) == ({arrived.user: 7}, False)
    assert await arrived.nets() == {"quarantine": 9, arrived.user: 12, "chain:till": -21}
    rows = await arrived.rows(
        "select kind, actor, reason, event_at, slot from settlement.txn"
        " where external_ref = 'assigned:' || $1",
        NAMELESS,
    )
    assert [tuple(row) for row in rows] == [
        ("suspense_assigned", "ann", "ticket 12", Noon().now(), None)
    ]
    assert [one.reference for one in await waiting(finance)] == [WRONG]
    kept = await arrived.rows("select count(*) as n from indexer.movement")
    assert kept[0]["n"] == 3


async def test_again_is_told_as_it_was_and_otherwise_is_a_conflict(
    arrived: Desk, finance: Pool
) -> None:
    first = await assigned(finance, decided(NAMELESS, arrived.user))
    again = await assigned(finance, decided(NAMELESS, arrived.user, actor="bob", reason="again"))
    assert again == replace(first, before=True)
    another = await arrived.another_user()
    with pytest.raises(AlreadyAssigned, match="ann"):
        await assigned(finance, decided(NAMELESS, another.user))
    with pytest.raises(AlreadyAssigned):
        await assigned(finance, decided(NAMELESS, shares={arrived.user: MicroUsdc(6)}))
    assert await arrived.net(arrived.user) == 12


async def test_quarantine_may_have_several_owners(arrived: Desk, finance: Pool) -> None:
    another = await arrived.another_user()
    shares = {arrived.user: MicroUsdc(5), another.user: MicroUsdc(4)}
    done = await assigned(finance, decided(WRONG, shares=shares))
    assert dict(done.shares) == shares
    assert await arrived.net(arrived.user) == 10
    assert await arrived.net(another.user) == 4
    assert await arrived.net(accounts.QUARANTINE) == 0


async def test_an_operator_and_a_bond_can_be_owners(arrived: Desk, finance: Pool) -> None:
    await assigned(finance, decided(NAMELESS, accounts.host(arrived.provider_id)))
    await assigned(finance, decided(WRONG, accounts.bond_pending(arrived.provider_id)))
    assert await arrived.net(accounts.host(arrived.provider_id)) == 7
    assert await arrived.net(accounts.bond_pending(arrived.provider_id)) == 9


@pytest.mark.parametrize(
    ("reference", "owners", "refusal", "field"),
    [
        ("chain:test:nobody:0:0:0", {"": None}, MovementUnknown, "reference"),
        ("invoice-7", {"": None}, MovementUnknown, "reference"),
        (CODED, {"": None}, MovementNotWaiting, "reference"),
        (NAMELESS, {accounts.user(uuid4()): None}, OwnerUnknown, "to"),
        (NAMELESS, {"nonsense": None}, OwnerUnknown, "to"),
        (NAMELESS, {}, OwnerUnknown, "to"),
        (NAMELESS, {"treasury": None}, OwnerNotPossible, "to"),
        (NAMELESS, {"chain:till": None}, OwnerNotPossible, "to"),
        (NAMELESS, {"": 6}, AmountsDiffer, "to"),
        (NAMELESS, {"": 8}, AmountsDiffer, "to"),
        (NAMELESS, {"": 6, accounts.user(uuid4()): None}, AmountsDiffer, "to"),
        (WRONG, {"": 6, accounts.user(uuid4()): 3}, OwnerUnknown, "to"),
    ],
)
async def test_what_is_not_there_is_refused_by_its_field(
    arrived: Desk,
    finance: Pool,
    reference: str,
    owners: dict[str, int | None],
    refusal: type[PodError],
    field: str,
) -> None:
    """An owner without a name is the desk's user."""
    before = await arrived.nets()
    named = {
        AccountName(name or arrived.user): None if amount is None else MicroUsdc(amount)
        for name, amount in owners.items()
    }
    with pytest.raises(refusal) as told:
        await assigned(finance, decided(reference, shares=named))
    assert told.value.details["field"] == field
    assert await arrived.nets() == before


async def test_suspense_is_one_persons(arrived: Desk, finance: Pool) -> None:
    another = await arrived.another_user()
    shares = {arrived.user: MicroUsdc(5), another.user: MicroUsdc(2)}
    with pytest.raises(SeveralOwners):
        await assigned(finance, decided(NAMELESS, shares=shares))


@pytest.mark.parametrize("field", ["actor", "reason"])
async def test_an_assignment_says_who_and_why(arrived: Desk, finance: Pool, field: str) -> None:
    given = {"actor": "ann", "reason": "ticket 12", field: "  "}
    with pytest.raises(AssignmentUnexplained) as told:
        await assigned(
            finance,
            decided(NAMELESS, arrived.user, actor=given["actor"], reason=given["reason"]),
        )
    assert told.value.details["field"] == field


async def test_what_suspense_no_longer_holds_is_not_assigned(arrived: Desk, finance: Pool) -> None:
    voucher = postings.Voucher(actor="ann", event_at=Noon().now(), reason="by hand")
    moved = _out_of_suspense(accounts.host(arrived.provider_id))
    async with transaction(arrived.pool) as tx:
        await store.apply(tx, arrived.writer, [postings.adjustment(voucher, "1", [moved])])
    with pytest.raises(AssignmentRefused, match="insufficient"):
        await assigned(finance, decided(NAMELESS, arrived.user))


async def test_of_many_at_once_one_assigns(arrived: Desk, finance: Pool) -> None:
    others = [await arrived.another_user() for _ in range(3)]
    results = await asyncio.gather(
        *(assigned(finance, decided(NAMELESS, one.user)) for one in (arrived, *others)),
        return_exceptions=True,
    )
    done = [one for one in results if isinstance(one, Assigned)]
    assert len(done) == 1
    assert all(isinstance(one, Assigned | AlreadyAssigned) for one in results)
    assert await arrived.net(accounts.SUSPENSE) == 0


async def test_the_worker_is_not_fenced_by_a_person(arrived: Desk, finance: Pool) -> None:
    worker = await store.open_writer(finance, "settlement")
    await assigned(finance, decided(NAMELESS, arrived.user))
    async with transaction(finance) as tx:
        voucher = postings.Voucher(actor="ann", event_at=Noon().now(), reason="by hand")
        moved = _out_of_suspense(arrived.user)
        (outcome,) = await store.apply(tx, worker, [postings.adjustment(voucher, "2", [moved])])
    assert outcome.code == "insufficient"  # and not fenced


async def test_as_it_is_typed(arrived: Desk) -> None:
    dsn = arrived.database.dsn
    listed = await typed("list", "--json", dsn=dsn, noun="deposits")
    assert listed.code == 0
    first, second = json.loads(listed.out)
    assert (first["reference"], first["amount_microusdc"]) == (NAMELESS, 7)
    assert first["memos"] == ["for \x1b[31mAda"]
    assert second["account"] == "quarantine"
    shown = await typed("list", dsn=dsn, noun="deposits")
    assert "for \\x1b[31mAda" in shown.out
    assert "\x1b[31m" not in shown.out
    words = ("assign", NAMELESS, "--to", arrived.user, "--actor", "ann", "--reason", "ticket 12")
    done = await typed(*words, dsn=dsn, noun="deposits")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"assigned: 0.000007 USDC to {arrived.user}, by ann")
    again = await typed(*words, "--json", dsn=dsn, noun="deposits")
    assert (again.code, json.loads(again.out)["before"]) == (0, True)
    wrong = await typed(
        *("assign", WRONG, "--to", f"{arrived.user}=1", "--actor", "a", "--reason", "b", "--json"),
        dsn=dsn,
        noun="deposits",
    )
    assert wrong.code == 1
    assert json.loads(wrong.out)["error"] == "amounts_differ"
    twice = await typed(
        *("assign", WRONG, "--to", arrived.user, "--to", arrived.user),
        *("--actor", "a", "--reason", "b"),
        dsn=dsn,
        noun="deposits",
    )
    assert twice.code == 2


async def test_nothing_waits_is_said(desk: Desk) -> None:
    answered = await typed("list", dsn=desk.database.dsn, noun="deposits")
    assert (answered.code, answered.out) == (0, "nothing waits in suspense or quarantine\n")
    async with reading(desk.pool) as conn:
        assert await conn.fetchval("select count(*) from settlement.writer where name = $1",
                                   WRITER) == 0  # fmt: skip
