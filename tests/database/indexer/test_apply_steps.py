"""Steps of a seizure, sweeps, strays and rulings: kept, told right, stopping nothing."""

import asyncio
from datetime import UTC, datetime

import pytest
from solders.pubkey import Pubkey

from indexer.apply import book
from indexer.attribution import events_of
from indexer.decode import decode
from indexer.doors import Booking
from settlement.bonds.lifecycle import Standing
from settlement.bonds.rules import Seizure, SeizureState, SeizureTimes
from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.ledger import accounts
from settlement.money import MicroUsdc
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import follower
from tests.database.indexer.story import (
    AMOUNT,
    EVIDENCE,
    FIRST_SLOT,
    REFUSED,
    REPLY,
    TIMES,
    Story,
    executed,
)
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BLOCK_TIME,
    BOND,
    DEPLOYMENT,
    TILL,
    WATCH,
    Call,
    answer,
    checked,
    deposit,
    key,
    memo,
    signature,
    transfer,
)


@pytest.fixture
def story(desk: Desk) -> Story:
    """The operator's own bond."""
    return Story(desk, desk.wallet.pubkey())


async def test_the_times_of_a_seizure_are_read_from_the_bonds_account(story: Story) -> None:
    await story.post()
    story.account(program.SeizureState.PROPOSED)
    await story.step(story.propose())
    execute_after, decide_by, dies_at = (datetime.fromtimestamp(one, UTC) for one in TIMES)
    proposed = Seizure(
        state=SeizureState.PROPOSED,
        proposed_at=datetime.fromtimestamp(BLOCK_TIME + FIRST_SLOT + 1, UTC),
        evidence_hash=EVIDENCE,
        reason=7,
        times=SeizureTimes(execute_after=execute_after, decide_by=decide_by, dies_at=dies_at),
    )
    assert await story.seizure() == proposed
    assert await story.standing() is Standing.POSTED
    await story.step(story.contest())
    await story.step(story.uphold())
    found = await story.seizure()
    assert found is not None
    assert (found.state, found.reply_hash) == (SeizureState.UPHELD, REPLY)
    assert found.times == proposed.times
    await story.step(story.lapse())
    assert await story.seizure() is None
    await story.calm()


async def test_a_seizure_whose_account_has_gone_on_has_no_times(story: Story) -> None:
    await story.post()
    story.account(program.SeizureState.NONE)
    await story.step(story.propose())
    found = await story.seizure()
    assert found is not None
    assert (found.state, found.times) == (SeizureState.PROPOSED, None)


async def test_steps_lead_to_the_same_seizure_in_whatever_order_they_are_read(
    story: Story,
) -> None:
    await story.step(story.contest(), slot=22)  # of a bond nobody has read of yet
    await story.step(story.propose(), slot=21)
    assert await story.seizure() is None
    await story.post()
    found = await story.seizure()
    assert found is not None
    assert (found.state, found.evidence_hash, found.reply_hash) == (
        SeizureState.CONTESTED,
        EVIDENCE,
        REPLY,
    )
    await story.step(story.propose(b"f" * 32), slot=30)
    await story.step(story.lapse(), slot=29)
    found = await story.seizure()
    assert found is not None
    assert (found.state, found.evidence_hash, found.reply_hash) == (
        SeizureState.PROPOSED,
        b"f" * 32,
        None,
    )
    await story.calm()


async def test_a_surplus_swept_is_still_in_suspense(story: Story) -> None:
    await story.post()
    await story.see(transfer(ALICE_ATA, BOND, 7), bond=7)
    sweep = executed(program.SweepSurplus(), checked(BOND, TILL, 7))
    await story.see(sweep, bond=-7, till=7)
    assert await story.desk.nets() == {
        story.counted: AMOUNT,
        "suspense": 7,
        "chain:bond": -AMOUNT,
        "chain:till": -7,
    }
    await story.calm()


def recover(*children: Call, mint: Pubkey, destination: Pubkey) -> Call:
    built = program.RecoverStray(
        admin=ALICE,
        authority=DEPLOYMENT.till_authority,
        stray=key("stray"),
        destination=destination,
        stray_mint=mint,
    )
    return executed(built, *children)


async def test_a_stray_recovered_is_in_suspense_whatever_the_memo(story: Story) -> None:
    found = recover(checked(key("stray"), TILL, 5), mint=DEPLOYMENT.mint, destination=TILL)
    await story.see(found, memo(story.desk.user_code.hex()), till=5)
    await story.see(recover(mint=key("another"), destination=key("theirs")))
    assert await story.desk.nets() == {"suspense": 5, "chain:till": -5}
    (moved,) = await story.desk.rows("select kind, meta from settlement.txn")
    assert tuple(moved) == ("deposit_suspended", f'{{"source": "{key("stray")}"}}')
    rows = await story.desk.rows("select kind, facts->>'what' from indexer.event order by event_at")
    assert [tuple(row) for row in rows] == [
        ("stray_recovered", None),
        ("governed", "recover_stray"),
    ]
    await story.calm()


async def test_what_owners_do_can_be_listed_with_who_and_when(story: Story) -> None:
    await story.step(
        program.Pause(signer=ALICE, bit=program.PauseBit.SEIZURES),
        program.SetParams(admin=ALICE, parameters=program.InitialParameters(cooldown_seconds=9)),
        program.ApplyRole(),
    )
    rows = await story.desk.rows(
        "select event_at, facts->>'what' as what, facts->>'signer' as who,"
        " facts->'given'->>'bit' as bit,"
        " facts->'given'->'parameters'->>'cooldown_seconds' as cooldown"
        " from indexer.event where kind = 'governed' order by outer_index"
    )
    when = datetime.fromtimestamp(BLOCK_TIME + FIRST_SLOT, UTC)
    assert [tuple(row) for row in rows] == [
        (when, "pause", str(ALICE), "seizures", None),
        (when, "set_params", str(ALICE), None, "9"),
        (when, "apply_role", None, None, None),
    ]
    assert await story.desk.nets() == {}
    await story.calm()


async def test_two_who_try_at_once_book_it_once(story: Story) -> None:
    await story.post()
    made = answer(
        executed(story.propose()),
        executed(story.hand_over(story.first, ALICE)),
        story.seizing(),
        deposit(story.desk.user_code, 5),
        bond=-AMOUNT,
        till=AMOUNT + 5,
        slot=20,
        signature=signature(20),
    )
    story.node.missing = {made.signature}
    story.node.add(made)
    await follower(story.node, story.desk.pool, story.desk.writer).round()
    read = decode(made.json(), signature=made.signature, watch=WATCH)
    booking = Booking(
        cluster=WATCH.cluster,
        transaction=read,
        events=events_of(read, WATCH),
        terms={},
        answer=made.json(),
    )
    found = await asyncio.gather(
        *(book(story.desk.pool, story.desk.writer, booking) for _ in range(2))
    )
    assert sorted(len(events) for events in found) == [0, 4]
    assert await story.desk.nets() == {
        "refund-pool": AMOUNT,
        story.desk.user: 5,
        "chain:till": -AMOUNT - 5,
    }
    rows = await story.desk.rows("select step from settlement.seizure_step order by step_id")
    assert [row["step"] for row in rows] == ["proposed", "executed"]


async def test_one_refused_step_does_not_take_the_others_with_it(story: Story) -> None:
    await story.post()
    await story.see(
        executed(story.cancel_retire()),
        executed(story.propose()),
        deposit(story.desk.user_code, 5),
        till=5,
    )
    assert await story.desk.net(story.desk.user) == 5
    assert await story.seizure() is not None
    assert await story.desk.incidents() == [REFUSED]


async def test_the_seized_money_is_bound_to_the_vaults_by_slot(story: Story) -> None:
    """Reconcile compares at a slot: the entry stands at the slot of the seizure."""
    await story.post()
    await story.seize()
    rows = await story.desk.rows(
        "select kind, slot, external_ref like 'chain:test:%' from settlement.txn order by slot"
    )
    assert [tuple(row) for row in rows] == [
        ("bond_posted", FIRST_SLOT, True),
        ("bond_seized", FIRST_SLOT + 1, True),
    ]
    assert await story.desk.net(accounts.chain_vault(Vault.BOND)) == 0
    assert MicroUsdc(AMOUNT) == await story.desk.net(accounts.REFUND_POOL)
