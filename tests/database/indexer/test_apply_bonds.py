"""Bonds seized, handed over and taken out of their cooldown: the books follow, nothing halts."""

import pytest
from solders.keypair import Keypair

from settlement.bonds.lifecycle import Standing
from tests.database.indexer.conftest import Desk
from tests.database.indexer.story import AMOUNT, REFUSED, Story
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    transfer,
)


@pytest.fixture
def story(desk: Desk) -> Story:
    """The operator's own bond."""
    return Story(desk, desk.wallet.pubkey())


@pytest.fixture
def strangers(desk: Desk) -> Story:
    """A bond under the operator's code that a stranger posted for themselves."""
    return Story(desk, Keypair().pubkey())


@pytest.mark.parametrize("retiring", [False, True])
async def test_a_seized_bond_is_in_the_refund_pool(story: Story, retiring: bool) -> None:
    await story.post()
    if retiring:
        await story.step(story.retire())
    await story.step(story.propose(), story.contest(), story.uphold())
    await story.seize()
    assert await story.desk.nets() == {"refund-pool": AMOUNT, "chain:till": -AMOUNT}
    assert await story.standing() is Standing.SEIZED
    assert await story.seizure() is None
    await story.calm()
    rows = await story.desk.rows("select state, release_at from settlement.bond")
    assert [tuple(row) for row in rows] == [("seized", None)]


async def test_a_strangers_bond_that_is_seized_is_in_the_refund_pool_too(strangers: Story) -> None:
    await strangers.post()
    await strangers.seize()
    assert await strangers.desk.nets() == {"refund-pool": AMOUNT, "chain:till": -AMOUNT}
    assert await strangers.standing() is Standing.NONE
    await strangers.calm()


async def test_a_seized_bond_that_nobody_posted_is_owed_to_whom_it_was_before(
    story: Story,
) -> None:
    await story.see(transfer(ALICE_ATA, BOND, AMOUNT), bond=AMOUNT)
    await story.seize()
    assert await story.desk.nets() == {"suspense": AMOUNT, "chain:till": -AMOUNT}
    assert await story.desk.incidents() == [REFUSED]
    assert await story.desk.halts() == ()


async def test_what_is_seized_is_over(story: Story) -> None:
    await story.post()
    await story.seize()
    await story.see(transfer(ALICE_ATA, BOND, AMOUNT), bond=AMOUNT)
    await story.seize()
    assert await story.desk.nets() == {
        "refund-pool": AMOUNT,
        "suspense": AMOUNT,
        "chain:till": -2 * AMOUNT,
    }
    assert await story.desk.incidents() == [REFUSED]
    assert await story.desk.halts() == ()


async def test_a_bond_whose_money_was_not_read_is_seized_as_a_difference(story: Story) -> None:
    """The vaults' balances decide: what does not add up still halts, whatever it claims to be."""
    await story.post()
    await story.see(story.seizing(), bond=-AMOUNT, till=AMOUNT - 1)
    assert await story.desk.nets() == {
        story.counted: AMOUNT,
        "unexplained-out": -AMOUNT,
        "quarantine": AMOUNT - 1,
        "chain:till": 1 - AMOUNT,
    }
    assert len(await story.desk.halts()) == 1


async def test_a_cooldown_stopped_lets_the_operator_work_again(story: Story) -> None:
    await story.post()
    await story.step(story.retire())
    assert await story.standing() is Standing.RETIRING
    await story.step(story.cancel_retire())
    assert await story.standing() is Standing.POSTED
    await story.step(story.retire(), story.cancel_retire(), story.retire())
    assert await story.standing() is Standing.RETIRING
    await story.calm()


@pytest.mark.parametrize("posted", [False, True])
async def test_a_cooldown_that_nobody_started_is_told_and_halts_nothing(
    story: Story, posted: bool
) -> None:
    if posted:
        await story.post()
    await story.step(story.cancel_retire())
    assert await story.desk.incidents() == [REFUSED]
    assert await story.desk.halts() == ()


async def test_a_bond_given_away_counts_for_nobody_until_it_comes_back(story: Story) -> None:
    await story.post()
    await story.step(story.hand_over(story.first, ALICE))
    assert await story.desk.nets() == {story.uncounted: AMOUNT, "chain:bond": -AMOUNT}
    assert await story.standing() is Standing.NONE
    await story.step(story.hand_over(ALICE, story.first))
    assert await story.desk.nets() == {story.counted: AMOUNT, "chain:bond": -AMOUNT}
    assert await story.standing() is Standing.POSTED
    await story.calm()


async def test_a_bond_given_away_while_it_cools_down_goes_to_its_new_beneficiary(
    story: Story,
) -> None:
    await story.post()
    await story.step(story.retire(), story.hand_over(story.first, ALICE))
    await story.release(ALICE)
    assert await story.desk.nets() == {}
    assert await story.standing() is Standing.NONE
    await story.calm()


async def test_a_strangers_bond_given_to_the_operator_counts(strangers: Story) -> None:
    wallet = strangers.desk.wallet.pubkey()
    await strangers.post()
    await strangers.step(strangers.hand_over(strangers.first, ALICE))
    assert await strangers.desk.nets() == {strangers.uncounted: AMOUNT, "chain:bond": -AMOUNT}
    await strangers.step(strangers.hand_over(ALICE, wallet), strangers.retire())
    assert await strangers.desk.nets() == {strangers.counted: AMOUNT, "chain:bond": -AMOUNT}
    assert await strangers.standing() is Standing.RETIRING
    await strangers.seize()
    assert await strangers.desk.nets() == {"refund-pool": AMOUNT, "chain:till": -AMOUNT}
    await strangers.calm()


async def test_a_bond_handed_over_that_nobody_posted_is_told_and_halts_nothing(
    story: Story,
) -> None:
    await story.step(story.hand_over(story.first, ALICE))
    assert await story.desk.nets() == {}
    assert await story.desk.incidents() == [REFUSED]
    assert await story.desk.halts() == ()


async def test_a_hand_over_read_late_does_not_undo_a_later_one(story: Story) -> None:
    await story.post()
    late, last = (story.hand_over(story.first, ALICE), story.hand_over(ALICE, story.first))
    await story.step(last, slot=20)
    await story.step(late, slot=15)
    assert await story.desk.nets() == {story.counted: AMOUNT, "chain:bond": -AMOUNT}
    assert await story.standing() is Standing.POSTED
    rows = await story.desk.rows(
        "select b.beneficiary, count(*) as n from settlement.bond b"
        " join settlement.bond_event e using (address) where e.event = 'handed_over' group by 1"
    )
    assert [tuple(row) for row in rows] == [(str(story.first), 2)]
