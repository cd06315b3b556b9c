"""Duplicate accounts: any account in the place of any other of the same instruction."""

from typing import Final

import pytest
from solders.transaction_metadata import TransactionMetadata
from solders.transaction_status import InstructionErrorCustom, TransactionErrorInstructionError

from settlement.chain.abi import SHAPES
from settlement.chain.program import ERRORS
from tests.program.case import Case
from tests.program.cases import CASES
from tests.program.world import with_account

# Two parts that one person may play: the place, and who stands there too.
ALLOWED: Final = {
    ("initialize", "funder", "upgrade_authority"),
    ("post_bond", "funder", "depositor"),
    ("fund_bond", "funder", "payer"),
}
# Both would be what they have to be, but for being one.
DUPLICATE: Final = {
    ("deposit_usdc", "depositor_ata", "ops_wallet_ata"),
    ("post_bond", "depositor_ata", "bond_vault"),
    ("release", "destination", "bond_vault"),
    ("pay", "destination", "till_vault"),
    ("set_beneficiary", "beneficiary", "new_beneficiary"),
    ("set_beneficiary", "new_beneficiary", "beneficiary"),
    ("recover_stray", "stray", "destination"),
    ("recover_stray", "destination", "stray"),
}
# What a doubled account is otherwise: not what its place needs.
SUBSTITUTED: Final = {
    *("WrongProgram", "WrongOwner", "WrongTag", "WrongAddress", "NotWritable", "WrongMint"),
    *("WrongTokenAccount", "MissingSignature", "Unauthorized", "AlreadyInitialized"),
}
PAIRS = [
    (name, place, other)
    for name in CASES
    for place in range(len(SHAPES[name].accounts))
    for other in range(len(SHAPES[name].accounts))
    if place != other
]


@pytest.mark.parametrize("name", CASES)
def test_every_account_in_every_other_place(name: str) -> None:
    case = funded_case(name)
    for _, place, other in (pair for pair in PAIRS if pair[0] == name):
        answer = doubled(case, place, other)
        labels = (name, SHAPES[name].accounts[place][0], SHAPES[name].accounts[other][0])
        if labels in ALLOWED:
            assert answer == "done", labels
            case = funded_case(name)
        elif labels in DUPLICATE:
            assert answer == "DuplicateAccount", labels
        else:
            assert answer in SUBSTITUTED | {"the same already"}, (labels, answer)


def funded_case(name: str) -> Case:
    """A valid call all of whose signers could pay for an account."""
    case = CASES[name]()
    for signer in case.signers:
        case.world.svm.airdrop(signer.pubkey(), 1_000_000_000)
    return case


def doubled(case: Case, place: int, other: int) -> str:
    """What is answered when this place holds the account of the other one."""
    world, instruction = case.world, case.instruction
    key = instruction.accounts[other].pubkey
    if key == instruction.accounts[place].pubkey:
        return "the same already"
    signers = {signer.pubkey(): signer for signer in case.signers}
    spoiled = with_account(instruction, place, pubkey=key, is_signer=key in signers)
    needed = [meta.pubkey for meta in spoiled.accounts if meta.is_signer]
    before = {meta.pubkey: world.svm.get_account(meta.pubkey) for meta in instruction.accounts}
    result = world._run([spoiled], [signers[each] for each in dict.fromkeys(needed)])
    if isinstance(result, TransactionMetadata):
        return "done"
    assert {each: world.svm.get_account(each) for each in before} == before
    error = result.err()
    assert isinstance(error, TransactionErrorInstructionError), error
    assert isinstance(error.err, InstructionErrorCustom), error
    return ERRORS[error.err.code]
