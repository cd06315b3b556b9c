"""The indexer against the embedded chain: what happens there is in the books, once."""

from settlement.chain.movement import Vault
from settlement.ledger import accounts
from tests.chain.indexer.conftest import World, following


async def test_a_coded_deposit_is_credited(world: World) -> None:
    user_id, code = await world.user()
    async with following(world.settings()):
        await world.deposit(code, 25_000_000)
        await world.credited(accounts.user(user_id), 25_000_000)
        await world.settled()
    assert await world.balance(accounts.chain_vault(Vault.TILL)) == 25_000_000
