"""Type cosplay: an account of one kind in the place of another, for every place of every kind."""

from collections.abc import Mapping

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.abi import SHAPES
from tests.program.bonds.life import Life, released
from tests.program.case import Case
from tests.program.cases import CASES
from tests.program.world import COOLDOWN_SECONDS, World, with_account

OURS = ("config", "escrow", "payouts", "bond")
OPENS_A_BOND = ("post_bond", "fund_bond")
KINDS = ("config", "escrow", "payouts", "bond", "tombstone", "vault", "mint", "nothing")
# An owner of another program is told before the tag.
NOT_OURS = {"vault", "mint", "nothing"}
COSPLAY = [
    (name, account, place, kind)
    for name in CASES
    if name != "initialize"  # creates these; what is there already is AlreadyInitialized
    for place, (account, _) in enumerate(SHAPES[name].accounts)
    if account in OURS
    for kind in KINDS
    if kind != account
]


def account_of(world: World, kind: str) -> Pubkey:
    """One account of this kind on the same chain; it is real and in its place."""
    deployment = world.deployment
    fixed: Mapping[str, Pubkey] = {
        "config": deployment.config,
        "escrow": deployment.escrow,
        "payouts": deployment.payouts,
        "vault": deployment.bond_vault,
        "mint": deployment.mint,
        "nothing": Keypair().pubkey(),
    }
    if kind in fixed:
        return fixed[kind]
    owner = world.wallet()
    world.post_bond(b"Cosplay1", owner.pubkey())
    life = Life(world=world, owner=owner, first=owner.pubkey(), code=b"Cosplay1")
    if kind == "tombstone":
        now = world.now
        life.send(life.retire())
        world.advance(COOLDOWN_SECONDS)
        life.send(life.release())
        world.advance(now - world.now)
    return life.address


def expected(name: str, account: str, kind: str) -> str:
    if account == "bond" and name in OPENS_A_BOND:
        return "WrongAddress"  # only the derived address is looked at
    if kind in NOT_OURS:
        return "WrongOwner"
    return "Tombstoned" if (account, kind) == ("bond", "tombstone") else "WrongTag"


@pytest.mark.parametrize(("name", "account", "place", "kind"), COSPLAY)
def test_another_kind_in_this_place(name: str, account: str, place: int, kind: str) -> None:
    case: Case = CASES[name]()
    spoiled = with_account(case.instruction, place, pubkey=account_of(case.world, kind))
    assert case.refuse(spoiled) == expected(name, account, kind)


@pytest.mark.parametrize("grown", [24, 32, 376, 768, 2_184])
def test_a_tombstone_made_as_long_as_another_account(grown: int) -> None:
    life = released()
    account = life.world.svm.get_account(life.address)
    assert account is not None
    data = bytes(account.data) + bytes(grown - len(account.data))
    life.world.set_account(life.address, data, account.owner)
    for step in (life.retire(), life.propose(), life.lapse(), life.execute(), life.release()):
        assert life.refuse(step) == "Tombstoned"


@pytest.mark.parametrize("name", [name for name in CASES if name != "initialize"])
def test_an_account_that_only_begins_like_ours(name: str) -> None:
    """Owned by a stranger's program, with our bytes: never read as ours."""
    for place, (account, _) in enumerate(SHAPES[name].accounts):
        if account not in OURS or (account == "bond" and name in OPENS_A_BOND):
            continue
        case = CASES[name]()
        key = case.instruction.accounts[place].pubkey
        real = case.world.svm.get_account(key)
        assert real is not None
        case.world.set_account(key, real.data, Keypair().pubkey())
        assert case.refuse(case.instruction) == "WrongOwner"
