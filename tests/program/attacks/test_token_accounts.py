"""Token accounts in every place: another mint, the newer token program, closed, shared, frozen.

The tables are of every place that takes a token account; the vaults stand at fixed addresses, so
there the account itself is spoiled, as no token program would.
"""

from collections.abc import Mapping

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.abi import SHAPES
from tests.program.cases import CASES, deposit_case, pay_case, post_case, release_case
from tests.program.world import BOND_AMOUNT, with_account

TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
TAKEN = ("depositor_ata", "ops_wallet_ata", "till_vault", "bond_vault", "destination", "stray")
PLACES = [
    (name, place)
    for name in CASES
    if name != "initialize"
    for place, (account, _) in enumerate(SHAPES[name].accounts)
    if account in TAKEN
]
DELEGATE_AT, STATE_AT, DELEGATED_AT, CLOSE_AUTHORITY_AT = 72, 108, 121, 129
SOME = (1).to_bytes(4, "little")


def spoil(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


# How an account is spoiled: its owner, its bytes, and what is told.
SPOILED: Mapping[str, str] = {
    "newer token program": "WrongTokenAccount",
    "system program": "WrongTokenAccount",
    "uninitialized": "WrongTokenAccount",
    "unknown state": "WrongTokenAccount",
    "too short": "WrongTokenAccount",
    "with extensions": "WrongTokenAccount",
    "empty": "WrongTokenAccount",
    "a mint": "WrongTokenAccount",
    "another mint": "WrongMint",
    "frozen": "FrozenTokenAccount",
}


def spoiled_account(account: Account, how: str) -> Account:
    owner, data = account.owner, bytes(account.data)
    changes: Mapping[str, tuple[Pubkey, bytes]] = {
        "newer token program": (TOKEN_2022, data),
        "system program": (program.SYSTEM_PROGRAM, data),
        "uninitialized": (owner, spoil(data, STATE_AT, b"\0")),
        "unknown state": (owner, spoil(data, STATE_AT, b"\x03")),
        "too short": (owner, data[:-1]),
        "with extensions": (owner, data + b"\x02"),
        "empty": (owner, b""),
        "a mint": (owner, data[:82]),
        "another mint": (owner, bytes(Keypair().pubkey()) + data[32:]),
        "frozen": (owner, spoil(data, STATE_AT, b"\x02")),
    }
    owner, data = changes[how]
    return Account(account.lamports, data, owner)


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize(("name", "place"), PLACES)
def test_a_token_account_that_is_none_of_ours(name: str, place: int, how: str) -> None:
    case = CASES[name]()
    key = case.instruction.accounts[place].pubkey
    real = case.world.svm.get_account(key)
    assert real is not None
    case.world.svm.set_account(key, spoiled_account(real, how))
    assert case.refuse(case.instruction) == SPOILED[how]
    # Nothing was lost by trying: mended, it works.
    case.world.svm.set_account(key, real)
    case.send()


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_delegates_and_close_authorities_stop_nobody(name: str, place: int) -> None:
    """They never sign in this program: only an owner, or a destination's address, counts."""
    case = CASES[name]()
    key, guest = case.instruction.accounts[place].pubkey, bytes(Keypair().pubkey())
    case.world.patch(key, DELEGATE_AT, SOME + guest)
    case.world.patch(key, DELEGATED_AT, (2**64 - 1).to_bytes(8, "little"))
    case.world.patch(key, CLOSE_AUTHORITY_AT, SOME + guest)
    case.send()


# --- delegates in person


@pytest.mark.parametrize("name", ["deposit_usdc", "post_bond"])
def test_a_delegate_spends_nobody_elses_money(name: str) -> None:
    case = deposit_case() if name == "deposit_usdc" else post_case()
    places = {account: place for place, (account, _) in enumerate(SHAPES[name].accounts)}
    account = case.instruction.accounts[places["depositor_ata"]].pubkey
    delegate = case.world.wallet(BOND_AMOUNT)
    case.world.patch(account, DELEGATE_AT, SOME + bytes(delegate.pubkey()))
    case.world.patch(account, DELEGATED_AT, (BOND_AMOUNT).to_bytes(8, "little"))
    spoiled = with_account(case.instruction, places["depositor"], pubkey=delegate.pubkey())
    assert case.refuse(spoiled, delegate) == "WrongTokenAccount"


def test_a_delegate_of_the_canonical_account_is_not_its_owner() -> None:
    """An account given away has another owner, though the old one may still be its delegate."""
    case = release_case()
    account, beneficiary = (case.instruction.accounts[place].pubkey for place in (2, 1))
    case.world.patch(account, 32, bytes(Keypair().pubkey()))
    case.world.patch(account, DELEGATE_AT, SOME + bytes(beneficiary))
    assert case.refuse(case.instruction) == "WrongTokenAccount"


def test_a_beneficiary_who_closed_the_account_opens_it_again() -> None:
    case = release_case()
    world, beneficiary = case.world, case.instruction.accounts[1].pubkey
    account = world.ata(beneficiary)
    world.svm.set_account(account, Account(0, b"", program.SYSTEM_PROGRAM))
    assert case.refuse(case.instruction) == "WrongTokenAccount"
    world.open_account(beneficiary)
    case.send()
    assert world.balance(account) == BOND_AMOUNT


# --- paying ourselves


@pytest.mark.parametrize("owner", ["till_authority", "escrow"])
def test_no_account_of_ours_is_paid_or_released_to(owner: str) -> None:
    for name, make in (("pay", pay_case), ("release", lambda: release_case(signed=True))):
        case = make()
        places = {account: place for place, (account, _) in enumerate(SHAPES[name].accounts)}
        ours = getattr(case.world.deployment, owner)
        template = case.world.svm.get_account(case.world.deployment.till_vault)
        assert template is not None
        second = Keypair().pubkey()
        data = spoil(bytes(template.data), 32, bytes(ours))
        case.world.set_account(second, data, template.owner)
        spoiled = with_account(case.instruction, places["destination"], pubkey=second)
        assert case.refuse(spoiled) == "ForbiddenAddress"


def test_nobodys_account_is_not_paid() -> None:
    case = pay_case()
    destination = case.instruction.accounts[1].pubkey
    case.world.patch(destination, 32, bytes(32))
    assert case.refuse(case.instruction) == "ForbiddenAddress"


@pytest.mark.parametrize("decimals", [0, 5, 7, 9])
def test_a_mint_like_ours_is_another_mint(decimals: int) -> None:
    case = pay_case()
    world = case.world
    mint = world.new_mint(decimals)
    account = world.open_account(world.wallet().pubkey(), mint)
    world.mint_to(account, 10**6, mint)
    places = {account: place for place, (account, _) in enumerate(SHAPES["pay"].accounts)}
    assert case.refuse(with_account(case.instruction, places["mint"], pubkey=mint)) == "WrongMint"
    spoiled = with_account(case.instruction, places["destination"], pubkey=account)
    assert case.refuse(spoiled) == "WrongMint"
    both = with_account(spoiled, places["mint"], pubkey=mint)
    assert case.refuse(both) == "WrongMint"
