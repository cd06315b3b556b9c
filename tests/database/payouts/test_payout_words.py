"""`pod payouts …` as it is typed, against a real database."""

import json

import pytest

from settlement.db.pool import transaction
from settlement.payouts.halt import halt, halted
from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.world import USDC, World
from tests.database.words import Answer, typed

# Each word is a process of its own, and a busy machine starts few at once.
pytestmark = pytest.mark.timeout(300)
UNKNOWN = "01900000-0000-7000-8000-000000000000"


async def said(world: World, *words: str, code: int = 0) -> Answer:
    answer = await typed(*words, dsn=world.dsn, noun="payouts")
    assert answer.code == code, answer
    return answer


async def test_a_large_one_from_the_queue_to_its_wallet(world: World) -> None:
    assert "no payout waits" in (await said(world, "list", "--waiting")).out
    operator = await world.operator(earned=9_000 * USDC)
    await world.enrolled_before(operator.provider_id, 1)
    asked = await world.withdraw(operator, 6_000 * USDC)
    wanted = str(asked.withdrawal_id)
    table = (await said(world, "list", "--waiting")).out
    assert wanted in table
    assert "2 more to approve" in table
    first = json.loads((await said(world, "approve", wanted, "--actor", "ann", "--json")).out)
    assert (first["approvals"], first["needed"], first["goes_on"]) == (1, 2, False)
    again = await said(world, "approve", wanted, "--actor", "ANN", code=1)
    assert "approved this payout before" in again.err
    assert "it goes on" in (await said(world, "approve", wanted, "--actor", "bob")).out
    await said(world, "approve", wanted, "--actor", "eve", code=1)
    assert (await world.finish(asked.withdrawal_id)).status is WithdrawalStatus.FINAL
    assert json.loads((await said(world, "list", "--json")).out) == []
    (row,) = json.loads((await said(world, "list", "--all", "--json")).out)
    assert (row["payout_id"], row["state"]) == (wanted, "paid")
    told = json.loads((await said(world, "show", wanted, "--json")).out)
    assert [each["approved_by"] for each in told["approvals"]] == ["ann", "bob"]
    assert told["messages"][0]["signature"]
    shown = (await said(world, "show", wanted)).out
    assert "approved by bob" in shown


async def test_refusing_and_giving_up(world: World) -> None:
    operator = await world.operator()
    early, late = [await world.withdraw(operator, 10 * USDC) for _ in range(2)]
    words = ("--actor", "ann", "--reason", "not theirs")
    await said(world, "burn", str(early.withdrawal_id), "--reason", "x", code=1)
    assert (
        "the money is back" in (await said(world, "refuse", str(early.withdrawal_id), *words)).out
    )
    await world.number()
    refused = await said(world, "refuse", str(late.withdrawal_id), *words, "--json", code=1)
    assert json.loads(refused.out)["error"] == "number_given"
    await said(world, "burn", str(late.withdrawal_id), "--reason", "asked for", "--json")
    assert (await world.finish(late.withdrawal_id)).status is WithdrawalStatus.FAILED
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 0)


async def test_halts_are_shown_and_lifted(world: World) -> None:
    assert "not halted" in (await said(world, "halts")).out
    async with transaction(world.worker) as tx:
        await halt(tx, "unexpected_payment", "#7")
    assert "unexpected_payment: #7" in (await said(world, "halts")).out
    (row,) = json.loads((await said(world, "halts", "--json")).out)
    assert row["reason"] == "unexpected_payment"
    await said(world, "resume", "--actor", " ", code=1)
    assert "unexpected_payment" in (await said(world, "resume", "--actor", "ann")).out
    async with transaction(world.worker) as tx:
        assert await halted(tx) == ()
    assert json.loads((await said(world, "resume", "--actor", "ann", "--json")).out)["lifted"] == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "x"), 2),
        (("approve", "x", "--actor", "ann"), 2),
        (("refuse", "x", "--actor", "ann", "--reason", "r"), 2),
        (("burn", "x", "--reason", "r"), 2),
        (("list", "--waiting", "--all"), 2),
        (("approve", UNKNOWN), 2),
        (("refuse", UNKNOWN, "--actor", "ann"), 2),
        (("show", UNKNOWN), 1),
        (("approve", UNKNOWN, "--actor", "ann"), 1),
        (("approve", UNKNOWN, "--actor", " "), 1),
        (("refuse", UNKNOWN, "--actor", "ann", "--reason", "r"), 1),
        (("burn", UNKNOWN, "--reason", "r"), 1),
    ],
)
async def test_bad_input(world: World, words: tuple[str, ...], code: int) -> None:
    answer = await said(world, *words, code=code)
    assert answer.err
    assert "Traceback" not in answer.err
