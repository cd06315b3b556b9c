"""solana-py as it comes from PyPI against the embedded chain."""

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized
from solders.keypair import Keypair

from localnet.embedded import RunningChain


async def test_an_airdrop_is_seen_and_gets_final(localnet: RunningChain) -> None:
    async with AsyncClient(localnet.rpc_url) as client:
        someone = Keypair().pubkey()
        signature = (await client.request_airdrop(someone, 1_000_000_000)).value
        await localnet.until(signature, "confirmed")
        assert (await client.get_balance(someone, Confirmed)).value == 1_000_000_000
        await localnet.until_finalized(signature)
        assert (await client.get_balance(someone, Finalized)).value == 1_000_000_000
        transaction = (
            await client.get_transaction(signature, max_supported_transaction_version=1)
        ).value
        assert transaction is not None
