"""Every instruction against every spoiled account: missing, extra, substituted, of another kind.

The tables are whole: a new account without an expectation fails here.
"""

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.abi import OPEN_ENDED, SHAPES
from tests.program.cases import CASES, retire_case
from tests.program.world import with_account, with_data

# What a strange account in this place is refused with; `None` for accounts anybody may name.
STRANGER = {
    "initialize": {
        "upgrade_authority": "Unauthorized",
        "funder": None,
        "program_data": "WrongOwner",
        "config": "WrongAddress",
        "escrow": "WrongAddress",
        "payouts": "WrongAddress",
        "till_authority": "WrongAddress",
        "till_vault": "WrongTokenAccount",
        "bond_vault": "WrongTokenAccount",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
        "associated_token_program": "WrongProgram",
        "system_program": "WrongProgram",
    },
    "deposit_usdc": {
        "depositor_ata": "WrongTokenAccount",
        "ops_wallet_ata": "WrongAddress",
        "config": "WrongOwner",
        "depositor": "WrongTokenAccount",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
        "associated_token_program": "WrongProgram",
    },
    "post_bond": {
        "depositor": "WrongTokenAccount",
        "funder": None,
        "depositor_ata": "WrongTokenAccount",
        "bond_vault": "WrongAddress",
        "bond": "WrongAddress",
        "escrow": "WrongOwner",
        "config": "WrongOwner",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
        "system_program": "WrongProgram",
    },
    "fund_bond": {
        "payer": "Unauthorized",
        "funder": None,
        "till_authority": "WrongAddress",
        "till_vault": "WrongAddress",
        "bond_vault": "WrongAddress",
        "bond": "WrongAddress",
        "escrow": "WrongOwner",
        "payouts": "WrongOwner",
        "config": "WrongOwner",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
        "system_program": "WrongProgram",
    },
    "retire": {"signer": "Unauthorized", "bond": "WrongOwner", "config": "WrongOwner"},
    "release": {
        "bond": "WrongOwner",
        "beneficiary": "WrongAddress",
        "destination": "WrongTokenAccount",
        "rent_payer": "WrongAddress",
        "bond_vault": "WrongAddress",
        "escrow": "WrongOwner",
        "config": "WrongOwner",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
    },
    "pay": {
        "payer": "Unauthorized",
        "destination": "WrongTokenAccount",
        "till_authority": "WrongAddress",
        "till_vault": "WrongAddress",
        "payouts": "WrongOwner",
        "config": "WrongOwner",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
    },
    "skip": {"signer": "Unauthorized", "payouts": "WrongOwner", "config": "WrongOwner"},
    "cancel_retire": {"beneficiary": "Unauthorized", "bond": "WrongOwner"},
    "set_beneficiary": {
        "beneficiary": "Unauthorized",
        "new_beneficiary": None,
        "bond": "WrongOwner",
    },
    "propose_seizure": {"proposer": "Unauthorized", "bond": "WrongOwner", "config": "WrongOwner"},
    "withdraw_proposal": {"proposer": "Unauthorized", "bond": "WrongOwner", "config": "WrongOwner"},
    "contest": {"beneficiary": "Unauthorized", "bond": "WrongOwner"},
    "uphold": {"arbiter": "Unauthorized", "bond": "WrongOwner", "config": "WrongOwner"},
    "dismiss": {"arbiter": "Unauthorized", "bond": "WrongOwner", "config": "WrongOwner"},
    "execute_seizure": {
        "bond": "WrongOwner",
        "rent_payer": "WrongAddress",
        "bond_vault": "WrongAddress",
        "till_vault": "WrongAddress",
        "escrow": "WrongOwner",
        "config": "WrongOwner",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
    },
    "lapse": {"bond": "WrongOwner"},
    "approve_pay": {"admin": "Unauthorized", "payouts": "WrongOwner", "config": "WrongOwner"},
    "sweep_surplus": {
        "escrow": "WrongOwner",
        "bond_vault": "WrongAddress",
        "till_vault": "WrongAddress",
        "config": "WrongOwner",
        "mint": "WrongMint",
        "token_program": "WrongProgram",
    },
    "recover_stray": {
        "admin": "Unauthorized",
        "authority": "WrongAddress",
        "stray": "WrongTokenAccount",
        "destination": "WrongTokenAccount",
        "config": "WrongOwner",
        "stray_mint": "WrongMint",
        "token_program": "WrongProgram",
    },
    "set_params": {"admin": "Unauthorized", "config": "WrongOwner"},
    "apply_params": {"config": "WrongOwner"},
    "cancel_params": {"signer": "Unauthorized", "config": "WrongOwner"},
    "grant_role": {"admin": "Unauthorized", "config": "WrongOwner"},
    "apply_role": {"config": "WrongOwner"},
    "cancel_role": {"signer": "Unauthorized", "config": "WrongOwner"},
    "revoke_role": {"signer": "Unauthorized", "config": "WrongOwner"},
    "nominate_admin": {
        "signer": "Unauthorized",
        "config": "WrongOwner",
        "program_data": "WrongOwner",
    },
    "accept_admin": {"nominee": "Unauthorized", "config": "WrongOwner"},
    "cancel_nomination": {"admin": "Unauthorized", "config": "WrongOwner"},
    "pause": {"signer": "Unauthorized", "config": "WrongOwner"},
    "unpause": {"admin": "Unauthorized", "config": "WrongOwner"},
}


def places(flag: str = "") -> list[tuple[str, str, int]]:
    """Each (instruction, account, place), or only the places with this flag."""
    return [
        (name, account, place)
        for name, shape in SHAPES.items()
        for place, (account, flags) in enumerate(shape.accounts)
        if flag in flags
    ]


def place_of(name: str, account: str) -> int:
    """Where this account stands in the instruction's list."""
    return [each for each, _ in SHAPES[name].accounts].index(account)


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_valid_before_it_is_spoiled(name: str) -> None:
    CASES[name]().send()


@pytest.mark.parametrize(("name", "account", "place"), places())
def test_a_stranger_in_any_place(name: str, account: str, place: int) -> None:
    expected = STRANGER[name][account]
    if expected is None:
        return
    case = CASES[name]()
    stranger = Keypair()
    spoiled = with_account(case.instruction, place, pubkey=stranger.pubkey())
    assert case.refuse(spoiled, stranger) == expected


@pytest.mark.parametrize(("name", "account", "place"), places("w"))
def test_every_written_account_must_be_writable(name: str, account: str, place: int) -> None:
    case = CASES[name]()
    assert case.refuse(with_account(case.instruction, place, is_writable=False)) == "NotWritable"


@pytest.mark.parametrize(("name", "account", "place"), places("s"))
def test_every_signer_must_sign(name: str, account: str, place: int) -> None:
    case = CASES[name]()
    spoiled = with_account(case.instruction, place, is_signer=False)
    assert case.refuse(spoiled) == "MissingSignature"


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_accounts_listed(name: str) -> None:
    case = CASES[name]()
    accounts, data = list(case.instruction.accounts), case.instruction.data
    program_id = case.instruction.program_id
    fewer = Instruction(program_id, data, accounts[:-1])
    assert case.refuse(fewer) == "WrongAccountCount"
    assert case.refuse(Instruction(program_id, data, [])) == "WrongAccountCount"
    extra = AccountMeta(Pubkey.new_unique(), is_signer=False, is_writable=False)
    more = Instruction(program_id, data, [*accounts, extra])
    if name in OPEN_ENDED:  # wallets append reference keys
        case.world.send(more, signers=case.signers)
    else:
        assert case.refuse(more) == "WrongAccountCount"


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_bytes_expected(name: str) -> None:
    case = CASES[name]()
    data = bytes(case.instruction.data)
    spoiled_ones = {data[:-1], data + b"\0", data[:8], data[:7], b"", b"\0" * len(data)} - {data}
    for spoiled in spoiled_ones:
        assert case.refuse(with_data(case.instruction, spoiled)) == "InvalidInstruction"


def naming(account: str) -> list[str]:
    """The instructions that take this account, but the one that creates it."""
    takers = [name for name, found, _ in places() if found == account]
    return [name for name in takers if name != "initialize"]


@pytest.mark.parametrize("name", naming("config"))
def test_a_config_that_is_not_ours(name: str) -> None:
    refuse_imitations(name, place_of(name, "config"), version_at=40)


@pytest.mark.parametrize(
    ("name", "account"),
    [(name, account) for account in ("escrow", "payouts") for name in naming(account)],
)
def test_an_account_of_ours_that_is_not_ours(name: str, account: str) -> None:
    refuse_imitations(name, place_of(name, account), version_at=8)


OPENS_A_BOND = ("post_bond", "fund_bond")


@pytest.mark.parametrize("name", [name for name in naming("bond") if name not in OPENS_A_BOND])
def test_a_bond_that_is_not_one(name: str) -> None:
    refuse_imitations(name, place_of(name, "bond"), version_at=8)


def refuse_imitations(name: str, place: int, *, version_at: int) -> None:
    """A copy elsewhere, another kind, a wrong size, an unknown version: all refused."""
    case = CASES[name]()
    svm, deployment = case.world.svm, case.world.deployment
    real = case.instruction.accounts[place].pubkey
    original = svm.get_account(real)
    assert original is not None

    def imitation(data: bytes, owner: Pubkey = deployment.program_id) -> str:
        elsewhere = Pubkey.new_unique()
        svm.set_account(elsewhere, Account(original.lamports, data, owner))
        return case.refuse(with_account(case.instruction, place, pubkey=elsewhere))

    data = bytes(original.data)
    unknown = data[:version_at] + b"\x02" + data[version_at + 1 :]
    assert imitation(data) == "WrongAddress"
    assert imitation(data, owner=Pubkey.new_unique()) == "WrongOwner"
    assert imitation(bytes(8) + data[8:]) == "WrongTag"
    assert imitation(data[:-1]) == "WrongTag"
    assert imitation(data + b"\0") == "WrongTag"
    assert imitation(b"") == "WrongTag"
    assert imitation(unknown) == "WrongVersion"


def test_one_of_our_accounts_in_the_place_of_another() -> None:
    case = retire_case()
    deployment = case.world.deployment
    for other in (deployment.config, deployment.payouts, deployment.escrow):
        assert case.refuse(with_account(case.instruction, 1, pubkey=other)) == "WrongTag"
