"""Rounds over a hand-made node: discovery, order, what is held back, and the frontier."""

import pytest
from solders.pubkey import Pubkey

from indexer import store
from indexer.follow import Follower
from indexer.source import HistoryUnclear
from settlement.chain.answers import Commitment, SignatureInfo
from settlement.chain.rpc import RpcRefused, RpcUnavailable
from settlement.db.pool import reading, transaction
from settlement.ledger import accounts
from settlement.ledger.store import WriterFenced
from settlement.money import Slot
from settlement.reconcile import frontier
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import WATCHED, FakeNode, claim, follower
from tests.pure.transactions import (
    ALICE_ATA,
    DEPLOYMENT,
    TILL,
    WATCH,
    Answer,
    answer,
    deposit,
    signature,
    transfer,
)


def coded(number: int, desk: Desk, *, slot: int, amount: int = 5) -> Answer:
    """A coded deposit of the desk's user."""
    return answer(
        deposit(desk.user_code, amount), till=amount, slot=slot, signature=signature(number)
    )


def stray(number: int, *, slot: int, amount: int = 5) -> Answer:
    """A plain transfer into the till: it mentions the till only."""
    moved = transfer(ALICE_ATA, TILL, amount)
    return answer(moved, till=amount, slot=slot, signature=signature(number))


def life(desk: Desk, node: FakeNode) -> Follower:
    return follower(node, desk.pool, desk.writer)


async def reached(desk: Desk) -> dict[str, int]:
    async with reading(desk.pool) as conn:
        found = await frontier.read(conn, WATCH.cluster)
    return {one.purpose: found[str(one.address)] for one in WATCHED if str(one.address) in found}


async def test_every_signature_is_kept_and_every_deposit_credited(desk: Desk) -> None:
    node = FakeNode(page=2)
    node.add(*(coded(number, desk, slot=10 + number // 2) for number in range(7)))
    node.add(answer(deposit(desk.user_code, 9), failed=True, slot=14, signature=signature(99)))
    now = await life(desk, node).round()
    assert await desk.net(desk.user) == 35
    assert await desk.states() == {"booked": 7, "failed": 1}
    assert (now.slot, now.standing.wanted) == (14, 0)
    assert f"transaction {signature(99)}" not in node.asked


async def test_rounds_again_change_nothing(desk: Desk) -> None:
    node = FakeNode(page=2)
    node.add(*(coded(number, desk, slot=10) for number in range(3)))
    for _ in range(3):
        await life(desk, node).round()
    assert await desk.net(desk.user) == 15
    assert len([asked for asked in node.asked if asked.startswith("transaction")]) == 3


async def test_a_frontier_needs_two_looks_some_slots_apart(desk: Desk) -> None:
    node = FakeNode()
    node.add(coded(1, desk, slot=10))
    one = life(desk, node)
    await one.round()
    await one.round()
    assert await reached(desk) == {}
    node.tip = 11
    await one.round()
    assert set((await reached(desk)).values()) == {10}
    node.tip = 30
    await one.round()
    assert set((await reached(desk)).values()) == {11}
    assert (await one.round()).behind_slots == 19


async def test_the_frontier_stops_below_what_is_not_there_yet(desk: Desk) -> None:
    node = FakeNode()
    node.add(stray(1, slot=10), coded(2, desk, slot=12), stray(3, slot=13))
    node.missing = {signature(2)}
    one = life(desk, node)
    await one.round()
    node.tip = 20
    await one.round()
    assert await reached(desk) == {
        "till_vault": 11,
        "program": 11,
        "bond_vault": 13,
        "payouts": 13,
        "fee_payer": 13,
    }
    assert await desk.nets() == {"suspense": 5, "chain:till": -5}  # what came later waits its turn
    node.missing = set()
    node.tip = 21
    now = await one.round()
    assert await desk.net(desk.user) == 5
    assert await desk.net(accounts.SUSPENSE) == 10
    assert now.frontier == 20


async def test_other_addresses_go_on(desk: Desk) -> None:
    node = FakeNode()
    bond = transfer(ALICE_ATA, DEPLOYMENT.bond_vault, 7)
    node.add(stray(1, slot=10), answer(bond, bond=7, slot=11, signature=signature(2)))
    node.missing = {signature(1)}
    await life(desk, node).round()
    assert await desk.nets() == {"suspense": 7, "chain:bond": -7}


@pytest.mark.parametrize("how", ["version", "inner", "refused"])
async def test_what_cannot_be_read_stops_its_accounts_until_it_can(desk: Desk, how: str) -> None:
    node = FakeNode()
    node.add(coded(1, desk, slot=10), coded(2, desk, slot=11))
    right = node.answers[signature(1)]
    if how == "refused":
        node.refused = {signature(1): -32015}
    elif how == "version":
        node.answers[signature(1)] = right | {"version": 7}
    else:
        node.answers[signature(1)] = right | {"meta": right["meta"] | {"innerInstructions": None}}
    one = life(desk, node)
    await one.round()
    now = await one.round()
    assert now.standing.unreadable == 1
    assert await desk.nets() == {}
    assert await desk.incidents() == ["unreadable transaction"]
    node.answers[signature(1)] = right
    node.refused = {}
    now = await one.round()
    assert (now.standing.unreadable, now.standing.wanted) == (0, 0)
    assert await desk.net(desk.user) == 10


async def test_a_node_that_refuses_for_another_reason_proves_nothing(desk: Desk) -> None:
    node = FakeNode()
    node.add(coded(1, desk, slot=10))
    node.refused = {signature(1): -32011}
    with pytest.raises(RpcRefused):
        await life(desk, node).round()
    assert await desk.states() == {"wanted": 1}


async def test_a_node_that_is_away_and_comes_back(desk: Desk) -> None:
    node = FakeNode()
    node.add(coded(1, desk, slot=10))
    one = life(desk, node)
    node.away = True
    with pytest.raises(RpcUnavailable):
        await one.round()
    node.away = False
    await one.round()
    assert await desk.net(desk.user) == 5


async def test_a_cursor_nobody_remembers_is_not_the_end_of_history(desk: Desk) -> None:
    node = FakeNode(page=2)
    node.add(*(coded(number, desk, slot=10) for number in range(5)))
    await life(desk, node).round()
    node.add(*(coded(number, desk, slot=11) for number in range(5, 8)))
    node.forgets_cursors = True
    with pytest.raises(HistoryUnclear, match="lost signatures"):
        await life(desk, node).round()
    node.forgets_cursors = False
    await life(desk, node).round()
    assert await desk.net(desk.user) == 40


async def test_a_history_that_lost_a_signature_moves_no_frontier(desk: Desk) -> None:
    node = FakeNode()
    node.add(coded(1, desk, slot=10), coded(2, desk, slot=11))
    one = life(desk, node)
    await one.round()
    node.hidden = {signature(2)}
    node.tip = 12
    with pytest.raises(HistoryUnclear):
        await one.round()
    assert await reached(desk) == {}


async def test_a_signature_that_shows_up_late_is_found_in_the_overlap(desk: Desk) -> None:
    node = FakeNode()
    node.add(coded(1, desk, slot=10), coded(2, desk, slot=11))
    node.hidden = {signature(1)}
    one = life(desk, node)
    await one.round()
    assert await desk.net(desk.user) == 5
    node.hidden = set()
    node.tip = 13
    await one.round()
    assert await desk.net(desk.user) == 10


async def test_a_signature_that_shows_up_below_the_frontier_is_found_in_the_overlap(
    desk: Desk,
) -> None:
    node = FakeNode()
    node.add(coded(1, desk, slot=10), coded(2, desk, slot=11))
    node.hidden = {signature(1)}
    one = life(desk, node)
    for node.tip in (11, 12, 13):
        await one.round()
    assert set((await reached(desk)).values()) == {12}
    node.hidden = set()
    await one.round()
    assert await desk.net(desk.user) == 10


async def test_a_listing_in_the_wrong_order_is_not_believed(desk: Desk) -> None:
    node = FakeNode(shuffled=True)
    node.add(coded(1, desk, slot=10), coded(2, desk, slot=11))
    with pytest.raises(HistoryUnclear, match="newest first"):
        await life(desk, node).round()
    assert await desk.states() == {}


async def test_a_listing_that_repeats_itself_ends(desk: Desk) -> None:
    class Repeating(FakeNode):
        async def signatures_for(
            self,
            address: Pubkey,
            *,
            before: str | None = None,
            min_context_slot: Slot | None = None,
            limit: int = 1_000,
            commitment: Commitment = Commitment.FINALIZED,
        ) -> tuple[SignatureInfo, ...]:
            return await super().signatures_for(address, min_context_slot=min_context_slot)

    node = Repeating()
    node.add(coded(1, desk, slot=10))
    with pytest.raises(HistoryUnclear, match="twice"):
        await life(desk, node).round()


async def test_names_that_are_no_signatures_are_not_stored(desk: Desk) -> None:
    node = FakeNode()
    made = coded(1, desk, slot=10)
    made.signature = "tooshort"
    node.add(made)
    with pytest.raises(HistoryUnclear, match="no signature"):
        await life(desk, node).round()


async def test_a_lagging_node_is_an_error_not_an_omission(desk: Desk) -> None:
    class Lagging(FakeNode):
        async def slot(self) -> Slot:
            return Slot(self.tip + 5)

    node = Lagging()
    node.add(coded(1, desk, slot=10))
    with pytest.raises(RpcUnavailable):
        await life(desk, node).round()


async def test_an_older_life_cannot_book_any_more(desk: Desk) -> None:
    node = FakeNode()
    old = life(desk, node)
    await claim(desk.pool)
    node.add(coded(1, desk, slot=10))
    with pytest.raises(WriterFenced):
        await old.round()
    assert await desk.nets() == {}
    assert await desk.states() == {"wanted": 1}


async def test_a_database_belongs_to_one_chain(desk: Desk) -> None:
    async with transaction(desk.pool) as tx:
        with pytest.raises(store.WrongCluster):
            await store.claim_cluster(
                tx,
                WATCH.cluster,
                genesis_hash="another",
                program_id=DEPLOYMENT.program_id,
                mint=DEPLOYMENT.mint,
            )


async def test_transactions_of_one_slot_are_booked_in_the_order_of_the_programs_listing(
    desk: Desk,
) -> None:
    node = FakeNode(page=2)
    numbers = [3, 1, 4, 15, 9, 2, 6]
    node.add(*(coded(number, desk, slot=10, amount=number) for number in numbers))
    await life(desk, node).round()
    rows = await desk.rows(
        "select x.external_ref, t.amount from settlement.txn x"
        " join settlement.transfer t using (txn_id) order by x.batch_seq, x.ord"
    )
    assert [row["amount"] for row in rows] == numbers
