"""Cases end to end on the embedded chain: after every step, books and vaults are equal."""

import json

import pytest

from settlement.bonds.rules import SeizureStep
from settlement.cases.lists import NothingToCredit
from settlement.cases.states import CaseNotThere, CaseState
from settlement.chain import program
from settlement.ledger import accounts
from settlement.ledger.accounts import TREASURY
from tests.chain.cases.conftest import Court
from tests.chain.indexer.test_bond_program import BOND

S = SeizureStep
pytestmark = pytest.mark.timeout(300)


async def posted(court: Court) -> None:
    """The bond is there, and read."""
    await court.life.post()
    await court.world.credited(accounts.bond(court.accused.provider_id), BOND)


async def test_nobody_contests_and_the_harmed_are_credited(court: Court) -> None:
    people = court.people
    await posted(court)
    alice, bob = await court.user(60_000_000), await court.user(60_000_000)
    requests = await people.paid(alice, court.accused, 40_000_000)
    requests += await people.paid(bob, court.accused, 20_000_000)
    case = await people.open(court.accused, requests)
    early = await court.propose(case)
    assert (early.code, json.loads(early.out)["error"]) == (1, "case_not_there")
    await people.review(case)
    done = await court.propose(case)
    assert done.code == 0, done
    assert json.loads(done.out)["evidence_hash"] == case.evidence.hex()
    await court.stands(case, S.PROPOSED)
    again = await court.propose(case)
    assert json.loads(again.out)["error"] == "case_not_there"
    await court.life.wait(7)
    await court.life.execute()
    await court.stands(case, S.EXECUTED)
    assert await court.pool() == BOND
    await people.draw(case)
    await people.approve(case)
    await people.credit(case)
    await court.equal()
    # 50 of 60: five sixths of each loss, and the microunit to the larger remainder.
    assert await court.world.balance(alice) == 20_000_000 + 33_333_333
    assert await court.world.balance(bob) == 40_000_000 + 16_666_667
    assert await court.pool() == 0
    assert (await people.close(case)).state is CaseState.CLOSED


async def test_two_cases_against_one_bond_the_first_dismissed_the_second_upheld(
    court: Court,
) -> None:
    people, life = court.people, court.life
    arbiter = court.world.wallet("arbiter").pubkey()
    bond, code = life.address, life.code
    await posted(court)
    alice = await court.user(60_000_000)
    first, second = [await court.reviewed(alice, 10_000_000) for _ in range(2)]
    assert (await court.propose(first)).code == 0
    await court.stands(first, S.PROPOSED)
    both = await court.propose(second)
    assert json.loads(both.out)["error"] == "seizure_is_open"
    await life.contest()
    await court.stands(first, S.CONTESTED)
    await life.do("arbiter", program.Dismiss(arbiter=arbiter, bond=bond, code=code))
    await court.stands(first, S.DISMISSED)
    with pytest.raises(CaseNotThere):
        await people.draw(first, backed=True)
    assert (await people.close(first)).state is CaseState.CLOSED
    assert (await court.pool(), await court.world.balance(alice)) == (0, 40_000_000)
    assert (await court.propose(second)).code == 0
    await court.stands(second, S.PROPOSED)
    await life.contest()
    await life.do("arbiter", program.Uphold(arbiter=arbiter, bond=bond, code=code))
    await court.stands(second, S.UPHELD)
    await life.wait(7)
    await life.execute()
    await court.stands(second, S.EXECUTED)
    await people.draw(second)
    await people.approve(second)
    await people.credit(second)
    await court.equal()
    assert await court.world.balance(alice) == 50_000_000
    assert await court.pool() == BOND - 10_000_000
    await people.close(second)
    # What is left is the operator's next case's.
    third = await people.open(
        court.accused, await people.paid(alice, court.accused, 5_000_000), no_bond=True
    )
    await people.review(third)
    assert (await people.draw(third)).funds.carried_microusdc == 5_000_000


async def test_a_proposal_that_nobody_carries_out_lapses(court: Court) -> None:
    life = court.life
    await posted(court)
    alice = await court.user(60_000_000)
    case = await court.reviewed(alice, 10_000_000)
    assert (await court.propose(case)).code == 0
    await court.stands(case, S.PROPOSED)
    await life.wait(22)
    await life.do("user", program.Lapse(bond=life.address, code=life.code))
    await court.stands(case, S.LAPSED)
    with pytest.raises(CaseNotThere):
        await court.people.draw(case)
    assert (await court.people.close(case)).state is CaseState.CLOSED
    assert (await court.pool(), await court.world.balance(alice)) == (0, 50_000_000)


async def test_without_a_bond_the_treasury_credits(court: Court) -> None:
    people = court.people
    alice = await court.user(60_000_000)
    requests = await people.paid(alice, court.accused, 10_000_000)
    case = await people.review(await people.open(court.accused, requests, no_bond=True))
    refused = await court.propose(case)
    assert json.loads(refused.out)["error"] == "no_bond_of_case"
    with pytest.raises(NothingToCredit):
        await people.draw(case)
    drawn = await people.draw(case, backed=True)
    await people.approve(case, backing=drawn.funds.backing_microusdc)
    await people.credit(case)
    await court.equal()
    assert await court.world.balance(alice) == 60_000_000
    assert (await court.pool(), await people.net(TREASURY)) == (0, -10_000_000)
    assert (await people.close(case)).state is CaseState.CLOSED
