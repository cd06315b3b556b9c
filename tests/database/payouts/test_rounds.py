"""A round of the worker: what it does, and what makes it stand still."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.answers import AccountAt
from settlement.chain.program import SYSTEM_PROGRAM
from settlement.db.pool import transaction
from settlement.money import Lamports
from settlement.payouts.halt import halt
from settlement.payouts.number import AnotherDeployment, number_waiting
from settlement.payouts.rounds import Round, Rounds
from settlement.payouts.states import PayoutState
from settlement.payouts.survey import TillUnreadable, read_till
from settlement.withdrawals import Withdrawal, WithdrawalStatus
from tests.database.payouts.chain import FakeChain
from tests.database.payouts.world import USDC, World


def rounds(world: World) -> Rounds:
    return Rounds(world.road(), lowest_payer_lamports=Lamports(1_000_000))


async def asked(world: World) -> Withdrawal:
    return await world.withdraw(await world.operator(), 10 * USDC)


async def test_a_round_takes_everything_a_step_on(world: World) -> None:
    await asked(world)
    worker = rounds(world)
    first = await worker.once()
    assert (first.numbered, first.built, first.sent, first.blocked) == (1, 1, 0, ())
    assert first.waiting == {PayoutState.REQUESTED: 1}
    await world.sign()
    second = await worker.once()
    assert (second.sent, second.waiting) == (1, {PayoutState.SIGNED: 1})
    assert second.oldest_requested_at == world.clock.now()


async def test_an_idle_worker_looks_at_the_fee_payer_now_and_then(world: World) -> None:
    worker = rounds(world)
    assert (await worker.once()).payer_lamports == world.chain.payer_lamports
    assert (await worker.once()).payer_lamports is None
    world.clock.forward(timedelta(minutes=1))
    assert (await worker.once()).payer_lamports == world.chain.payer_lamports


async def stands_still(world: World) -> Round:
    """A round that does nothing although there is work."""
    withdrawal = await asked(world)
    found = await rounds(world).once()
    assert found.blocked
    assert (found.numbered, found.built, found.sent) == (0, 0, 0)
    assert (await world.status(withdrawal)).status is WithdrawalStatus.APPROVED
    return found


async def test_nothing_moves_while_halted(world: World) -> None:
    async with transaction(world.indexer) as tx:
        await halt(tx, "outflow", "a signature")
        await halt(tx, "outflow", "another one of the same reason")
    assert (await stands_still(world)).blocked == ("outflow: a signature",)


async def test_nothing_moves_while_the_till_is_frozen(world: World) -> None:
    world.chain.till_frozen = True
    await stands_still(world)


async def test_nothing_moves_when_the_fee_payer_is_low(world: World) -> None:
    world.chain.payer_lamports = 999_999
    await stands_still(world)


async def test_nothing_moves_when_another_key_is_the_payer(world: World) -> None:
    world.chain.payer = Keypair().pubkey()
    found = await stands_still(world)
    assert "another key has the payer role on chain" in found.blocked


async def test_a_till_that_is_not_there_is_waited_for(world: World) -> None:
    elsewhere = program.Deployment(program_id=Keypair().pubkey(), mint=world.deployment.mint)
    with pytest.raises(TillUnreadable):
        await read_till(world.chain, elsewhere)


async def test_accounts_of_another_program_are_not_believed(world: World) -> None:
    class Impostor(FakeChain):
        async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
            found = await super().accounts(addresses)
            forged: list[AccountAt] = []
            for at in found:
                assert at.account is not None
                if at.account.owner == self.deployment.program_id:
                    at = replace(at, account=replace(at.account, owner=SYSTEM_PROGRAM))
                forged.append(at)
            return tuple(forged)

    impostor = Impostor(deployment=world.deployment, payer=world.key.address)
    with pytest.raises(TillUnreadable):
        await read_till(impostor, world.deployment)


async def test_books_of_another_program_are_not_numbered(world: World) -> None:
    await asked(world)
    till = await read_till(world.chain, world.deployment)
    elsewhere = program.Deployment(program_id=Keypair().pubkey(), mint=world.deployment.mint)
    await world.number()
    with pytest.raises(AnotherDeployment):
        await number_waiting(world.worker, till=till, deployment=elsewhere, now=world.clock.now())


async def test_numbers_end_where_the_programs_window_ends(world: World) -> None:
    operator = await world.operator()
    for _ in range(2):
        await world.withdraw(operator, 10 * USDC)
    await world.number()
    world.chain.used = set(range(8_191))
    for _ in range(2):
        await world.withdraw(operator, 10 * USDC)
    await world.number()
    rows = await world.superuser(
        "select sequence from settlement.payout where sequence > 1 order by sequence"
    )
    assert [row["sequence"] for row in rows] == [8_191]


@pytest.mark.parametrize(
    "problem", ["frozen", "given away", "a token account", "a program", "ours"]
)
async def test_whoever_cannot_be_paid_has_the_money_back(world: World, problem: str) -> None:
    operator = await world.operator()
    destination = None
    match problem:
        case "frozen":
            world.chain.set_token_account(operator.wallet, frozen=True)
        case "given away":
            world.chain.set_token_account(operator.wallet, given_to=Keypair().pubkey())
        case "a token account":
            world.chain.put(operator.wallet, program.TOKEN_PROGRAM, bytes(165))
        case "a program":
            account = program.associated_token_address(operator.wallet, world.deployment.mint)
            world.chain.put(account, world.deployment.program_id, bytes(8))
        case _:
            destination = str(world.key.address)
    withdrawal = await world.withdraw(operator, 10 * USDC, destination=destination)
    done = await world.finish(withdrawal.withdrawal_id)
    assert done.status is WithdrawalStatus.FAILED
    assert done.reason
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 0)


async def test_one_wallet_has_two_token_accounts_opened_at_most(world: World) -> None:
    """Closing the account after each payout would harvest our rent."""
    operator = await world.operator()
    account = program.associated_token_address(operator.wallet, world.deployment.mint)
    for _ in range(2):
        withdrawal = await world.withdraw(operator, 10 * USDC)
        assert (await world.finish(withdrawal.withdrawal_id)).status is WithdrawalStatus.FINAL
        del world.chain.accounts_by_address[account]
    withdrawal = await world.withdraw(operator, 10 * USDC)
    assert (await world.finish(withdrawal.withdrawal_id)).status is WithdrawalStatus.FAILED
    world.chain.set_token_account(operator.wallet)
    withdrawal = await world.withdraw(operator, 10 * USDC)
    assert (await world.finish(withdrawal.withdrawal_id)).status is WithdrawalStatus.FINAL


async def test_one_that_cannot_be_paid_does_not_stop_the_others(world: World) -> None:
    bad, good = await world.operator(), await world.operator()
    world.chain.set_token_account(bad.wallet, frozen=True)
    await world.withdraw(bad, 10 * USDC)
    withdrawal = await world.withdraw(good, 10 * USDC)
    await world.round()
    assert (await world.status(withdrawal)).status is WithdrawalStatus.FINAL


async def test_nothing_moves_while_roles_share_a_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = await read_till(world.chain, world.deployment)
    shared = replace(till, config=replace(till.config, guardian=till.config.payer))

    async def read(*_: object) -> object:
        return shared

    monkeypatch.setattr("settlement.payouts.rounds.read_till", read)
    assert (await stands_still(world)).blocked == ("roles share a key: guardian = payer",)
