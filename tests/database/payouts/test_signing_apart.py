"""Between letting a message through and storing its signature the world goes on.

The holder of the key is asked in no transaction; whatever happens meanwhile, a signature is stored
only for what may still be signed then, and the next look goes on from there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from solders.pubkey import Pubkey

from settlement.db.pool import transaction
from settlement.keys.protocol import KeyAway, SigningKey
from settlement.payouts import decide
from settlement.payouts.sign import Signed, sign_waiting
from settlement.withdrawals import Withdrawal
from tests.database.payouts.world import USDC, World


@dataclass
class Meddling:
    """A key whose holder takes its time: something happens before it answers."""

    key: SigningKey
    meanwhile: Callable[[], Awaitable[object]]

    @property
    def address(self) -> Pubkey:
        return self.key.address

    async def sign(self, message: bytes) -> bytes:
        signature = await self.key.sign(message)
        await self.meanwhile()
        return signature


async def waiting(world: World) -> Withdrawal:
    asked = await world.withdraw(await world.operator(), 10 * USDC)
    await world.number()
    await world.build()
    return asked


async def signed(world: World) -> list[str]:
    rows = await world.superuser(
        "select signature from settlement.payout_message where signature is not null"
    )
    return [row["signature"] for row in rows]


async def signing(world: World, meanwhile: Callable[[], Awaitable[object]]) -> Signed:
    return await sign_waiting(replace(world.signing(), key=Meddling(world.key, meanwhile)))


async def test_given_up_meanwhile_is_not_signed(world: World) -> None:
    asked = await waiting(world)

    async def given_up() -> None:
        async with transaction(world.worker) as tx:
            await decide.burn(tx, asked.withdrawal_id, reason="given up")

    assert await signing(world, given_up) == Signed(signed=0, refused=0)
    assert await signed(world) == []
    done = await world.finish(asked.withdrawal_id)
    assert done.sequence == 0
    assert world.received(Pubkey.from_string(asked.destination)) == 0


async def test_dead_meanwhile_is_not_signed(world: World) -> None:
    asked = await waiting(world)

    async def dead() -> None:
        world.chain.pass_blocks(400)
        await world.expire()

    assert await signing(world, dead) == Signed(signed=0, refused=0)
    assert await signed(world) == []
    await world.finish(asked.withdrawal_id)
    assert world.received(Pubkey.from_string(asked.destination)) == 10 * USDC


async def test_signed_by_another_meanwhile_is_the_same_signature(world: World) -> None:
    await waiting(world)
    assert await signing(world, world.sign) == Signed(signed=0, refused=0)
    (one,) = await signed(world)
    assert one


async def test_a_holder_that_goes_away_leaves_the_message_to_the_next_look(world: World) -> None:
    await waiting(world)

    async def away() -> None:
        raise KeyAway(problem="gone")

    with pytest.raises(KeyAway):
        await signing(world, away)
    assert await signed(world) == []
    rows = await world.superuser("select count(*) as n from settlement.signed_payment")
    assert rows[0]["n"] == 1, "it counts although nobody has its signature"
    assert await world.sign() == Signed(signed=1, refused=0)
    rows = await world.superuser("select count(*) as n from settlement.signed_payment")
    assert rows[0]["n"] == 1, "and counts once"
