"""The indexer against the embedded chain: what happens there is in the books, once."""

import asyncio
from base64 import b64decode
from datetime import UTC, datetime
from uuid import UUID

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.system_program import CreateAccountParams, create_account

from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.db.pool import reading
from settlement.errors import PodError
from settlement.ledger import accounts
from settlement.money import MicroUsdc
from settlement.payouts.halt import halted
from tests.chain.indexer.conftest import (
    World,
    batch,
    following,
    initialize,
    memo,
    plain_transfer,
)
from tests.chain.localnet.calls import create_token_account

NINETY_DAYS = 90 * 86_400
BOND = 50_000_000


async def standing(world: World, provider_id: UUID) -> lifecycle.BondStanding:
    async with reading(world.pool) as conn:
        return await lifecycle.standing(conn, provider_id)


@pytest.mark.parametrize("ws", [True, False])
async def test_a_coded_deposit_is_credited_with_and_without_a_websocket(
    world: World, ws: bool
) -> None:
    user_id, code = await world.user()
    async with following(world.settings(ws=ws)):
        await world.deposit(code, 25_000_000)
        await world.credited(accounts.user(user_id), 25_000_000)
        await world.settled()
        status, line = await world.health()
    assert status == 200
    assert line.startswith("slot ")
    assert "behind" in line
    assert await world.balance(accounts.chain_vault(Vault.TILL)) == 25_000_000


async def test_what_happened_before_it_started_is_found(world: World) -> None:
    user_id, code = await world.user()
    for amount in (1, 2, 3):
        await world.deposit(code, amount)
    async with following(world.settings()):
        await world.credited(accounts.user(user_id), 6)
        await world.settled()


async def test_every_shape_of_a_deposit(world: World) -> None:
    user_id, code = await world.user()
    provider_id, bond_code = await world.operator()
    owner, till = world.wallet("user").pubkey(), world.deployment.till_vault
    source = world.ata("user")

    def coded(amount: int, name: bytes = code) -> Instruction:
        return program.deposit_usdc(
            world.deployment, depositor=owner, code=name, amount_microusdc=MicroUsdc(amount)
        )

    def plain(amount: int) -> Instruction:
        return plain_transfer(source, till, owner, amount)

    async with following(world.settings()):
        await world.send(coded(1), coded(1))
        await world.send(coded(10, bond_code))
        await world.send(plain(100), memo(code.hex(), owner))
        await world.send(batch(plain(1_000), plain(1_000)))
        await world.send(batch(plain(10_000)), memo(f"POD-BOND-{bond_code.decode()}", owner))
        await world.send(plain_transfer(source, world.deployment.bond_vault, owner, 100_000))
        await world.send(plain_transfer(source, source, owner, 7))
        await world.settled()
    assert await world.balance(accounts.user(user_id)) == 102
    assert await world.balance(accounts.bond_pending(provider_id)) == 10_010
    assert await world.balance(accounts.SUSPENSE) == 102_000
    assert await world.rows("select * from indexer.incident") == []
    async with reading(world.pool) as conn:
        assert await halted(conn) == ()


@pytest.mark.parametrize("version", [None, 0, 1])
async def test_every_version_of_a_transaction(world: World, version: int | None) -> None:
    user_id, code = await world.user()
    user = world.wallet("user")
    deposit = program.deposit_usdc(
        world.deployment, depositor=user.pubkey(), code=code, amount_microusdc=MicroUsdc(5)
    )
    async with following(world.settings()):
        await world.rpc.send(await world.rpc.sign([deposit], user, version=version))
        await world.credited(accounts.user(user_id), 5)


async def test_a_failed_transaction_is_kept_and_credits_nothing(world: World) -> None:
    user_id, code = await world.user()
    user = world.wallet("user")
    good, bad = (
        program.deposit_usdc(
            world.deployment, depositor=user.pubkey(), code=code, amount_microusdc=MicroUsdc(amount)
        )
        for amount in (5, 10**15)
    )
    async with following(world.settings()):
        failing = await world.rpc.sign([good, bad], user)
        await world.rpc.send(failing, skip_preflight=True)
        await world.settled()
    assert await world.balance(accounts.user(user_id)) == 0
    rows = await world.rows("select state from indexer.signature where state = 'failed'")
    assert len(rows) == 1


async def test_another_mint_sent_to_the_tills_owner_is_not_money(world: World) -> None:
    issuer, mint = world.wallet("mint-authority"), Keypair()
    owner = world.deployment.till_authority
    rent = await world.rpc.call("getMinimumBalanceForRentExemption", 82)
    stray = program.associated_token_address(owner, mint.pubkey())
    writable = AccountMeta(mint.pubkey(), is_signer=False, is_writable=True)
    to = AccountMeta(stray, is_signer=False, is_writable=True)
    by = AccountMeta(issuer.pubkey(), is_signer=True, is_writable=False)
    made = create_account(
        CreateAccountParams(
            from_pubkey=issuer.pubkey(),
            to_pubkey=mint.pubkey(),
            lamports=rent,
            space=82,
            owner=program.TOKEN_PROGRAM,
        )
    )
    started = bytes([20, 6]) + bytes(issuer.pubkey()) + b"\0"
    minted = bytes([7]) + (5).to_bytes(8, "little")
    async with following(world.settings()):
        await world.send(
            made,
            Instruction(program.TOKEN_PROGRAM, started, [writable]),
            create_token_account(issuer.pubkey(), owner, mint.pubkey()),
            Instruction(program.TOKEN_PROGRAM, minted, [writable, to, by]),
            signers=[issuer, mint],
        )
        await world.settled()
    assert await world.rows("select * from indexer.movement") == []


async def test_money_minted_into_the_till_is_in_suspense(world: World) -> None:

    issuer = world.wallet("mint-authority")
    minted = bytes([7]) + (5).to_bytes(8, "little")
    named = [
        AccountMeta(world.deployment.mint, is_signer=False, is_writable=True),
        AccountMeta(world.deployment.till_vault, is_signer=False, is_writable=True),
        AccountMeta(issuer.pubkey(), is_signer=True, is_writable=False),
    ]
    async with following(world.settings()):
        await world.send(Instruction(program.TOKEN_PROGRAM, minted, named), signers=[issuer])
        await world.settled()
    assert await world.balance(accounts.SUSPENSE) == 5


async def test_the_life_of_a_bond(world: World) -> None:
    provider_id, code = await world.operator()
    operator = world.wallet("operator")
    wallet = operator.pubkey()
    async with following(world.settings()):
        await world.send(
            program.post_bond(
                world.deployment, depositor=wallet, funder=wallet, code=code, beneficiary=wallet
            ),
            signers=[operator],
        )
        await world.credited(accounts.bond(provider_id), BOND)
        assert (await standing(world, provider_id)).state is Standing.POSTED
        retire = program.retire(world.deployment, signer=wallet, code=code, beneficiary=wallet)
        await world.send(retire, signers=[operator])
        await world.settled()
        retiring = await standing(world, provider_id)
        assert retiring.state is Standing.RETIRING
        account = await world.rpc.value(
            "getAccountInfo", str(world.deployment.bond(code, wallet)), {"encoding": "base64"}
        )
        bond = program.decode_account(b64decode(account["data"][0]))
        assert isinstance(bond, program.Bond)
        assert retiring.release_at == datetime.fromtimestamp(bond.release_at, UTC)
        await world.rpc.call("localnet_advanceClock", NINETY_DAYS + 1)
        back = program.release(world.deployment, code=code, beneficiary=wallet, rent_payer=wallet)
        await world.send(back)
        await world.credited(accounts.bond(provider_id), 0)
        await world.settled()
    assert (await standing(world, provider_id)).state is Standing.RELEASED
    rows = await world.rows(
        "select cooldown_seconds, rent_payer from settlement.bond where provider_id = $1",
        provider_id,
    )
    assert [tuple(row) for row in rows] == [(NINETY_DAYS, str(wallet))]


async def test_a_bond_that_is_over_before_anybody_looked(world: World) -> None:
    provider_id, code = await world.operator()
    operator = world.wallet("operator")
    wallet = operator.pubkey()
    steps = (
        program.post_bond(
            world.deployment, depositor=wallet, funder=wallet, code=code, beneficiary=wallet
        ),
        program.retire(world.deployment, signer=wallet, code=code, beneficiary=wallet),
        program.release(world.deployment, code=code, beneficiary=wallet, rent_payer=wallet),
    )
    for step in steps:
        if step is steps[-1]:
            await world.rpc.call("localnet_advanceClock", NINETY_DAYS + 1)
        await world.send(step, signers=[operator])
    async with following(world.settings()):
        await world.settled()
    assert (await standing(world, provider_id)).state is Standing.RELEASED
    assert await world.rows("select * from indexer.incident") == []


async def test_a_payment_and_a_bond_that_the_payer_made_behind_our_back(world: World) -> None:
    provider_id, code = await world.operator()
    payer = world.wallet("payer")
    await world.deposit(code, 2 * BOND)
    pay = program.pay(
        world.deployment,
        payer=payer.pubkey(),
        sequence=0,
        amount_microusdc=MicroUsdc(9),
        code=b"nobody's",
        reference=bytes(16),
        destination=world.ata("operator"),
    )
    fund = program.fund_bond(
        world.deployment,
        payer=payer.pubkey(),
        funder=payer.pubkey(),
        sequence=1,
        code=code,
        beneficiary=world.wallet("operator").pubkey(),
    )
    skip = program.skip(world.deployment, signer=payer.pubkey(), first=2, mask=0b11)
    async with following(world.settings()):
        for step in (pay, fund, skip):
            await world.send(step, signers=[payer])
        await world.settled()
    assert await world.balance(accounts.UNEXPLAINED_OUT) == 9
    assert await world.balance(accounts.bond(provider_id)) == BOND
    assert await world.balance(accounts.bond_pending(provider_id)) == BOND
    rows = await world.rows("select sequence, how from settlement.payout_number_gone order by 1")
    assert [tuple(row) for row in rows] == [
        (0, "paid"),
        (1, "paid"),
        (2, "skipped"),
        (3, "skipped"),
    ]
    async with reading(world.pool) as conn:
        assert len(await halted(conn)) == 1


async def test_it_waits_until_the_program_is_initialized(uninitialized: World) -> None:
    world = uninitialized
    async with following(world.settings()):

        async def waits() -> bool:
            try:
                return "NotInitialized" in (await world.health())[1]
            except OSError:
                return False

        await world.eventually(waits)
        assert (await world.health())[0] == 503
        await initialize(world)
        user_id, code = await world.user()
        await world.deposit(code, 5)
        await world.credited(accounts.user(user_id), 5)


async def test_a_second_indexer_stands_by_and_takes_over(world: World) -> None:
    user_id, code = await world.user()
    async with following(world.settings()) as first:
        await world.deposit(code, 5)
        await world.credited(accounts.user(user_id), 5)
        world.status = world.another_status()
        async with following(world.settings()):

            async def stands_by() -> bool:
                try:
                    return "standing by" in (await world.health())[1]
                except OSError:
                    return False

            await world.eventually(stands_by)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await world.deposit(code, 6)
            await world.credited(accounts.user(user_id), 11)
            await world.settled()


async def test_a_database_of_another_chain_ends_it(world: World) -> None:
    async with following(world.settings()):
        await world.settled()
    connection = await world.superuser()
    await connection.execute("alter table indexer.cluster disable trigger all")
    await connection.execute("update indexer.cluster set genesis_hash = 'another'")
    await connection.close()
    async with following(world.settings()) as task:
        with pytest.raises(PodError, match="follows another chain"):
            await task
