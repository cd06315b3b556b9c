"""Which bond is meant by a code: the wallet's own, one that was handed over, the only one."""

import base64

import pytest
from solders.pubkey import Pubkey

from cli.bond.facts import CannotList, NoSuchBond, SeveralBonds, all_of, locate
from cli.transaction.target import Target
from settlement.chain.layouts import BOND_SIZE, TOMBSTONE_SIZE, account_discriminator
from settlement.chain.program import BondState
from settlement.chain.rpc import open_rpc
from tests.pure.cli.bonds import BENEFICIARY, CODE, DEPLOYMENT, STRANGER, config
from tests.pure.faulty_node import Answer, error, node, result

THIRD = Pubkey(bytes([33]) * 32)
PROGRAM = str(DEPLOYMENT.program_id)


def raw_bond(first: Pubkey, now: Pubkey, state: BondState = BondState.POSTED) -> bytes:
    """A living bond as the chain holds it, as far as it matters here."""
    head = account_discriminator("Bond") + bytes([1, 255, state, 0, 0, 0, 0, 0]) + CODE
    return (head + bytes(first) + bytes(now)).ljust(BOND_SIZE, b"\0")


def raw_tombstone(state: BondState = BondState.RELEASED, code: bytes = CODE) -> bytes:
    head = account_discriminator("Tombstone") + bytes([1, 255, state, 0, 0, 0, 0, 0])
    return (head + code).ljust(TOMBSTONE_SIZE, b"\0")


def account(data: bytes | None, owner: str = PROGRAM) -> object:
    if data is None:
        return None
    shown = [base64.b64encode(data).decode(), "base64"]
    return {"owner": owner, "lamports": 1, "data": shown, "executable": False}


def at_once(data: bytes | None, owner: str = PROGRAM) -> Answer:
    """`getAccountInfo`: what stands at the wallet's own address."""
    return result({"context": {"slot": 1}, "value": account(data, owner)})


def listed(*found: tuple[Pubkey, bytes]) -> Answer:
    """`getProgramAccounts`."""
    return result([{"pubkey": str(where), "account": account(data)} for where, data in found])


def place(first: Pubkey) -> Pubkey:
    return DEPLOYMENT.bond(CODE, first)


async def found_by(
    *answers: Answer, beneficiary: Pubkey | None = None, wallet: Pubkey | None = None
) -> Pubkey:
    """The address of the bond that is meant, when the node answers like this."""
    async with node(*answers) as one, open_rpc([one.url]) as rpc:
        target = Target(rpc=rpc, deployment=DEPLOYMENT, config=config(), coordinator=None)
        return (await locate(target, CODE, beneficiary, wallet)).address


async def test_the_wallets_own_needs_no_list() -> None:
    own = at_once(raw_bond(BENEFICIARY, BENEFICIARY))
    assert await found_by(own, error(-1), wallet=BENEFICIARY) == place(BENEFICIARY)
    assert await found_by(own, error(-1), beneficiary=BENEFICIARY, wallet=STRANGER) == place(
        BENEFICIARY
    )


async def test_what_was_handed_to_the_wallet_is_found_by_the_list() -> None:
    every = listed(
        (place(STRANGER), raw_bond(STRANGER, BENEFICIARY)), (place(THIRD), raw_bond(THIRD, THIRD))
    )
    assert await found_by(at_once(None), every, wallet=BENEFICIARY) == place(STRANGER)
    named = await found_by(at_once(None), every, beneficiary=BENEFICIARY, wallet=THIRD)
    assert named == place(STRANGER)


async def test_the_only_one_is_meant() -> None:
    one = listed((place(THIRD), raw_bond(THIRD, THIRD)))
    assert await found_by(at_once(None), one, wallet=BENEFICIARY) == place(THIRD)
    assert await found_by(one) == place(THIRD)
    old = listed((place(STRANGER), raw_tombstone()), (place(THIRD), raw_bond(THIRD, THIRD)))
    assert await found_by(at_once(None), old, wallet=BENEFICIARY) == place(THIRD)


async def test_several_are_named() -> None:
    every = listed(
        (place(STRANGER), raw_bond(STRANGER, STRANGER)), (place(THIRD), raw_bond(THIRD, THIRD))
    )
    with pytest.raises(SeveralBonds) as refused:
        await found_by(at_once(None), every, wallet=BENEFICIARY)
    for owner in (STRANGER, THIRD):
        assert str(owner) in str(refused.value)


async def test_nobody_elses_bond_is_taken_for_the_one_named() -> None:
    every = listed((place(THIRD), raw_bond(THIRD, THIRD)))
    with pytest.raises(NoSuchBond):
        await found_by(at_once(None), every, beneficiary=BENEFICIARY, wallet=THIRD)
    with pytest.raises(NoSuchBond):
        await found_by(at_once(None), listed(), wallet=BENEFICIARY)


@pytest.mark.parametrize(
    "data", [b"", bytes(BOND_SIZE), raw_bond(BENEFICIARY, BENEFICIARY)[:-1], raw_tombstone()[:-1]]
)
async def test_what_is_no_bond_is_none(data: bytes) -> None:
    with pytest.raises(NoSuchBond):
        await found_by(at_once(data), listed((place(BENEFICIARY), data)), wallet=BENEFICIARY)


async def test_an_account_of_somebody_else_is_no_bond() -> None:
    squatter = at_once(raw_bond(BENEFICIARY, BENEFICIARY), owner=str(THIRD))
    with pytest.raises(NoSuchBond):
        await found_by(squatter, listed(), wallet=BENEFICIARY)


async def test_a_node_that_does_not_list_asks_for_the_beneficiary() -> None:
    disabled = error(-32_010, "excluded from account secondary indexes")
    with pytest.raises(CannotList, match=r"--beneficiary.*excluded"):
        await found_by(at_once(None), disabled, wallet=BENEFICIARY)


async def test_the_list_is_asked_for_by_code_and_read_twice() -> None:
    strange = raw_bond(THIRD, THIRD).replace(CODE, b"another1")
    answers = listed((place(STRANGER), raw_tombstone()), (place(THIRD), strange))
    async with node(answers) as one, open_rpc([one.url]) as rpc:
        target = Target(rpc=rpc, deployment=DEPLOYMENT, config=config(), coordinator=None)
        assert [found.address for found in await all_of(target, CODE)] == [place(STRANGER)]
        [program, options] = one.asked[0]["params"]
    assert program == PROGRAM
    [only] = options["filters"]
    assert only["memcmp"]["offset"] == 16
    assert only["memcmp"]["encoding"] == "base64"
