"""Pre-funded and pre-created addresses: nobody stops somebody else by being there first."""

import pytest
from solders.keypair import Keypair

from settlement.chain.abi import SHAPES
from settlement.chain.program import BondState
from tests.program.bonds.life import Life, new_life, retiring
from tests.program.case import CODE, Case
from tests.program.cases import CASES, fund_case, post_case
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, USDC

BOND_RENT = (128 + 376) * 6_960
LEAST = (128 + 0) * 6_960  # what an account without data must hold to stay
OPENINGS = {"post_bond": post_case, "fund_bond": fund_case}
AMOUNTS = [LEAST, BOND_RENT - 1, BOND_RENT, BOND_RENT + 1, 10**12]


def bond_place(name: str) -> int:
    return [account for account, _ in SHAPES[name].accounts].index("bond")


def opened_by(name: str) -> Case:
    return OPENINGS[name]()


@pytest.mark.parametrize("lamports", AMOUNTS)
@pytest.mark.parametrize("name", OPENINGS)
def test_lamports_at_the_address_of_a_bond(name: str, lamports: int) -> None:
    case = opened_by(name)
    world = case.world
    address = case.instruction.accounts[bond_place(name)].pubkey
    world.svm.airdrop(address, lamports)
    before = world.svm.get_balance(world.funder.pubkey())
    case.send()
    account = world.svm.get_account(address)
    after = world.svm.get_balance(world.funder.pubkey())
    assert account is not None
    assert before is not None
    assert after is not None
    assert account.lamports == max(lamports, BOND_RENT)
    # The funder pays only what is missing.
    assert before - after == max(BOND_RENT - lamports, 0)
    assert world.escrow().total_bonded_microusdc == BOND_AMOUNT


@pytest.mark.parametrize("name", OPENINGS)
def test_an_address_that_is_not_free_is_said_to_be_taken(name: str) -> None:
    """Only our program could put data there; were it so, nothing is written over."""
    case = opened_by(name)
    world = case.world
    address = case.instruction.accounts[bond_place(name)].pubkey
    for data, owner in (
        (b"\x01", world.deployment.program_id),
        (bytes(376), world.deployment.program_id),
        (b"\x01", Keypair().pubkey()),
        (b"", Keypair().pubkey()),
        (b"\x01", case.instruction.accounts[-1].pubkey),
    ):
        world.set_account(address, data, owner)
        assert case.refuse(case.instruction) == "AlreadyInitialized"


@pytest.mark.parametrize("lamports", [LEAST, 10**12])
@pytest.mark.parametrize("account", ["config", "escrow", "payouts", "till_authority"])
def test_lamports_at_the_addresses_of_a_deployment(account: str, lamports: int) -> None:
    case = CASES["initialize"]()
    case.world.svm.airdrop(getattr(case.world.deployment, account), lamports)
    case.send()
    assert case.world.config().ops_wallet == case.world.deployment.till_authority


@pytest.mark.parametrize("vaults", [("till_authority",), ("escrow",), ("till_authority", "escrow")])
def test_vaults_somebody_else_created_with_money_in_them(vaults: tuple[str, ...]) -> None:
    case = CASES["initialize"]()
    world = case.world
    for owner in vaults:
        account = world.open_account(getattr(world.deployment, owner))
        world.mint_to(account, 5 * USDC)
    case.send()
    assert world.till == (5 * USDC if "till_authority" in vaults else 0)
    assert world.held == (5 * USDC if "escrow" in vaults else 0)
    assert world.escrow().total_bonded_microusdc == 0


@pytest.mark.parametrize("account", ["config", "payouts", "escrow", "till_authority"])
def test_lamports_given_to_a_running_deployment(account: str) -> None:
    life = new_life()
    life.world.svm.airdrop(getattr(life.world.deployment, account), 10**10)
    life.send(life.retire())
    life.world.advance(COOLDOWN_SECONDS)
    life.send(life.release())
    assert life.bond.state is BondState.RELEASED


def test_strangers_who_open_and_fill_the_beneficiarys_account_stop_no_release() -> None:
    life = retiring()
    account = life.world.ata(life.owner.pubkey())
    life.world.mint_to(account, 7)
    life.world.svm.airdrop(account, 10**9)
    life.world.advance(COOLDOWN_SECONDS)
    life.send(life.release())
    assert life.world.balance(account) == BOND_AMOUNT + 7


def test_bonds_of_strangers_under_ones_code_take_nothing_from_it() -> None:
    life = new_life()
    for _ in range(5):
        squatter = life.world.wallet()
        life.world.post_bond(CODE, squatter.pubkey())
        theirs = Life(world=life.world, owner=squatter, first=squatter.pubkey())
        theirs.send(theirs.retire())
    assert life.bond.state is BondState.POSTED
    assert life.world.escrow().open_count == 6


def test_a_bond_posted_for_somebody_else_is_theirs_alone() -> None:
    """Nobody can take a place by paying for it: the bond belongs to whom it was posted for."""
    life = new_life()
    payer, theirs = life.world.wallet(BOND_AMOUNT), life.world.wallet()
    life.world.post_bond(b"Another1", theirs.pubkey(), payer)
    gift = Life(world=life.world, owner=theirs, first=theirs.pubkey(), code=b"Another1")
    assert gift.refuse(gift.retire(by=payer)) == "Unauthorized"
    gift.send(gift.retire())
