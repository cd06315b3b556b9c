"""Cranks step by step: what is due, what is put off, what ends them, and what stops nobody."""

import asyncio
from datetime import timedelta

from settlement.bonds.rules import SeizureStep
from settlement.cranks.send import CrankPolicy, pause_after
from settlement.db.pool import transaction
from settlement.payouts.halt import halt
from tests.database.cranks.chain import CONTESTED
from tests.database.cranks.conftest import Bonds
from tests.database.payouts.chain import BOND_AMOUNT


async def test_a_release_from_its_day_to_its_end(bonds: Bonds) -> None:
    address = await bonds.post()
    bonds.chain.now += 9
    await bonds.round()
    assert await bonds.states() == [], "a second is missing"
    bonds.chain.now += 1
    opened = await bonds.crank()
    assert (opened.opened, opened.built, opened.sent) == (1, 1, 0)
    assert (await bonds.sign()).signed == 1
    assert await bonds.states() == [("release", "signed")]
    assert (await bonds.crank()).sent == 1
    assert await bonds.states() == [("release", "sent")]
    await bonds.crank()
    assert await bonds.states() == [("release", "sent")], "the node's word ends nothing"
    await bonds.index()
    await bonds.crank()
    (row,) = await bonds.rows()
    assert (row["state"], row["outcome_reference"]) == ("done", bonds.chain.steps[0][0].reference)
    assert bonds.received(address) == BOND_AMOUNT
    assert (await bonds.crank()).opened == 0


async def test_what_is_overdue_is_told(bonds: Bonds) -> None:
    address = await bonds.post()
    bonds.chain.set_token_account(bonds.chain.bonds[address].beneficiary, frozen=True)
    bonds.chain.now += 10 + 4_000
    found = await bonds.crank()
    assert found.longest_overdue == timedelta(seconds=4_000)
    found = await bonds.crank()
    assert found.put_off == 1
    assert sum(found.waiting.values()) == 1


async def test_what_is_not_possible_is_put_off_ever_longer(bonds: Bonds) -> None:
    frozen, other = await bonds.post(), await bonds.post()
    wallet = bonds.chain.bonds[frozen].beneficiary
    bonds.chain.set_token_account(wallet, frozen=True)
    bonds.chain.now += 10
    waits: list[timedelta] = []
    for _ in range(12):
        await bonds.crank()
        (row,) = [row for row in await bonds.rows() if row["address"] == str(frozen)]
        assert row["problem"] == "the beneficiary's USDC account is frozen by its issuer"
        waits.append(row["retry_at"] - bonds.world.clock.now())
        await bonds.crank()
        (same,) = [row for row in await bonds.rows() if row["address"] == str(frozen)]
        assert same["put_off"] == row["put_off"], "not looked at before its time"
        bonds.world.clock.at = row["retry_at"]
    assert waits[:4] == [timedelta(seconds=10 * 2**n) for n in range(4)]
    assert waits[-1] == timedelta(hours=1)
    await bonds.sign()
    await bonds.crank()
    assert bonds.received(other) == BOND_AMOUNT
    bonds.chain.set_token_account(wallet)
    bonds.world.clock.forward(timedelta(hours=1))
    await bonds.round()
    await bonds.round()
    assert bonds.received(frozen) == BOND_AMOUNT
    assert all(row["problem"] is None for row in await bonds.rows())


def test_a_pause_has_a_longest() -> None:
    policy = CrankPolicy()
    assert pause_after(10_000, policy) == policy.longest_pause


async def test_a_dead_blockhash_is_replaced(bonds: Bonds) -> None:
    address = await bonds.post()
    bonds.chain.now += 10
    bonds.chain.lose_sends = 1
    await bonds.round()
    bonds.chain.pass_blocks(200)
    await bonds.round()
    await bonds.round()
    assert bonds.received(address) == BOND_AMOUNT
    rows = await bonds.world.superuser("select attempt from settlement.crank_attempt")
    assert len(rows) == 2


async def test_what_the_node_refuses_is_not_tried_in_a_loop(bonds: Bonds) -> None:
    address = await bonds.post()
    bonds.chain.now += 10
    await bonds.crank()
    await bonds.sign()
    bonds.chain.bonds[address].state = 1  # its retirement was cancelled; not finalized yet
    await bonds.crank()
    bonds.chain.pass_blocks(200)
    await bonds.crank()
    (row,) = await bonds.rows()
    assert (row["state"], row["put_off"]) == ("waiting", 1)
    assert row["problem"] == "WrongState (6015)"
    assert row["retry_at"] > bonds.world.clock.now()


async def test_two_workers_and_two_signers_take_one_step(bonds: Bonds) -> None:
    address = await bonds.post()
    bonds.chain.now += 10
    await asyncio.gather(bonds.crank(), bonds.crank(), bonds.crank())
    done = await asyncio.gather(bonds.sign(), bonds.sign())
    assert sum(one.signed for one in done) == 1
    await asyncio.gather(bonds.crank(), bonds.crank())
    await bonds.index()
    await asyncio.gather(bonds.crank(), bonds.crank())
    assert await bonds.states() == [("release", "done")]
    assert bonds.received(address) == BOND_AMOUNT
    assert len(bonds.chain.steps) == 1


async def test_a_bond_stops_every_step_of_another_bond_not_at_all(bonds: Bonds) -> None:
    """Halted payouts do not hold bonds: anybody could release them."""
    address = await bonds.post()
    async with transaction(bonds.world.worker) as tx:
        await halt(tx, "outflow", "test")
    bonds.chain.now += 10
    await bonds.round()
    assert bonds.received(address) == BOND_AMOUNT


async def test_a_payer_without_sol_builds_nothing(bonds: Bonds) -> None:
    address = await bonds.post()
    bonds.chain.now += 10
    bonds.chain.payer_lamports = 5
    found = await bonds.crank()
    assert found.blocked == "the fee payer has only 5 lamports"
    assert (found.opened, found.built) == (1, 0)
    bonds.chain.payer_lamports = 10**9
    await bonds.round()
    assert bonds.received(address) == BOND_AMOUNT


async def test_nobody_asks_the_chain_while_no_clock_runs(bonds: Bonds) -> None:
    await bonds.post(retired=False)
    bonds.world.line = None
    before = bonds.chain.height
    assert (await bonds.crank()).opened == 0
    assert bonds.chain.height == before


async def test_a_seizure_is_carried_out_or_cleared(bonds: Bonds) -> None:
    address = await bonds.post(retired=False)
    await bonds.propose(address)
    bonds.chain.now += 10
    await bonds.round()
    await bonds.crank()
    assert await bonds.states() == [("execute_seizure", "done")]
    bonds.world.clock.forward(timedelta(seconds=1))
    late = await bonds.post(retired=False)
    await bonds.propose(late)
    bonds.chain.now += 10
    await bonds.crank()  # opened and built, but nobody signs
    bonds.chain.now += 20
    await bonds.crank()
    bonds.chain.pass_blocks(200)
    await bonds.round()
    await bonds.round()
    assert (await bonds.states())[1:] == [("execute_seizure", "overtaken"), ("lapse", "done")]


async def test_a_contested_seizure_is_only_ever_cleared(bonds: Bonds) -> None:
    address = await bonds.post(retired=False)
    await bonds.propose(address)
    bonds.chain.bonds[address].seizure = CONTESTED
    await bonds.step(address, SeizureStep.CONTESTED)
    bonds.chain.now += 19
    await bonds.round()
    assert await bonds.states() == []
    bonds.chain.now += 1
    await bonds.round()
    await bonds.crank()
    assert await bonds.states() == [("lapse", "done")]


async def test_the_rent_of_a_wallet_is_paid_twice_at_most(bonds: Bonds) -> None:
    address = await bonds.post()
    wallet = bonds.chain.bonds[address].beneficiary
    await bonds.world.superuser("alter table settlement.bond disable trigger all")
    bonds.chain.now += 10
    await bonds.round()
    await bonds.crank()
    for number in (2, 3):
        more = await bonds.post()
        bonds.chain.bonds[more].beneficiary = wallet
        await bonds.world.superuser(
            f"update settlement.bond set beneficiary = '{wallet}' where address = '{more}'"
        )
        account = next(iter(bonds.chain.accounts_by_address))
        del bonds.chain.accounts_by_address[account]  # they close it, and keep the rent
        bonds.chain.now += 10
        await bonds.round()
        await bonds.crank()
        row = (await bonds.rows())[-1]
        if number == 2:
            assert row["state"] == "done"
        else:
            assert row["problem"] == "the beneficiary keeps closing the USDC account we opened"
