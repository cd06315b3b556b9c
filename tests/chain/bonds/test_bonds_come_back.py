"""Bonds go back on their day, without anyone's help, to their beneficiary and to nobody else."""

from solders.keypair import Keypair

from settlement.bonds.lifecycle import Standing
from settlement.chain import program
from settlement.chain.program import associated_token_address
from settlement.ledger import accounts
from tests.chain.bonds.conftest import BOND, Life, Operators
from tests.chain.indexer.conftest import memo, plain_transfer
from tests.chain.payouts.test_payouts_on_chain import give_away
from tests.chain.recordings.tokens import freeze


async def back(life: Life, before: int) -> None:
    """The bond is released by the clearing house itself, and all of it has arrived."""
    await life.stands(Standing.RELEASED)
    crank = await life.crank_over("release")
    assert await life.money.token_amount(life.owner) - before == BOND
    assert await life.world.balance(accounts.bond(life.provider_id)) == 0
    (sent,) = await life.world.rows(
        "select signature from settlement.crank_attempt where crank_id = $1", crank["crank_id"]
    )
    assert sent["signature"] in crank["outcome_reference"]


async def test_a_posted_bond_comes_back_on_its_day_and_not_before(operators: Operators) -> None:
    life = operators.life()
    async with operators.at_work():
        await life.post()
        assert await life.active()
        before = await operators.token_amount(life.owner)
        await life.retire()
        assert not await life.active()
        await operators.days_pass(89, 0)
        await life.world.settled()
        assert await life.cranks() == [], "a day is missing"
        await operators.days_pass(1)
        await back(life, before)
        await operators.equal()


async def test_a_bond_paid_by_code_comes_back(operators: Operators) -> None:
    life = operators.life()
    async with operators.at_work():
        await life.pay_by_code()
        await life.stands(Standing.POSTED)
        before = await operators.token_amount(life.owner)
        await life.retire()
        await operators.days_pass(90)
        await back(life, before)


async def test_a_bond_paid_by_memo_comes_back(operators: Operators) -> None:
    life, world = operators.life(), operators.world
    user = world.wallet("user").pubkey()
    async with operators.at_work():
        await world.send(
            plain_transfer(world.ata("user"), world.deployment.till_vault, user, BOND),
            memo(f"POD-BOND-{life.code.decode()}", user),
        )
        await life.stands(Standing.POSTED)
        before = await operators.token_amount(life.owner)
        await life.retire()
        await operators.days_pass(90)
        await back(life, before)


async def test_a_retirement_that_was_cancelled_gives_nothing_back(operators: Operators) -> None:
    life = operators.life()
    cancel = program.CancelRetire(beneficiary=life.owner, bond=life.address, code=life.code)
    async with operators.at_work():
        await life.post()
        await life.retire()
        await life.do("operator", cancel)
        await life.stands(Standing.POSTED)
        assert await life.active()
        await operators.days_pass(200)
        await operators.equal()
        assert await life.cranks() == []
        before = await operators.token_amount(life.owner)
        await life.retire()  # and again, with another cooldown
        await operators.days_pass(90)
        await back(life, before)


async def test_who_releases_it_first_does_not_matter(operators: Operators) -> None:
    life = operators.life()
    async with operators.processes(signer=False):
        await life.post()
        await life.retire()
        await operators.days_pass(90)
        await life.world.eventually(lambda: _has_cranks(life))
        before = await operators.token_amount(life.owner)
        await life.release("user")
        await life.stands(Standing.RELEASED)
        crank = await life.crank_over("release")
        assert crank["outcome_reference"] is not None
        assert await operators.token_amount(life.owner) - before == BOND
    async with operators.at_work():  # a signer that comes too late finds nothing
        await operators.equal()
    rows = await life.world.rows("select signature from settlement.crank_attempt")
    assert [row["signature"] for row in rows] == [None] * len(rows)


async def _has_cranks(life: Life) -> bool:
    return bool(await life.cranks())


async def test_a_missing_token_account_is_opened_at_our_cost(operators: Operators) -> None:
    life = await operators.enroll(Keypair())  # a wallet that has nothing, not even lamports
    world = operators.world
    async with operators.at_work():
        await life.pay_by_code()
        await life.stands(Standing.POSTED)
        await life.retire("proposer")
        await operators.days_pass(90)
        await back(life, 0)
        (row,) = await world.rows("select creates_account from settlement.crank_attempt")
        assert row["creates_account"]


async def test_a_frozen_account_waits_and_keeps_nobody_else_waiting(operators: Operators) -> None:
    world = operators.world
    issuer, mint = world.wallet("mint-authority"), world.deployment.mint
    frozen, other = operators.life(), await operators.enroll(Keypair())
    account = associated_token_address(frozen.owner, mint)
    async with operators.at_work():
        await frozen.post()
        await other.pay_by_code()
        await other.stands(Standing.POSTED)
        before = await operators.token_amount(frozen.owner)
        await frozen.retire()
        await other.retire("proposer")
        await world.send(freeze(account, mint, issuer.pubkey()), signers=[issuer])
        await operators.days_pass(90)
        await back(other, 0)
        await frozen.put_off("frozen by its issuer")
        await world.send(freeze(account, mint, issuer.pubkey(), thaw=True), signers=[issuer])
        await back(frozen, before)


async def test_an_account_that_was_given_away_gets_nothing(operators: Operators) -> None:
    world, careless, thief = operators.world, Keypair(), Keypair()
    life, mint = await operators.enroll(careless), operators.world.deployment.mint
    payer = world.wallet("payer")
    account = associated_token_address(careless.pubkey(), mint)
    opened = program.create_associated_token_account(
        funder=payer.pubkey(), owner=careless.pubkey(), mint=mint
    )
    given = give_away(account, careless.pubkey(), thief.pubkey())
    returned = give_away(account, thief.pubkey(), careless.pubkey())
    async with operators.at_work():
        await life.pay_by_code()
        await life.stands(Standing.POSTED)
        await world.send(opened, given, signers=[payer, careless])
        await life.retire("proposer")
        await operators.days_pass(90)
        await life.put_off("given to another owner")
        await operators.equal()
        await world.send(returned, signers=[payer, thief])
        await back(life, 0)


async def test_paused_releases_wait_for_the_end_of_the_pause(operators: Operators) -> None:
    life, world = operators.life(), operators.world
    admin = world.wallet("admin").pubkey()
    releases = program.PauseBit.RELEASES
    async with operators.at_work():
        await life.post()
        await life.retire()
        before = await operators.token_amount(life.owner)
        await life.do("admin", program.Pause(signer=admin, bit=releases))
        await operators.days_pass(90)
        await back(life, before)  # the pause was over before the cooldown
    other = await operators.enroll(Keypair())
    async with operators.at_work():
        await other.pay_by_code()
        await other.stands(Standing.POSTED)
        await other.retire("proposer")
        await operators.days_pass(89, 0)
        await other.do("admin", program.Pause(signer=admin, bit=releases))
        await operators.days_pass(1)
        await other.put_off("releases are paused until")
        await operators.days_pass(3)
        await back(other, 0)


async def test_a_stranger_without_a_token_account_is_not_paid_for(operators: Operators) -> None:
    life, stranger = operators.life(), Keypair()
    async with operators.at_work():
        address = await life.post_for(stranger.pubkey())
        retire = program.Retire(
            signer=operators.world.wallet("proposer").pubkey(), bond=address, code=life.code
        )
        await life.do("proposer", retire)
        foreign = Life(
            money=operators, provider_id=life.provider_id, code=life.code, wallet=stranger
        )
        await operators.days_pass(90)
        await foreign.put_off("is no operator of ours")
        opened = program.create_associated_token_account(
            funder=operators.world.wallet("user").pubkey(),
            owner=stranger.pubkey(),
            mint=operators.world.deployment.mint,
        )
        await operators.world.send(opened)
        await foreign.crank_over("release")
    assert await operators.token_amount(stranger.pubkey()) == BOND
