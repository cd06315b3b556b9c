"""What chain events become in the books, and that refusals never hold the frontier up."""

import asyncio
from datetime import UTC, datetime

import pytest
from solders.pubkey import Pubkey

from indexer.apply import book
from indexer.attribution import events_of
from indexer.decode import decode
from indexer.doors import Booking
from indexer.terms import Terms
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.chain import program
from settlement.chain.movement import ChainMoment
from settlement.db.pool import reading
from settlement.ledger import accounts
from settlement.money import MicroUsdc, Slot
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import FakeNode, follower
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    WATCH,
    Answer,
    Call,
    answer,
    call,
    checked,
    deposit,
    memo,
    signature,
    transfer,
)

BOND_AMOUNT = 50_000_000


async def booked(desk: Desk, *made: Answer) -> None:
    """Follow a chain of these transactions to its end."""
    node = FakeNode()
    for number, one in enumerate(made):
        one.signature, one.slot = signature(number), 10 + number
    node.add(*made)
    now = await follower(node, desk.pool, desk.writer).round()
    assert now.standing.wanted == 0
    assert now.standing.unreadable == 0


def post_bond(desk: Desk, beneficiary: Pubkey | None = None) -> Answer:
    built = program.post_bond(
        DEPLOYMENT,
        depositor=ALICE,
        funder=ALICE,
        code=desk.bond_code,
        beneficiary=beneficiary or desk.wallet.pubkey(),
    )
    return answer(call(built, checked(ALICE_ATA, BOND, BOND_AMOUNT)), bond=BOND_AMOUNT)


def retire(desk: Desk) -> Answer:
    wallet = desk.wallet.pubkey()
    built = program.retire(DEPLOYMENT, signer=wallet, code=desk.bond_code, beneficiary=wallet)
    return answer(call(built))


def release(desk: Desk) -> Answer:
    wallet = desk.wallet.pubkey()
    built = program.release(DEPLOYMENT, code=desk.bond_code, beneficiary=wallet, rent_payer=ALICE)
    back = program.associated_token_address(wallet, DEPLOYMENT.mint)
    return answer(call(built, checked(BOND, back, BOND_AMOUNT)), bond=-BOND_AMOUNT)


def pay(desk: Desk, *, sequence: int = 0, amount: int = 9) -> Answer:
    built = program.pay(
        DEPLOYMENT,
        payer=ALICE,
        sequence=sequence,
        amount_microusdc=MicroUsdc(amount),
        code=desk.bond_code,
        reference=bytes(16),
        destination=ALICE_ATA,
    )
    return answer(call(built, checked(TILL, ALICE_ATA, amount)), till=-amount)


async def standing(desk: Desk) -> lifecycle.BondStanding:
    async with reading(desk.pool) as conn:
        return await lifecycle.standing(conn, desk.provider_id)


async def test_codes_memos_and_strangers(desk: Desk) -> None:
    coded = answer(deposit(desk.user_code, 25), till=25)
    by_memo = answer(transfer(ALICE_ATA, TILL, 7), memo(desk.user_code.hex()), till=7)
    bond_money = answer(deposit(desk.bond_code, 50), till=50)
    bond_memo = answer(transfer(ALICE_ATA, TILL, 3), memo(b"POD-BOND-" + desk.bond_code), till=3)
    unknown = answer(deposit(b"\0" * 8, 11), till=11)
    nameless = answer(transfer(ALICE_ATA, TILL, 13), till=13)
    stray = answer(transfer(ALICE_ATA, BOND, 17), memo(desk.user_code.hex()), bond=17)
    await booked(desk, coded, by_memo, bond_money, bond_memo, unknown, nameless, stray)
    assert await desk.nets() == {
        desk.user: 32,
        accounts.bond_pending(desk.provider_id): 53,
        "suspense": 41,
        "chain:till": -109,
        "chain:bond": -17,
    }
    assert await desk.halts() == ()
    assert await desk.incidents() == []


async def test_two_equal_deposits_in_one_transaction_are_both_credited(desk: Desk) -> None:
    one = deposit(desk.user_code, 5)
    await booked(desk, answer(one, one, till=10))
    assert await desk.net(desk.user) == 10


async def test_the_life_of_a_bond(desk: Desk) -> None:
    node = FakeNode()
    steps = [(post_bond, Standing.POSTED), (retire, Standing.RETIRING)]
    for number, (step, state) in enumerate([*steps, (release, Standing.RELEASED)], 10):
        one = step(desk)
        one.signature, one.slot = signature(number), number
        node.add(one)
        await follower(node, desk.pool, desk.writer).round()
        assert (await standing(desk)).state is state
    assert await desk.nets() == {}
    assert await desk.incidents() == []


async def test_a_strangers_bond_is_theirs(desk: Desk) -> None:
    await booked(desk, post_bond(desk, beneficiary=ALICE))
    address = DEPLOYMENT.bond(desk.bond_code, ALICE)
    assert await desk.nets() == {
        accounts.bond_unenrolled(str(address)): BOND_AMOUNT,
        "chain:bond": -BOND_AMOUNT,
    }
    assert (await standing(desk)).state is Standing.NONE


@pytest.mark.parametrize("funds", [0, 100])
async def test_a_payment_nobody_asked_for_is_booked_and_halts(desk: Desk, funds: int) -> None:
    await booked(desk, answer(deposit(desk.user_code, 100 + funds), till=100 + funds), pay(desk))
    nets = await desk.nets()
    assert nets["chain:till"] == -91 - funds
    assert nets["unexplained-out"] == -9
    assert len(await desk.halts()) == 1


async def test_an_outflow_without_a_number_is_booked_and_halts(desk: Desk) -> None:
    out = answer(transfer(TILL, ALICE_ATA, 9), till=-9)
    await booked(desk, answer(deposit(desk.user_code, 20), till=20), out)
    assert await desk.nets() == {desk.user: 20, "chain:till": -11, "unexplained-out": -9}
    assert await desk.incidents() == ["unexplained outflow"]
    assert "unexplained outflow" in (await desk.halts())[0]


async def test_the_first_movement_may_leave_more_than_ever_came(desk: Desk) -> None:
    await booked(desk, answer(transfer(TILL, ALICE_ATA, 9), till=-9))
    assert await desk.nets() == {"chain:till": 9, "unexplained-out": -9}


async def test_what_does_not_add_up_is_quarantined_and_nobody_is_credited(desk: Desk) -> None:
    await booked(desk, answer(deposit(desk.user_code, 5), till=8))
    assert await desk.nets() == {"quarantine": 8, "chain:till": -8}
    assert await desk.incidents() == [
        "movements do not add up",
        "unknown instruction of our program",
    ]
    assert await desk.halts() == ()


async def test_a_difference_outward_is_booked_and_halts(desk: Desk) -> None:
    await booked(desk, answer(till=-8))
    nets = await desk.nets()
    assert nets["chain:till"] == 8
    assert nets["unexplained-out"] == -8
    assert len(await desk.halts()) == 1
    assert await desk.incidents() == ["movements do not add up"]


async def test_amounts_beyond_the_books_are_told_and_hold_nothing_up(desk: Desk) -> None:
    huge = Answer(
        calls=[deposit(desk.user_code, 2**63)],
        balances=[(TILL, DEPLOYMENT.mint, 0, 2**63)],
    )
    await booked(desk, huge, answer(deposit(desk.user_code, 5), till=5))
    assert await desk.net(desk.user) == 5
    assert "an amount the books cannot hold" in await desk.incidents()
    assert len(await desk.halts()) == 1
    rows = await desk.rows("select amount from indexer.movement order by amount desc")
    assert int(rows[0]["amount"]) == 2**63


async def test_a_turnover_the_books_cannot_hold_is_told_and_holds_nothing_up(desk: Desk) -> None:
    largest = 2**63 - 1
    one, two = (
        Answer(
            calls=[deposit(desk.user_code, largest)],
            balances=[(TILL, DEPLOYMENT.mint, 0, largest)],
        )
        for _ in range(2)
    )
    await booked(desk, one, two)
    assert await desk.net(desk.user) == largest
    assert await desk.incidents() == ["an amount the books cannot hold"]
    assert await desk.halts() == ()  # money that arrives never stops us


async def test_a_bond_released_that_nobody_posted_is_unexplained(desk: Desk) -> None:
    await booked(desk, release(desk), answer(deposit(desk.user_code, 5), till=5))
    assert await desk.nets() == {
        "chain:bond": BOND_AMOUNT,
        "unexplained-out": -BOND_AMOUNT,
        desk.user: 5,
        "chain:till": -5,
    }
    assert await desk.incidents() == ["the books refused an event"]
    assert "BondUnknown" in (await desk.halts())[0]
    rows = await desk.rows("select kind, booked_as from indexer.event order by kind")
    assert [tuple(row) for row in rows] == [("bond_released", "unexplained"), ("deposit", "itself")]


async def test_a_bond_retired_that_nobody_posted_is_told(desk: Desk) -> None:
    await booked(desk, retire(desk))
    assert await desk.nets() == {}
    assert await desk.incidents() == ["the books refused an event"]


async def test_one_refused_event_does_not_take_the_others_with_it(desk: Desk) -> None:
    wallet = desk.wallet.pubkey()
    back = program.associated_token_address(wallet, DEPLOYMENT.mint)
    release_call = call(
        program.release(DEPLOYMENT, code=desk.bond_code, beneficiary=wallet, rent_payer=ALICE),
        checked(BOND, back, 50),
    )
    await booked(desk, answer(deposit(desk.user_code, 5), release_call, till=5, bond=-50))
    assert await desk.net(desk.user) == 5
    assert await desk.net(accounts.UNEXPLAINED_OUT) == -50


async def test_numbers_skipped_that_nobody_gave_out_are_remembered(desk: Desk) -> None:
    await booked(desk, answer(call(program.skip(DEPLOYMENT, signer=ALICE, first=0, mask=0b101))))
    rows = await desk.rows("select sequence, how from settlement.payout_number_gone order by 1")
    assert [tuple(row) for row in rows] == [(0, "skipped"), (2, "skipped")]


def fund_bond(desk: Desk, *, sequence: int) -> Answer:
    built = program.fund_bond(
        DEPLOYMENT,
        payer=ALICE,
        funder=ALICE,
        sequence=sequence,
        code=desk.bond_code,
        beneficiary=desk.wallet.pubkey(),
    )
    return answer(call(built, checked(TILL, BOND, 50)), till=-50, bond=50)


async def test_a_bond_paid_from_the_till_that_nobody_asked_for(desk: Desk) -> None:
    await booked(desk, answer(deposit(desk.bond_code, 50), till=50), fund_bond(desk, sequence=0))
    assert await desk.nets() == {accounts.bond(desk.provider_id): 50, "chain:bond": -50}
    assert (await standing(desk)).state is Standing.POSTED
    assert len(await desk.halts()) == 1


async def test_a_bond_opened_twice_is_unexplained_on_both_sides(desk: Desk) -> None:
    money = answer(deposit(desk.bond_code, 100), till=100)
    await booked(desk, money, fund_bond(desk, sequence=0), fund_bond(desk, sequence=1))
    assert await desk.nets() == {
        accounts.bond_pending(desk.provider_id): 50,
        accounts.bond(desk.provider_id): 50,
        "suspense": 50,
        "unexplained-out": -50,
        "chain:bond": -100,
    }
    assert await desk.incidents() == ["the books refused an event"]


async def test_money_between_our_vaults_that_nobody_explains_keeps_both_right(desk: Desk) -> None:
    seize = Call(DEPLOYMENT.program_id, [], b"seizures", [checked(BOND, TILL, 50)])
    await booked(
        desk, answer(transfer(ALICE_ATA, BOND, 60), bond=60), answer(seize, bond=-50, till=50)
    )
    assert await desk.nets() == {
        "suspense": 110,
        "unexplained-out": -50,
        "chain:bond": -10,
        "chain:till": -50,
    }


async def test_a_transaction_is_booked_by_one_of_two_who_try(desk: Desk) -> None:
    one = answer(deposit(desk.user_code, 5), till=5)
    node = FakeNode(missing={one.signature})
    node.add(one)
    await follower(node, desk.pool, desk.writer).round()  # discovered, not booked
    read = decode(one.json(), signature=one.signature, watch=WATCH)
    booking = Booking(
        cluster=WATCH.cluster,
        transaction=read,
        events=events_of(read, WATCH),
        terms={},
        answer=one.json(),
    )
    found = await asyncio.gather(*(book(desk.pool, desk.writer, booking) for _ in range(2)))
    assert sorted(len(events) for events in found) == [0, 1]
    assert await book(desk.pool, desk.writer, booking) == ()
    assert await desk.net(desk.user) == 5


def test_when_a_bond_may_be_released() -> None:
    retired = ChainMoment(slot=Slot(1), block_time=datetime(2026, 1, 1, tzinfo=UTC))
    told = Terms(release_at_unix=1_790_000_000, cooldown_seconds=5)
    assert told.released_from(retired) == datetime.fromtimestamp(1_790_000_000, UTC)
    later = Terms(cooldown_seconds=86_400).released_from(retired)
    assert later == datetime(2026, 1, 2, tzinfo=UTC)
