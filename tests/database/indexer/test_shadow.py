"""What is confirmed is shown as arriving, ends as final or gone, and is never money."""

import random
from contextlib import suppress
from itertools import count

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from indexer.metrics import Meters
from indexer.providers import Provider, Providers
from indexer.shadow import Shadow, ShadowPace
from settlement import arrivals
from settlement.arrivals import SeenDeposit
from settlement.chain.movement import MovementKey, Vault
from settlement.chain.rpc import RpcUnavailable
from settlement.db.pool import Pool, reading, transaction
from settlement.deposits import UserCode
from settlement.ledger.store import open_writer
from settlement.money import MicroUsdc, Slot
from tests.database.indexer.conftest import Desk
from tests.database.indexer.forking import ForkingNode
from tests.database.indexer.mortal import Crash, Life, mortal_pool
from tests.database.indexer.node import FakeNode, follower
from tests.database.indexer.story import AMOUNT, Story
from tests.pure.transactions import (
    ALICE_ATA,
    TILL,
    WATCH,
    Answer,
    answer,
    deposit,
    memo,
    signature,
    transfer,
)

_examples = count(1)


def coded(number: int, desk: Desk, *, slot: int, amount: int = 5, failed: bool = False) -> Answer:
    made = answer(deposit(desk.user_code, amount), till=0 if failed else amount, failed=failed)
    made.signature, made.slot = signature(number), slot
    return made


def shadow(node: FakeNode, pool: Pool, pace: ShadowPace | None = None) -> Shadow:
    providers = Providers([Provider(name="one", rpc=node)])
    return Shadow(
        providers=providers,
        pool=pool,
        watch=WATCH,
        meters=Meters(),
        pace=pace,
        verify_signatures=False,  # nobody has signed what is made by hand
    )


async def arriving(desk: Desk) -> list[tuple[int, int]]:
    """Slot and amount of what the user sees arrive, as the coordinator reads it."""
    async with reading(desk.front) as conn:
        found = await arrivals.for_user(conn, desk.user_id)
    return [(one.slot, one.amount_microusdc) for one in found]


async def ends(desk: Desk) -> list[tuple[str, str | None]]:
    rows = await desk.rows("select state, credited_as from settlement.arrival order by slot")
    return [(row["state"], row["credited_as"]) for row in rows]


async def follow(desk: Desk, node: FakeNode, rounds: int = 3) -> None:
    """Rounds until everything final is booked and the frontiers stand at the tip before."""
    one = follower(node, desk.pool, desk.writer)
    for _ in range(rounds):
        await one.round()
        node.tip += 1


async def test_a_confirmed_deposit_arrives_and_becomes_final(desk: Desk) -> None:
    node = ForkingNode()
    await follow(desk, node)
    node.confirm(coded(1, desk, slot=20, amount=7))
    one = shadow(node, desk.pool)
    await one.look()
    assert await arriving(desk) == [(20, 7)]
    assert await desk.nets() == {}  # it is no money yet
    node.finalize(20)
    await follow(desk, node)
    assert await arriving(desk) == []  # the books have it, whether or not we looked again
    await one.look()
    assert await ends(desk) == [("final", "deposit_credited")]
    assert await desk.net(desk.user) == 7
    key = MovementKey(cluster=WATCH.cluster, signature=signature(1), outer=0, inner=0)
    again = SeenDeposit(
        key=key,
        vault=Vault.TILL,
        amount_microusdc=MicroUsdc(7),
        owner=UserCode(user_id=desk.user_id),
    )
    async with transaction(desk.pool) as tx:
        await arrivals.see(tx, Slot(99), [again])
        await arrivals.move(tx, WATCH.cluster, signature(1), Slot(98))
    assert await ends(desk) == [("final", "deposit_credited")]  # final for ever


async def test_whose_it_is_follows_the_code(desk: Desk) -> None:
    node = ForkingNode()
    story = Story(desk, desk.wallet.pubkey())
    bond = answer(story.opening(), bond=AMOUNT, slot=21, signature=signature(1))
    plain = transfer(ALICE_ATA, TILL, 4)
    named = answer(plain, memo(desk.user_code.hex()), till=4, slot=22, signature=signature(2))
    nobody = answer(plain, till=4, slot=23, signature=signature(3))
    pending = answer(deposit(desk.bond_code, 9), till=9, slot=24, signature=signature(4))
    unknown = answer(deposit(b"unknown!", 8), till=8, slot=25, signature=signature(5))
    stranger = answer(
        Story(desk, ALICE_ATA).opening(), bond=AMOUNT, slot=26, signature=signature(6)
    )
    node.confirm(bond, named, nobody, pending, unknown, stranger)
    await shadow(node, desk.pool).look()
    assert await arriving(desk) == [(22, 4)]
    async with reading(desk.front) as conn:
        theirs = await arrivals.for_provider(conn, desk.provider_id)
    assert [(one.slot, one.vault) for one in theirs] == [(21, Vault.BOND), (24, Vault.TILL)]
    rows = await desk.rows(
        "select slot from settlement.arrival where num_nonnulls(user_id, provider_id) = 0"
    )
    assert sorted(row["slot"] for row in rows) == [23, 25, 26]
    node.finalize(26)
    await follow(desk, node)
    await shadow(node, desk.pool).look()
    assert [state for state, _ in await ends(desk)] == ["final"] * 6


async def test_two_deposits_of_one_transaction_are_two_arrivals(desk: Desk) -> None:
    node = ForkingNode()
    twice = deposit(desk.user_code, 3)
    node.confirm(answer(twice, twice, till=6, slot=20, signature=signature(1)))
    await shadow(node, desk.pool).look()
    assert await arriving(desk) == [(20, 3), (20, 3)]


async def test_what_failed_or_left_or_is_no_deposit_never_shows(desk: Desk) -> None:
    node = ForkingNode()
    node.confirm(
        coded(1, desk, slot=20, failed=True),
        answer(transfer(TILL, ALICE_ATA, 3), till=-3, slot=20, signature=signature(2)),
        answer(deposit(desk.user_code, 5), till=6, slot=20, signature=signature(3)),  # quarantine
    )
    listed_as_good = coded(4, desk, slot=20)
    node.confirm(listed_as_good)
    node.confirmed[signature(4)]["meta"]["err"] = {"InstructionError": [0, "Custom"]}
    await shadow(node, desk.pool).look()
    assert await arriving(desk) == []
    assert await ends(desk) == []


async def test_hints_that_are_lost_or_repeated_change_nothing(desk: Desk) -> None:
    node = ForkingNode()
    node.confirm(coded(1, desk, slot=20))
    one = shadow(node, desk.pool)
    for _ in range(3):
        await one.look()
    assert await arriving(desk) == [(20, 5)]
    fetched = [asked for asked in node.asked if asked.startswith("transaction")]
    assert len(fetched) == 1
    await shadow(node, desk.pool).look()  # another life knows nothing of it
    assert await arriving(desk) == [(20, 5)]


async def test_what_a_fork_took_is_gone_when_its_slot_is_final_without_it(desk: Desk) -> None:
    node = ForkingNode()
    node.confirm(coded(1, desk, slot=20))
    one = shadow(node, desk.pool)
    await one.look()
    node.drop(signature(1))
    node.finalize(19)
    await follow(desk, node, rounds=1)
    await one.look()
    assert await arriving(desk) == [(20, 5)]  # nobody has looked at slot 20 twice yet
    node.finalize(20)
    await follow(desk, node, rounds=4)
    await one.look()
    assert await arriving(desk) == []
    assert await ends(desk) == [("gone", None)]


async def test_what_comes_back_in_another_slot_arrives_again_and_is_credited_once(
    desk: Desk,
) -> None:
    node = ForkingNode()
    node.confirm(coded(1, desk, slot=20))
    one = shadow(node, desk.pool)
    await one.look()
    node.move(signature(1), 22)
    await one.look()
    assert await arriving(desk) == [(22, 5)]
    node.drop(signature(1))
    node.finalize(24)
    await follow(desk, node, rounds=4)
    await one.look()
    assert await ends(desk) == [("gone", None)]
    node.confirm(coded(1, desk, slot=40))
    await one.look()
    assert await arriving(desk) == [(40, 5)]
    node.finalize(40)
    await follow(desk, node)
    await one.look()
    assert await ends(desk) == [("final", "deposit_credited")]
    assert await desk.net(desk.user) == 5


async def test_what_becomes_final_as_a_failure_is_gone(desk: Desk) -> None:
    node = ForkingNode()
    node.confirm(coded(1, desk, slot=20))
    one = shadow(node, desk.pool)
    await one.look()
    node.drop(signature(1))
    node.confirm(coded(1, desk, slot=21, failed=True))
    node.finalize(21)
    await follow(desk, node, rounds=1)
    await one.look()
    assert await ends(desk) == [("gone", None)]


async def test_what_is_held_is_still_arriving(desk: Desk) -> None:
    node = ForkingNode()
    node.confirm(coded(1, desk, slot=20))
    one = shadow(node, desk.pool)
    await one.look()
    node.finalize(20)
    node.missing = {signature(1)}
    await follow(desk, node, rounds=4)
    await one.look()
    assert await arriving(desk) == [(20, 5)]


async def test_a_node_that_is_away_stops_nothing(desk: Desk) -> None:
    node = ForkingNode(away=True)

    class Once:
        listening = False
        waited: list[float]

        def __init__(self) -> None:
            self.waited = []

        async def wait(self, longest_seconds: float) -> None:
            self.waited.append(longest_seconds)
            self.listening = True
            if len(self.waited) == 2:
                raise Crash

    wake = Once()
    with pytest.raises(Crash):
        await shadow(node, desk.pool).run(wake)
    assert wake.waited == [2.0, 10.0]
    with pytest.raises(RpcUnavailable):
        await shadow(node, desk.pool).look()


async def test_what_ended_long_ago_is_forgotten_and_what_arrives_is_not(desk: Desk) -> None:
    node = ForkingNode()
    node.confirm(coded(1, desk, slot=20), coded(2, desk, slot=30))
    await shadow(node, desk.pool).look()
    node.finalize(20)
    await follow(desk, node)
    await shadow(node, desk.pool, ShadowPace(kept_hours=1)).look()
    assert len(await ends(desk)) == 2
    await shadow(node, desk.pool, ShadowPace(kept_hours=0)).look()
    assert await ends(desk) == [("arriving", None)]


async def test_the_coordinator_may_only_read(desk: Desk) -> None:
    for statement in (
        "insert into settlement.arrival (cluster, reference) values ('a', 'b')",
        "update settlement.arrival set state = 'final'",
        "delete from settlement.arrival",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with transaction(desk.front) as tx:
                await tx.execute(statement)


async def test_dying_after_any_statement_loses_no_arrival_and_makes_none_up(desk: Desk) -> None:
    node = ForkingNode()
    life, deaths, number = Life(), 0, 0
    pool = await mortal_pool(desk.database.dsn, life)
    lives = 0
    while lives < 40:
        if number < 8:
            number += 1
            node.confirm(coded(number, desk, slot=20 + number))
            if number == 6:
                node.drop(signature(2))
        if lives == 12:
            node.finalize(24)
        life.left = 1 + lives % 14
        with suppress(Crash):
            await shadow(node, pool).look()
            deaths -= 1
        deaths, lives = deaths + 1, lives + 1
        if lives >= 12:
            life.left = 10**9
            writer = await open_writer(desk.pool, "indexer")
            await follower(node, desk.pool, writer).round()
            node.tip = max(node.tip, 24)
    pool.terminate()
    assert deaths > 10
    await shadow(node, desk.pool).look()
    rows = await desk.rows("select slot, state from settlement.arrival order by slot")
    states = {row["slot"]: row["state"] for row in rows}
    assert {states[slot] for slot in (21, 23, 24)} == {"final"}
    assert states.get(22) in (None, "arriving", "gone")  # whether it was seen at all is chance
    assert {states[slot] for slot in (25, 26, 27, 28)} == {"arriving"}
    assert await desk.net(desk.user) == 15


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    max_examples=15,
)
@given(seed=st.integers(0, 2**32))
async def test_whatever_forks_do_what_arrived_ends_as_the_books_have_it(
    desk: Desk, seed: int
) -> None:
    chance, newcomer = random.Random(seed), await desk.another_user()
    base = int(
        (await desk.rows("select coalesce(max(slot), 0) as s from settlement.frontier"))[0]["s"]
    )
    node, offset = ForkingNode(tip=base), next(_examples) * 1_000
    one = shadow(node, desk.pool)
    running = follower(node, desk.pool, await open_writer(desk.pool, "indexer"))
    for step in range(12):
        slot = base + 5 * (step + 1)
        node.confirm(coded(offset + step, newcomer, slot=slot, amount=1 + step))
        for name in list(node.confirmed):
            if chance.random() < 0.15:
                node.drop(name)
            elif chance.random() < 0.15:
                node.move(name, slot + chance.randint(0, 4))
        if chance.random() < 0.7:
            await one.look()
        if chance.random() < 0.6:
            node.finalize(max(node.tip, slot - chance.randint(0, 10)))
            await running.round()
    node.confirmed.clear()
    for _ in range(4):
        node.finalize(max(node.tip, base + 80) + 2)
        await running.round()
    await one.look()
    assert await arriving(newcomer) == []
    rows = await newcomer.rows(
        "select state, sum(amount) as total from settlement.arrival where user_id = $1"
        " group by state",
        newcomer.user_id,
    )
    totals = {row["state"]: int(row["total"]) for row in rows}
    assert totals.get("final", 0) <= await newcomer.net(newcomer.user)
    landed = {int(one["slot"]) for one in node.answers.values()}
    shown = await newcomer.rows(
        "select slot from settlement.arrival where user_id = $1 and state = 'final'",
        newcomer.user_id,
    )
    assert {row["slot"] for row in shown} <= landed
