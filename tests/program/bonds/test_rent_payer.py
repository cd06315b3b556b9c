"""Whatever became of who paid the rent: it cannot keep a bond from its end.

The rent payer is an account of an ending that its owner could have made hostile since: emptied,
given data, made a token account or even a program.
"""

from collections.abc import Callable, Mapping

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from tests.program.bonds.life import Life, Step, proposed, retiring
from tests.program.calls.build import CALLER
from tests.program.world import BOND_AMOUNT, World, with_account

FREED = (376 - 24) * 6_960
RENT_PAYER = {"release": 3, "execute_seizure": 1}


def emptied(world: World, payer: Pubkey) -> None:
    world.svm.set_account(payer, Account(0, b"", program.SYSTEM_PROGRAM))


def given_data(world: World, payer: Pubkey) -> None:
    world.svm.set_account(payer, Account(10_000_000, bytes(100), Keypair().pubkey()))


def made_token_account(world: World, payer: Pubkey) -> None:
    template = world.svm.get_account(world.deployment.till_vault)
    assert template is not None
    world.svm.set_account(payer, template)


def made_program(world: World, payer: Pubkey) -> None:
    world.svm.add_program(payer, CALLER.read_bytes())


BECAME: Mapping[str, Callable[[World, Pubkey], None]] = {
    "emptied": emptied,
    "given data": given_data,
    "made a token account": made_token_account,
    "made a program": made_program,
}


def ending(name: str) -> tuple[Life, Step]:
    """A life, and the step that ends it now."""
    life = retiring() if name == "release" else proposed()
    life.until(max(life.bond.release_at, life.bond.execute_after))
    return life, life.release() if name == "release" else life.execute()


@pytest.mark.parametrize("name", RENT_PAYER)
@pytest.mark.parametrize("became", BECAME)
def test_a_bond_ends_all_the_same(name: str, became: str) -> None:
    life, end = ending(name)
    payer = life.world.funder.pubkey()
    BECAME[became](life.world, payer)
    before = life.world.svm.get_balance(payer) or 0
    life.send(end)
    assert life.world.svm.get_balance(payer) == before + FREED
    assert life.world.held == 0


@pytest.mark.parametrize("name", RENT_PAYER)
def test_nobody_else_gets_the_rent(name: str) -> None:
    life, end = ending(name)
    world = life.world
    others = (life.owner.pubkey(), world.payer.pubkey(), Keypair().pubkey(), life.address)
    for other in (*others, world.deployment.till_authority, world.deployment.config):
        spoiled = with_account(end.instruction, RENT_PAYER[name], pubkey=other)
        assert life.refuse(Step(spoiled)) == "WrongAddress"
    assert world.held == BOND_AMOUNT


def test_a_bond_handed_over_still_pays_back_who_paid() -> None:
    life = retiring()
    heir, payer = life.world.wallet(), life.world.funder.pubkey()
    life.send(life.hand_over(heir))
    inherited = Life(world=life.world, owner=heir, first=life.first)
    life.until(life.bond.release_at)
    before = life.world.svm.get_balance(payer)
    assert before is not None
    inherited.send(inherited.release())
    assert life.world.svm.get_balance(payer) == before + FREED
