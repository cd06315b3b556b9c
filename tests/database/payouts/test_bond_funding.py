"""Coded bond money in the till becomes a bond in escrow, once."""

import asyncio
from datetime import timedelta
from typing import TypedDict

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import BondHandedOver, BondPosted, BondSeized, Standing
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.db.pool import reading, transaction
from settlement.ledger import store
from settlement.money import MicroUsdc, Slot
from settlement.payouts.bond_funding import TRY_AGAIN_AFTER, anybody_waits, fund_pending
from settlement.payouts.outcome import BondFundingSeen
from tests.database.payouts.chain import BOND_AMOUNT
from tests.database.payouts.world import NOW, USDC, Operator, World


async def fund(world: World) -> int:
    return await fund_pending(
        world.worker,
        world.writers["settlement"],
        bond_amount_microusdc=world.chain.bond_amount,
        clock=world.clock,
    )


async def standing(world: World, operator: Operator) -> Standing:
    async with reading(world.indexer) as conn:
        return (await lifecycle.standing(conn, operator.provider_id)).state


async def test_a_full_deposit_becomes_a_bond_and_the_rest_stays(world: World) -> None:
    operator = await world.operator(earned=0)
    assert not await anybody_waits(world.worker, clock=world.clock)
    await world.deposit_bond(operator, 30 * USDC)
    assert await anybody_waits(world.worker, clock=world.clock)
    assert await fund(world) == 0, "not enough yet"
    await world.deposit_bond(operator, 25 * USDC)
    assert await fund(world) == 1
    assert await fund(world) == 0, "one is underway"
    for _ in range(2):
        await world.round()
    assert await standing(world, operator) is Standing.POSTED
    assert await world.balance(f"bond:{operator.provider_id}") == (50 * USDC, 0)
    assert await world.balance(f"bond-pending:{operator.provider_id}") == (5 * USDC, 0)
    assert await world.balance("chain:bond") == (-50 * USDC, 0)
    await world.deposit_bond(operator, 100 * USDC)
    assert await fund(world) == 0, "there is a bond"


async def test_two_workers_make_one_intent(world: World) -> None:
    operator = await world.operator(earned=0)
    await world.deposit_bond(operator, 120 * USDC)
    assert sum(await asyncio.gather(*(fund(world) for _ in range(4)))) == 1


async def test_a_bond_that_exists_already_is_not_paid_for_in_a_loop(world: World) -> None:
    operator = await world.operator(earned=0)
    await world.deposit_bond(operator, 50 * USDC)
    bond = world.deployment.bond(operator.code, operator.wallet)
    world.chain.put(bond, world.deployment.program_id, b"bond")
    assert await fund(world) == 1
    for _ in range(2):
        await world.round()
    assert await world.balance(f"bond-pending:{operator.provider_id}") == (50 * USDC, 0)
    assert await fund(world) == 0, "it waits before it tries again"
    world.clock.forward(TRY_AGAIN_AFTER + timedelta(seconds=1))
    assert await fund(world) == 1


async def test_no_bond_is_funded_at_an_address_that_is_taken(world: World) -> None:
    """A bond's address is made of its first beneficiary, and stays when another one comes."""
    operator, stranger = await world.operator(earned=0), Keypair().pubkey()
    bond = BondPosted(
        key=MovementKey(cluster="fake", signature="own", outer=0),
        moment=ChainMoment(slot=Slot(9), block_time=NOW),
        address=str(world.deployment.bond(operator.code, operator.wallet)),
        code=operator.code,
        beneficiary=str(operator.wallet),
        amount_microusdc=BOND_AMOUNT,
        rent_payer=str(world.key.address),
        cooldown_seconds=1,
    )
    await take_in(world, bond)
    await take_in(world, given(bond, stranger, slot=10))
    assert await standing(world, operator) is Standing.NONE
    await world.deposit_bond(operator, 50 * USDC)
    assert await fund(world) == 0, "the address is taken"


async def test_money_for_a_bond_that_is_over_stays_pending(world: World) -> None:
    """A bond's address is used once: under the same code and wallet there is no second bond."""
    operator = await world.operator(earned=0)
    bond = BondPosted(
        key=MovementKey(cluster="fake", signature="own", outer=0),
        moment=ChainMoment(slot=Slot(9), block_time=NOW),
        address=str(world.deployment.bond(operator.code, operator.wallet)),
        code=operator.code,
        beneficiary=str(operator.wallet),
        amount_microusdc=BOND_AMOUNT,
        rent_payer=str(world.key.address),
        cooldown_seconds=1,
    )
    await take_in(world, bond)
    await take_in(world, BondSeized(**_where(bond, 10), amount_microusdc=BOND_AMOUNT))
    await world.deposit_bond(operator, 50 * USDC)
    assert await fund(world) == 0
    assert await world.balance(f"bond-pending:{operator.provider_id}") == (50 * USDC, 0)
    assert await standing(world, operator) is Standing.SEIZED


async def test_a_bond_that_came_and_went_does_not_keep_another_from_being_funded(
    world: World,
) -> None:
    operator, stranger = await world.operator(earned=0), Keypair().pubkey()
    theirs = BondPosted(
        key=MovementKey(cluster="fake", signature="theirs", outer=0),
        moment=ChainMoment(slot=Slot(9), block_time=NOW),
        address=str(world.deployment.bond(operator.code, stranger)),
        code=operator.code,
        beneficiary=str(stranger),
        amount_microusdc=BOND_AMOUNT,
        rent_payer=str(world.key.address),
        cooldown_seconds=1,
    )
    await take_in(world, theirs)
    await take_in(world, given(theirs, operator.wallet, slot=10))
    assert await standing(world, operator) is Standing.POSTED
    await world.deposit_bond(operator, 50 * USDC)
    assert await fund(world) == 0, "there is a bond"
    await take_in(world, BondSeized(**_where(theirs, 11), amount_microusdc=BOND_AMOUNT))
    assert await fund(world) == 1


def given(bond: BondPosted, to: Pubkey, slot: int) -> BondHandedOver:
    return BondHandedOver(**_where(bond, slot), beneficiary=str(to))


class _Where(TypedDict):
    key: MovementKey
    moment: ChainMoment
    address: str


def _where(bond: BondPosted, slot: int) -> _Where:
    return _Where(
        key=MovementKey(cluster="fake", signature=f"step{slot}", outer=0),
        moment=ChainMoment(slot=Slot(slot), block_time=NOW),
        address=bond.address,
    )


async def take_in(world: World, fact: BondPosted | BondHandedOver | BondSeized) -> None:
    """What the indexer does with it."""
    async with transaction(world.indexer) as tx:
        match fact:
            case BondPosted():
                operations = await lifecycle.posted(tx, fact)
            case BondHandedOver():
                operations = await lifecycle.handed_over(tx, fact)
            case BondSeized():
                operations = await lifecycle.seized(tx, fact)
        done = await store.apply(tx, world.writers["indexer"], operations)
        assert all(one.done for one in done)


async def test_another_price_while_it_was_underway_gives_the_money_back(world: World) -> None:
    operator = await world.operator(earned=0)
    await world.deposit_bond(operator, 50 * USDC)
    assert await fund(world) == 1
    world.chain.bond_amount = MicroUsdc(60 * USDC)
    for _ in range(2):
        await world.round()
    assert await world.balance(f"bond-pending:{operator.provider_id}") == (50 * USDC, 0)
    assert world.chain.paid == set()


async def test_a_bond_nobody_asked_to_fund_is_booked_and_halts(world: World) -> None:
    operator = await world.operator(earned=0)
    await world.deposit_bond(operator, 20 * USDC)
    bond = BondPosted(
        key=MovementKey(cluster="fake", signature="unasked", outer=2),
        moment=ChainMoment(slot=Slot(9), block_time=NOW),
        address=str(world.deployment.bond(operator.code, operator.wallet)),
        code=operator.code,
        beneficiary=str(operator.wallet),
        amount_microusdc=BOND_AMOUNT,
        rent_payer=str(world.key.address),
        cooldown_seconds=1,
    )
    await world.take_in(BondFundingSeen(sequence=4, bond=bond))
    # Pending cannot bear it: the bond is the operator's all the same, the till's loss unexplained.
    assert await world.balance(f"bond:{operator.provider_id}") == (50 * USDC, 0)
    assert await world.balance(f"bond-pending:{operator.provider_id}") == (20 * USDC, 0)
    assert await world.balance("unexplained-out") == (-50 * USDC, 0)
    (row,) = await world.superuser("select reason from settlement.payout_halt")
    assert row["reason"] == "unexpected_payment"
