"""The fee payer's SOL in the books is what it is on chain, whatever it was spent on."""

from settlement.db.pool import reading
from settlement.ledger import store
from settlement.ledger.accounts import FUNDING_SOL, NETWORK_FEES, RENT, chain_sol
from settlement.ledger.operations import AccountName
from settlement.withdrawals import WithdrawalStatus
from tests.chain.payouts.conftest import Money, new_wallet

USDC = 1_000_000


async def lamports(money: Money, name: AccountName) -> int:
    """What an account of costs or assets has come to: debits less credits."""
    async with reading(money.world.pool) as conn:
        try:
            return -(await store.balance(conn, name)).net_microusdc
        except store.AccountMissing:
            return 0


async def test_fees_and_rents_are_booked_and_the_rest_is_there(money: Money) -> None:
    payer = money.world.wallet("payer").pubkey()
    books = chain_sol(str(payer))

    async def unbooked() -> int:
        held = await money.world.rpc.value("getBalance", str(payer))
        return int(held) - await lamports(money, books)

    async with money.processes():
        await money.earn(100 * USDC)
        await money.world.settled()
        # What the embedded chain's genesis gave it came by no transaction.
        before = await unbooked()
        known = await money.withdraw(10 * USDC)
        unknown = await money.withdraw(20 * USDC, new_wallet())  # its account must be opened
        for asked in (known, unknown):
            await money.until(asked, WithdrawalStatus.FINAL)
        await money.world.rpc.call("requestAirdrop", str(payer), 12_345)
        await money.world.settled()
        assert await unbooked() == before
    assert await lamports(money, RENT) == 2_039_280
    assert await lamports(money, NETWORK_FEES) >= 2 * 5_000
    assert await lamports(money, FUNDING_SOL) == -12_345
