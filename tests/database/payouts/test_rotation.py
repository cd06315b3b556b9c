"""The payer's role moves to another key while payouts are on their way: each is paid once."""

from solders.keypair import Keypair

from settlement.keys.file import FileKey
from settlement.money import Lamports
from settlement.payouts.rounds import Rounds
from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.world import USDC, World


def new_key(world: World) -> None:
    """The role moves on chain, and worker and signer are started with the new key."""
    world.key = FileKey(Keypair())
    world.chain.payer = world.key.address


async def ended(world: World) -> list[str | None]:
    rows = await world.superuser("select ended from settlement.payout_message order by message_id")
    return [row["ended"] for row in rows]


async def on_its_way(world: World) -> None:
    await world.number()
    await world.build()
    await world.sign()
    await world.send()


async def test_numbers_are_signed_again_with_the_new_key(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    world.chain.lose_sends = 1
    await on_its_way(world)
    new_key(world)
    assert await world.break_up() == 1
    done = await world.finish(asked.withdrawal_id)
    assert (done.status, done.sequence) == (WithdrawalStatus.FINAL, 0)
    assert world.received(operator.wallet) == 10 * USDC
    assert await ended(world) == ["broken", "decided"]


async def test_what_the_old_key_paid_is_not_paid_again(world: World) -> None:
    """Its message lands after its number has been signed anew."""
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    world.chain.hold_sends = True
    await on_its_way(world)
    old = world.chain.payer
    new_key(world)
    await world.break_up()
    await world.build()
    await world.sign()
    new, world.chain.payer = world.chain.payer, old
    world.chain.let_go()  # it was before the role moved after all
    world.chain.payer = new
    await world.send()
    done = await world.finish(asked.withdrawal_id)
    assert done.status is WithdrawalStatus.FINAL
    assert world.received(operator.wallet) == 10 * USDC


async def test_the_old_signer_signs_nothing_of_the_new_worker(world: World) -> None:
    await world.withdraw(await world.operator(), 10 * USDC)
    old = world.key
    new_key(world)
    await world.number()
    await world.build()
    new, world.key = world.key, old
    assert (await world.sign()).signed == 0
    assert (await world.sign()).refused == 0, "it is nothing to it, and no alarm"
    world.key = new
    assert (await world.sign()).signed == 1


async def test_a_worker_without_the_role_leaves_the_messages_alone(world: World) -> None:
    await world.withdraw(await world.operator(), 10 * USDC)
    world.chain.lose_sends = 1
    await on_its_way(world)
    world.chain.payer = Keypair().pubkey()
    found = await Rounds(world.road(), lowest_payer_lamports=Lamports(0)).once()
    assert "another key has the payer role on chain" in found.blocked
    assert await ended(world) == [None]
