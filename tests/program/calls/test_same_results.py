"""Called by a foreign program, every instruction does what it does when called directly.

Each valid call is made twice from the same state, directly and forwarded: what the accounts hold
afterwards must be the same bytes. Each spoiled call must give the same error.
"""

from collections.abc import Mapping

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata
from solders.transaction_status import (
    InstructionErrorCustom,
    TransactionErrorInstructionError,
)

from settlement.chain.abi import OPEN_ENDED, SHAPES
from settlement.chain.program import ERRORS
from tests.program.calls.foreign import Foreign, deploy_foreign
from tests.program.case import Case
from tests.program.cases import CASES
from tests.program.world import with_account, with_data

NOTHING = Account(0, b"", Pubkey.default())
DONE = "done"
State = Mapping[Pubkey, Account | None]
# Every account place of every instruction there is a valid call of.
PLACES = [(name, place) for name in CASES for place in range(len(SHAPES[name].accounts))]


def forwarding(name: str) -> tuple[Case, Foreign]:
    case = CASES[name]()
    return case, deploy_foreign(case.world)


def state_of(case: Case, instruction: Instruction | None = None) -> State:
    metas = (instruction or case.instruction).accounts
    return {meta.pubkey: case.world.svm.get_account(meta.pubkey) for meta in metas}


def restore(case: Case, state: State) -> None:
    for key, account in state.items():
        if case.world.svm.get_account(key) != account:
            case.world.svm.set_account(key, account or NOTHING)
        assert case.world.svm.get_account(key) == account


@pytest.mark.parametrize("name", CASES)
def test_forwarded_it_changes_the_same_bytes(name: str) -> None:
    case, foreign = forwarding(name)
    before = state_of(case)
    case.send()
    after = state_of(case)
    assert after != before
    restore(case, before)
    case.world.send(foreign.forward(case.instruction), signers=case.signers)
    assert state_of(case) == after


@pytest.mark.parametrize("name", CASES)
def test_two_programs_deep_it_still_works(name: str) -> None:
    case, foreign = forwarding(name)
    deeper = foreign.forward(foreign.forward(case.instruction))
    case.world.send(deeper, signers=case.signers)


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_a_stranger_in_any_place_gets_the_same_answer(name: str, place: int) -> None:
    case, foreign = forwarding(name)
    stranger = Keypair()
    case.world.svm.airdrop(stranger.pubkey(), 1_000_000_000)  # anybody with lamports may fund
    same_answer(
        case, foreign, with_account(case.instruction, place, pubkey=stranger.pubkey()), stranger
    )


@pytest.mark.parametrize("name", CASES)
def test_a_missing_flag_in_any_place_gets_the_same_error(name: str) -> None:
    case, foreign = forwarding(name)
    for place, (_, flags) in enumerate(SHAPES[name].accounts):
        if "w" in flags:
            readonly = with_account(case.instruction, place, is_writable=False)
            assert case.refuse(readonly) == "NotWritable"
            # The transaction lets the foreign program write to it, but the call does not.
            assert case.refuse(widened(foreign, readonly, case.instruction)) == "NotWritable"
        if "s" in flags:
            unsigned = with_account(case.instruction, place, is_signer=False)
            assert case.refuse(unsigned) == "MissingSignature"
            assert case.refuse(widened(foreign, unsigned, case.instruction)) == "MissingSignature"


@pytest.mark.parametrize("name", CASES)
def test_wrong_bytes_and_wrong_numbers_of_accounts_get_the_same_error(name: str) -> None:
    case, foreign = forwarding(name)
    data, accounts = bytes(case.instruction.data), list(case.instruction.accounts)
    for spoiled in (data[:-1], data + b"\0", data[:7], b"", bytes(len(data))):
        wrong = with_data(case.instruction, spoiled)
        assert case.refuse(foreign.forward(wrong)) == case.refuse(wrong) == "InvalidInstruction"
    fewer = Instruction(case.instruction.program_id, data, accounts[:-1])
    assert case.refuse(foreign.forward(fewer)) == "WrongAccountCount"
    stranger = AccountMeta(Pubkey.new_unique(), is_signer=False, is_writable=False)
    more = Instruction(case.instruction.program_id, data, [*accounts, stranger])
    if name in OPEN_ENDED:
        case.world.send(foreign.forward(more), signers=case.signers)
    else:
        assert case.refuse(foreign.forward(more)) == "WrongAccountCount"


def same_answer(case: Case, foreign: Foreign, spoiled: Instruction, *more: Keypair) -> None:
    before = state_of(case, spoiled)
    direct = answer(case, spoiled, *more)
    if direct == DONE:
        after = state_of(case, spoiled)
        restore(case, before)
        assert answer(case, foreign.forward(spoiled), *more) == DONE
        assert state_of(case, spoiled) == after
    else:
        assert answer(case, foreign.forward(spoiled), *more) == direct


def answer(case: Case, instruction: Instruction, *more: Keypair) -> str:
    """The error's name, or that it was done."""
    needed = {meta.pubkey for meta in instruction.accounts if meta.is_signer}
    signers = [key for key in (*case.signers, *more) if key.pubkey() in needed]
    result = case.world._run([instruction], signers)
    if isinstance(result, TransactionMetadata):
        return DONE
    error = result.err()
    assert isinstance(error, TransactionErrorInstructionError), error
    assert isinstance(error.err, InstructionErrorCustom), f"{error} {result.meta().logs()}"
    return ERRORS[error.err.code]


def widened(foreign: Foreign, call: Instruction, real: Instruction) -> Instruction:
    """The call as it is, forwarded with every right its real version has."""
    forwarded = foreign.forward(call)
    rights = {meta.pubkey: meta for meta in real.accounts}
    metas = [rights.get(meta.pubkey, meta) for meta in forwarded.accounts]
    return Instruction(forwarded.program_id, forwarded.data, metas)
