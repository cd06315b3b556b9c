"""Withdrawals and bond funding on the embedded chain, by the real processes of the road."""

import base64

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import app
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.chain.program import (
    TOKEN_PROGRAM,
    Payouts,
    associated_token_address,
    create_associated_token_account,
    decode_account,
)
from settlement.db.pool import reading
from settlement.ledger import accounts
from settlement.reconcile.compare import Verdict
from settlement.withdrawals import WithdrawalStatus
from tests.chain.payouts.conftest import Money, new_wallet

USDC = 1_000_000


async def payouts_on_chain(money: Money) -> Payouts:
    value = await money.world.rpc.value(
        "getAccountInfo",
        str(money.world.deployment.payouts),
        {"encoding": "base64", "commitment": "finalized"},
    )
    account = decode_account(base64.b64decode(value["data"][0]))
    assert isinstance(account, Payouts)
    return account


async def test_withdrawals_arrive_and_the_books_equal_the_chain(money: Money) -> None:
    stranger = new_wallet()
    async with money.processes():
        await money.earn(100 * USDC)
        before = await money.token_amount(money.wallet)
        known = await money.withdraw(30 * USDC)
        unknown = await money.withdraw(20 * USDC, stranger)  # its token account must be opened
        done = await money.until(known, WithdrawalStatus.FINAL)
        await money.until(unknown, WithdrawalStatus.FINAL)
        await money.world.settled()
        found = await app.reconcile_once(money.reconcile_settings())

    assert await money.token_amount(money.wallet) - before == 30 * USDC
    assert await money.token_amount(stranger) == 20 * USDC
    assert done.sequence == 0
    assert await money.world.balance(accounts.host(money.provider_id)) == 50 * USDC
    assert found.verdict is Verdict.EQUAL
    assert [line.chain_microusdc for line in found.lines] == [50 * USDC, 0]
    payouts = await payouts_on_chain(money)
    assert (payouts.paid_count, payouts.paid_total_microusdc) == (2, 50 * USDC)


async def test_a_dead_blockhash_is_replaced_under_the_same_number(money: Money) -> None:
    async with money.processes():
        await money.earn(100 * USDC)
    asked = await money.withdraw(10 * USDC)
    async with money.processes(signer=False):

        async def built_twice() -> bool:
            rows = await money.world.rows(
                "select attempt from settlement.payout_attempt where payout_id = $1",
                asked.withdrawal_id,
            )
            return len(rows) > 1

        await money.world.eventually(built_twice)
    async with money.processes():
        done = await money.until(asked, WithdrawalStatus.FINAL)
        await money.world.settled()
    assert done.sequence == 0
    payouts = await payouts_on_chain(money)
    assert (payouts.paid_count, payouts.paid_total_microusdc) == (1, 10 * USDC)


def give_away(account: Pubkey, owner: Pubkey, new_owner: Pubkey) -> Instruction:
    """SetAuthority: a token account that is no longer its wallet's."""
    accounts_ = [
        AccountMeta(account, is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
    ]
    account_owner = 2
    return Instruction(TOKEN_PROGRAM, bytes([6, account_owner, 1]) + bytes(new_owner), accounts_)


async def test_an_unpayable_number_is_burned_and_the_money_is_back(money: Money) -> None:
    payer, careless = money.world.wallet("payer"), Keypair()
    mint = money.world.deployment.mint
    account = associated_token_address(careless.pubkey(), mint)
    opened = create_associated_token_account(
        funder=payer.pubkey(), owner=careless.pubkey(), mint=mint
    )
    given = give_away(account, careless.pubkey(), new_wallet())
    async with money.processes():
        await money.earn(100 * USDC)
        signature = await money.world.send(opened, given, signers=[payer, careless])
        await money.world.chain.until_finalized(signature)
        asked = await money.withdraw(10 * USDC, careless.pubkey())
        ended = await money.until(asked, WithdrawalStatus.FAILED)
        following = await money.withdraw(10 * USDC)
        await money.until(following, WithdrawalStatus.FINAL)
        await money.world.settled()
        found = await app.reconcile_once(money.reconcile_settings())

    assert ended.reason == (
        "the wallet's token account was given to another owner: the money is back"
    )
    payouts = await payouts_on_chain(money)
    assert (payouts.is_used(0), payouts.is_paid(0)) == (True, False)
    assert payouts.is_paid(1)
    assert await money.token_amount(careless.pubkey()) == 0
    assert await money.world.balance(accounts.host(money.provider_id)) == 90 * USDC
    assert found.verdict is Verdict.EQUAL


async def test_a_coded_bond_deposit_becomes_an_escrowed_bond(money: Money) -> None:
    async with money.processes():
        await money.world.deposit(money.code, 60 * USDC)

        async def posted() -> bool:
            async with reading(money.world.pool) as conn:
                found = await lifecycle.standing(conn, money.provider_id)
            return found.state is Standing.POSTED

        await money.world.eventually(posted)
        await money.world.settled()
        found = await app.reconcile_once(money.reconcile_settings())
    assert found.verdict is Verdict.EQUAL
    assert [line.chain_microusdc for line in found.lines] == [10 * USDC, 50 * USDC]
    assert await money.world.balance(accounts.bond(money.provider_id)) == 50 * USDC
    assert await money.world.balance(accounts.bond_pending(money.provider_id)) == 10 * USDC
