"""What the mutation run found unwatched below the instructions: rent, lamports, the authority."""

import struct

import pytest
from solders.account import Account
from solders.pubkey import Pubkey
from solders.rent import Rent

from tests.program.case import Case
from tests.program.cases import initialize_case, post_case, release_case
from tests.program.world import World

LARGEST_PRICE = 2**32 - 1
MOST = 2**64 - 1
BOND, RENT_PAYER = 0, 3
SYSTEM_PROGRAM = Pubkey.default()


def set_rent(world: World, price: int, threshold: float) -> None:
    world.svm.set_rent(Rent.from_bytes(struct.pack("<QdB", price, threshold, 50)))


def rich(world: World) -> None:
    for person in (world.fee_payer, world.funder):
        world.svm.set_account(person.pubkey(), Account(10**18, b"", SYSTEM_PROGRAM))


def post_at(price: int, threshold: float) -> Case:
    case = post_case()
    rich(case.world)
    set_rent(case.world, price, threshold)
    return case


@pytest.mark.parametrize(("price", "threshold"), [(3_480, 2.0), (6_960, 1.0), (LARGEST_PRICE, 1.0)])
def test_a_bond_holds_its_rent(price: int, threshold: float) -> None:
    case = post_at(price, threshold)
    case.send()
    account = case.world.svm.get_account(case.instruction.accounts[4].pubkey)
    assert account is not None
    assert account.lamports == price * int(threshold) * (376 + 128)


@pytest.mark.parametrize(("price", "threshold"), [(LARGEST_PRICE + 1, 1.0), (3_480, 1.5)])
def test_rent_that_cannot_be_reckoned_is_refused(price: int, threshold: float) -> None:
    case = post_at(price, threshold)
    assert case.refuse(case.instruction) == "Overflow"


def test_a_bond_with_less_than_its_rent_cannot_be_buried() -> None:
    case = release_case()
    bond = case.instruction.accounts[BOND].pubkey
    account = case.world.svm.get_account(bond)
    assert account is not None
    case.world.svm.set_account(bond, Account(1_000, account.data, account.owner))
    assert case.refuse(case.instruction) == "Overflow"


def test_lamports_that_cannot_be_summed() -> None:
    case = release_case()
    rent_payer = case.instruction.accounts[RENT_PAYER].pubkey
    account = case.world.svm.get_account(rent_payer)
    assert account is not None
    case.world.svm.set_account(rent_payer, Account(MOST - 5, account.data, account.owner))
    assert case.refuse(case.instruction) == "Overflow"


def test_an_authority_taken_away_leaves_its_key_behind() -> None:
    case = initialize_case()
    address = case.world.deployment.program_data
    case.world.patch(address, 12, b"\0")
    account = case.world.svm.get_account(address)
    assert account is not None
    assert account.data[13:45] == bytes(case.world.upgrade_authority.pubkey())
    assert case.refuse(case.instruction) == "Unauthorized"
