"""Extra accounts, and too few: exactly those listed, but for the reference keys of a deposit."""

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.abi import OPEN_ENDED, SHAPES
from tests.program.case import Case
from tests.program.cases import CASES, deposit_case
from tests.program.world import USDC

STRICT = [name for name in CASES if name not in OPEN_ENDED]
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
# More than the entrypoint looks at (32), the same key again and again: that fits a transaction.
MANY = [1, 24, 25, 26, 60, 200]


def with_more(case: Case, *more: AccountMeta) -> Instruction:
    instruction = case.instruction
    return Instruction(instruction.program_id, instruction.data, [*instruction.accounts, *more])


def readonly(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=False)


@pytest.mark.parametrize("name", STRICT)
def test_one_more_of_any_kind(name: str) -> None:
    case = CASES[name]()
    deployment, signer = case.world.deployment, Keypair()
    for more in (
        *(readonly(key) for key in (CLOCK, deployment.config, deployment.till_vault)),
        case.instruction.accounts[0],
        case.instruction.accounts[-1],
        AccountMeta(deployment.bond_vault, is_signer=False, is_writable=True),
        AccountMeta(signer.pubkey(), is_signer=True, is_writable=False),
    ):
        assert case.refuse(with_more(case, more), signer) == "WrongAccountCount"


@pytest.mark.parametrize("name", STRICT)
def test_many_more(name: str) -> None:
    case = CASES[name]()
    for count in MANY:
        assert case.refuse(with_more(case, *[readonly(CLOCK)] * count)) == "WrongAccountCount"


@pytest.mark.parametrize("name", CASES)
def test_any_number_fewer(name: str) -> None:
    case = CASES[name]()
    program_id, data = case.instruction.program_id, case.instruction.data
    accounts = list(case.instruction.accounts)
    for count in range(len(SHAPES[name].accounts)):
        fewer = Instruction(program_id, data, accounts[:count])
        assert case.refuse(fewer) == "WrongAccountCount"


@pytest.mark.parametrize("count", MANY)
def test_a_deposit_with_many_reference_keys(count: int) -> None:
    case = deposit_case()
    case.world.send(with_more(case, *[readonly(CLOCK)] * count), signers=case.signers)
    assert case.world.till == 25 * USDC


def test_a_deposit_whose_reference_keys_are_its_own_accounts_or_sign() -> None:
    case = deposit_case()
    signer = Keypair()
    more = [
        *case.instruction.accounts,
        AccountMeta(signer.pubkey(), is_signer=True, is_writable=True),
    ]
    case.world.send(with_more(case, *more), signers=[*case.signers, signer])
    assert case.world.till == 25 * USDC


def test_reference_keys_do_not_stand_in_for_what_is_missing() -> None:
    case = deposit_case()
    accounts = list(case.instruction.accounts)
    for missing in range(len(accounts)):
        moved = [*accounts[:missing], *accounts[missing + 1 :], accounts[missing]]
        if moved == accounts:
            continue
        spoiled = Instruction(case.instruction.program_id, case.instruction.data, moved)
        assert case.refuse(spoiled) in {"WrongProgram", "WrongOwner"}
