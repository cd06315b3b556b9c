"""Seizures end by themselves: carried out when their windows are over, cleared when they died."""

from settlement.bonds.lifecycle import Standing
from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.ledger import accounts
from tests.chain.bonds.conftest import BOND, Operators


async def test_a_seizure_nobody_contests_is_carried_out(operators: Operators) -> None:
    life, world = operators.life(), operators.world
    async with operators.at_work():
        await life.post()
        await life.propose()
        await operators.days_pass(6)
        await world.settled()
        assert await life.cranks() == [], "the dispute window is open"
        await operators.days_pass(1)
        await life.stands(Standing.SEIZED)
        await life.crank_over("execute_seizure")
    assert await world.balance(accounts.REFUND_POOL) == BOND
    assert await world.balance(accounts.chain_vault(Vault.BOND)) == 0


async def test_an_upheld_seizure_is_carried_out(operators: Operators) -> None:
    life, world = operators.life(), operators.world
    arbiter = world.wallet("arbiter").pubkey()
    async with operators.at_work():
        await life.post()
        await life.propose()
        await life.contest()
        await operators.days_pass(7)
        await life.do("arbiter", program.Uphold(arbiter=arbiter, bond=life.address, code=life.code))
        await life.stands(Standing.SEIZED)
        await life.crank_over("execute_seizure")
    assert await world.balance(accounts.REFUND_POOL) == BOND


async def test_a_contest_nobody_decides_lapses_and_the_bond_comes_back(
    operators: Operators,
) -> None:
    life = operators.life()
    async with operators.at_work():
        await life.post()
        before = await operators.token_amount(life.owner)
        await life.retire()
        await operators.days_pass(80)
        await life.propose()
        await life.contest()
        await operators.equal()
        await operators.days_pass(11)  # its cooldown is over; the arbiter still has time
        await operators.equal()
        assert await life.cranks() == []
        await operators.days_pass(10)
        await life.crank_over("lapse")
        await life.stands(Standing.RELEASED)
        await life.crank_over("release")
        assert await operators.token_amount(life.owner) - before == BOND


async def test_an_execution_that_came_too_late_lapses(operators: Operators) -> None:
    life = operators.life()
    async with operators.processes():
        await life.post()
        await life.propose()
        await operators.world.settled()
    await operators.days_pass(22)  # nobody is there while it could be carried out
    async with operators.at_work():
        await life.crank_over("lapse")
        await life.stands(Standing.POSTED)
        assert await life.active()
    assert await operators.world.balance(accounts.REFUND_POOL) == 0


async def test_a_withdrawn_proposal_is_overtaken(operators: Operators) -> None:
    life, world = operators.life(), operators.world
    proposer = world.wallet("proposer").pubkey()
    withdrawn = program.WithdrawProposal(proposer=proposer, bond=life.address, code=life.code)
    async with operators.processes(signer=False):
        await life.post()
        await life.propose()
        await operators.days_pass(7)

        async def opened() -> bool:
            return bool(await life.cranks())

        await world.eventually(opened)
        await life.do("proposer", withdrawn)
        crank = await life.crank_over("execute_seizure", "overtaken")
        assert crank["outcome_reference"] is None
    async with operators.at_work():
        await operators.equal()
    assert await life.active()
