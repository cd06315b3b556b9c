"""Balances against movements: what is believed, what stops, what is found, and who lifts it."""

import pytest

from indexer.checkpoint import CheckpointPace
from indexer.rescan import Effort
from settlement.chain.movement import Vault
from tests.database.indexer.checkpoints import (
    MISMATCH,
    STOPPED_TILL,
    begin,
    coded,
    is_calm,
    open_incidents,
    stop_of,
    stray,
    verdicts,
)
from tests.database.indexer.conftest import Desk
from tests.database.indexer.vaults import add, nodes
from tests.pure.transactions import (
    BOND,
    TILL,
    signature,
)


async def test_two_providers_prove_what_is_booked(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10), stray(2, slot=11))
    found[1].tip += 1  # each at its own slot
    one = begin(desk, found)
    await one.rounds()
    assert (await verdicts(desk))[0] == ("equal", 11, 2, 2)
    assert (await verdicts(desk, str(BOND)))[0] == ("equal", 11, 2, 2)
    rows = await desk.rows(
        "select provider, slot, balance, movements from settlement.checkpoint_reading"
        " join settlement.checkpoint using (checkpoint_id, slot) where address = $1"
        " order by checkpoint_id limit 1",
        str(TILL),
    )
    assert [tuple(row.values()) for row in rows] == [("lead", 11, 5, 5)]
    assert await is_calm(desk)
    assert await desk.net(desk.user) == 5


async def test_one_provider_is_marked_as_a_single_source(desk: Desk) -> None:
    await begin(desk, nodes(1, coded(1, desk, slot=10))).rounds()
    assert (await verdicts(desk))[0] == ("equal", 10, 1, 1)


async def test_nothing_above_the_first_checkpoint_is_believed_before_it_is_good(
    desk: Desk,
) -> None:
    found = nodes(1, coded(1, desk, slot=10))
    one = begin(desk, found)
    await one.round()
    assert await desk.net(desk.user) == 5  # at or below the slot that is to be compared
    add(found, coded(2, desk, slot=11))
    await one.round()
    assert (await verdicts(desk), await desk.net(desk.user)) == ([], 5)
    await one.rounds(3)
    assert (await verdicts(desk))[0][:2] == ("equal", 10)
    assert await desk.net(desk.user) == 10


async def test_deposits_do_not_wait_for_later_checkpoints(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10))
    one = begin(desk, found)
    await one.rounds()
    add(found, coded(2, desk, slot=found[0].tip))
    assert one.ceilings.of(str(TILL)) is None
    await one.round()
    assert await desk.net(desk.user) == 10


async def test_without_any_balance_nothing_is_booked(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10))
    for node in found:
        node.silent = True
    one = begin(desk, found)
    await one.rounds()
    assert await desk.nets() == {}
    assert await verdicts(desk) == [("no_data", None, 0, 2)]  # told once
    assert "could not be compared" in one.keeper.doubts[0]
    found[0].silent = False
    await one.rounds()
    assert await desk.net(desk.user) == 5  # what is to be compared is booked, and no more
    assert [line[0] for line in await verdicts(desk)] == ["no_data", "no_data"]  # for a new reason
    found[1].silent = False
    await one.rounds()
    assert (await verdicts(desk))[-1][0] == "equal"
    assert one.keeper.doubts == ()


async def test_a_quorum_of_one_is_a_decision_of_the_settings(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10))
    found[1].silent = True
    await begin(desk, found, pace=CheckpointPace(every_seconds=0, quorum=1)).rounds()
    assert (await verdicts(desk))[0] == ("equal", 10, 1, 2)


async def test_a_proof_that_is_too_old_is_none(desk: Desk) -> None:
    found = nodes(1, coded(1, desk, slot=10))
    pace = CheckpointPace(every_seconds=0, again_seconds=0, stale_seconds=0)
    one = begin(desk, found, pace=pace)
    await one.rounds()
    assert (await verdicts(desk))[0][0] == "equal"
    found[0].silent = True
    await one.rounds(3)
    add(found, coded(2, desk, slot=found[0].tip))
    await one.rounds(3)
    assert await desk.net(desk.user) == 5


async def test_what_a_listing_hid_is_found_by_another_provider(desk: Desk) -> None:
    found = nodes(3, coded(1, desk, slot=10), coded(2, desk, slot=11, amount=70))
    found[0].hidden = found[1].hidden = {signature(2)}  # of the two that list it
    one = begin(desk, found)
    for node in found:
        node.blockless = True
    seen: set[int] = set()
    while (await verdicts(desk))[-1:] != [("different", 11, 0, 3)]:
        await one.round()
    assert await desk.halts() == (f"{STOPPED_TILL}: +70 at slot 11, stop 1",)
    assert await open_incidents(desk) == [MISMATCH]
    seen.add(await desk.net(desk.user))
    await one.rounds(8)
    assert seen == {5}
    assert await desk.net(desk.user) == 75
    assert await is_calm(desk)
    rows = await desk.rows(
        "select distinct found_in, lifted_by, lift_reason from settlement.hidden_signature"
        " join settlement.crediting_stop using (stop_id)"
    )
    assert [row["found_in"] for row in rows] == ["listing of third"]
    assert rows[0]["lifted_by"] == "indexer"
    assert rows[0]["lift_reason"].startswith("it adds up again")
    closed = await desk.rows("select closed_by from indexer.incident")
    assert [row["closed_by"] for row in closed] == ["indexer"]


async def test_what_every_listing_hid_is_found_in_the_blocks(desk: Desk) -> None:
    found = nodes(1, coded(1, desk, slot=10))
    one = begin(desk, found, effort=Effort(blocks=2))
    await one.rounds()
    good = (await verdicts(desk))[-1][1]
    assert good is not None
    add(found, *(coded(number, desk, slot=good + number) for number in range(2, 9)))
    found[0].hidden = {signature(6), signature(7)}
    await one.rounds(30)
    assert await desk.net(desk.user) == 40
    assert await is_calm(desk)
    rows = await desk.rows("select distinct slot, found_in from settlement.hidden_signature")
    assert sorted(row["slot"] for row in rows) == [good + 6, good + 7]
    assert {row["found_in"] for row in rows} == {"blocks of lead"}
    assert min(found[0].blocks_read) > good - 1
    assert len(found[0].blocks_read) == len(set(found[0].blocks_read))  # each block once
    add(found, coded(9, desk, slot=found[0].tip))
    await one.rounds()
    assert await desk.net(desk.user) == 45  # the listing that goes on hiding it is used again


async def test_while_it_is_stopped_nothing_above_is_credited_and_nothing_is_lost(
    desk: Desk,
) -> None:
    found = nodes(1, coded(1, desk, slot=10))
    one = begin(desk, found)
    await one.rounds()
    found[0].lies = {Vault.TILL: -1}
    await one.rounds()
    assert await stop_of(desk) is not None
    slot = found[0].tip
    add(found, coded(2, desk, slot=slot), stray(3, slot=slot), coded(4, desk, slot=slot + 1))
    now = await one.rounds()
    assert await desk.nets() == {"chain:till": -5, desk.user: 5, "suspense": 7, "chain:bond": -7}
    assert now.standing.wanted == 2
    assert now.frontiers[str(TILL)] < slot <= now.frontiers[str(BOND)]
    asked = len([what for what in found[0].asked if what == f"transaction {signature(2)}"])
    await one.rounds()
    again = len([what for what in found[0].asked if what == f"transaction {signature(2)}"])
    assert asked == again == 1  # tried once, and not fetched in every round
    found[0].lies = {}
    await one.rounds(8)
    assert await desk.net(desk.user) == 15
    assert await is_calm(desk)


@pytest.mark.parametrize("lie", [-1, 1, 10**12])
async def test_a_balance_that_is_off_is_a_mismatch_and_ends_with_the_lie(
    desk: Desk, lie: int
) -> None:
    found = nodes(2, coded(1, desk, slot=10))
    for node in found:
        node.lies = {Vault.TILL: lie}
    one = begin(desk, found)
    await one.rounds(10)
    stop = await stop_of(desk)
    assert stop is not None
    assert (stop.difference_microusdc, stop.above_slot) == (lie, -1)
    assert len(await desk.halts()) == 1
    value = one.meters.registry.get_sample_value("indexer_crediting_stopped", {"vault": "till"})
    assert value == 1
    for node in found:
        node.lies = {}
    await one.rounds(8)
    assert await is_calm(desk)
    assert one.meters.registry.get_sample_value("indexer_crediting_stopped", {"vault": "till"}) == 0


async def test_one_of_two_that_lies_is_reported_and_not_obeyed(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10))
    found[0].lies = {Vault.TILL: -3}
    one = begin(desk, found)
    await one.rounds()
    add(found, coded(2, desk, slot=found[0].tip))
    await one.rounds(12)
    assert (await verdicts(desk))[0] == ("equal", 10, 1, 2)
    assert await stop_of(desk) is None
    assert await desk.halts() == ()
    assert await open_incidents(desk) == ["a provider's balance is not that of the others"]
    dissents = one.meters.registry.get_sample_value(
        "indexer_provider_dissents_total", {"provider": "lead"}
    )
    assert dissents is not None
    assert dissents >= 2
    assert await desk.net(desk.user) == 10


async def test_two_of_three_outvote_the_books(desk: Desk) -> None:
    found = nodes(3, coded(1, desk, slot=10))
    found[1].lies = found[2].lies = {Vault.TILL: 2}
    await begin(desk, found).rounds()
    assert await stop_of(desk) is not None
