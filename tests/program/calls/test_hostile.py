"""What a foreign program tries: signing for others, being called back, many calls in one."""

import base64
import struct

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.transaction_metadata import FailedTransactionMetadata
from solders.transaction_status import (
    InstructionErrorFieldless,
    TransactionErrorInstructionError,
)

from settlement.chain.abi import SHAPES
from settlement.chain.program import BondState
from tests.program.bonds.life import Life, Step, new_life, post_again, proposed, retiring
from tests.program.calls.foreign import Foreign, deploy_foreign
from tests.program.case import USER_CODE
from tests.program.cases import CASES, deposit_case
from tests.program.till.counter import VERBS, new_counter
from tests.program.world import BOND_AMOUNT, START, USDC, World, with_account

PROGRAMS = ("token_program", "associated_token_program", "system_program")
CALLED_PROGRAMS = [
    (name, place)
    for name in CASES
    for place, (account, _) in enumerate(SHAPES[name].accounts)
    if account in PROGRAMS
]
SIGNED = [
    (name, place)
    for name in CASES
    for place, (_, flags) in enumerate(SHAPES[name].accounts)
    if "s" in flags
]


def runtime_error(world: World, instruction: Instruction, signers: list[Keypair]) -> str:
    """What the runtime itself refuses a transaction with."""
    result = world._run([instruction], signers)
    assert isinstance(result, FailedTransactionMetadata)
    error = result.err()
    assert isinstance(error, TransactionErrorInstructionError)
    assert isinstance(error.err, InstructionErrorFieldless), error
    return str(error.err).rpartition(".")[2]


# --- signing for others


@pytest.mark.parametrize(("name", "place"), SIGNED)
def test_a_caller_cannot_make_up_a_signature(name: str, place: int) -> None:
    case = CASES[name]()
    foreign = deploy_foreign(case.world)
    victim = case.instruction.accounts[place].pubkey
    forwarded = foreign.forward(case.instruction)
    metas = [
        AccountMeta(meta.pubkey, meta.is_signer and meta.pubkey != victim, meta.is_writable)
        for meta in forwarded.accounts
    ]
    unsigned = Instruction(forwarded.program_id, forwarded.data, metas)
    others = [key for key in case.signers if key.pubkey() != victim]
    assert runtime_error(case.world, unsigned, others) == "PrivilegeEscalation"


@pytest.mark.parametrize("owner", ["till_authority", "escrow", "config", "payouts"])
def test_our_own_addresses_sign_for_no_caller(owner: str) -> None:
    life = new_life()
    foreign = deploy_foreign(life.world)
    key = getattr(life.world.deployment, owner)
    step = life.hand_over(Keypair())
    signed_by_us = with_account(step.instruction, 1, pubkey=key)
    forwarded = foreign.forward(signed_by_us)
    metas = [
        AccountMeta(meta.pubkey, meta.is_signer and meta.pubkey != key, meta.is_writable)
        for meta in forwarded.accounts
    ]
    spoiled = Instruction(forwarded.program_id, forwarded.data, metas)
    assert runtime_error(life.world, spoiled, [life.owner]) == "PrivilegeEscalation"


# --- being called back


@pytest.mark.parametrize(("name", "place"), CALLED_PROGRAMS)
def test_a_foreign_program_is_never_called(name: str, place: int) -> None:
    """So nothing of a caller runs inside ours: there is no way back in."""
    case = CASES[name]()
    foreign = deploy_foreign(case.world)
    spoiled = with_account(case.instruction, place, pubkey=foreign.program_id)
    assert case.refuse(spoiled) == "WrongProgram"
    assert case.refuse(foreign.forward(spoiled)) == "WrongProgram"


def test_the_program_itself_is_no_token_program() -> None:
    for name, place in CALLED_PROGRAMS:
        case = CASES[name]()
        own = case.world.deployment.program_id
        spoiled = with_account(case.instruction, place, pubkey=own)
        assert case.refuse(spoiled) == "WrongProgram"


# --- many calls in one


def forwarded(life: Life, foreign: Foreign, *steps: Step) -> Step:
    signers = tuple(key for step in steps for key in step.signers)
    return Step(foreign.forward(*(step.instruction for step in steps)), signers)


@pytest.mark.parametrize("first", VERBS)
@pytest.mark.parametrize("second", VERBS)
def test_one_number_twice_within_one_call(first: str, second: str) -> None:
    counter = new_counter()
    foreign = deploy_foreign(counter.world)
    steps = VERBS[first](counter, 7), VERBS[second](counter, 7)
    both = foreign.forward(*(step.instruction for step in steps))
    signers = [key for step in steps for key in step.signers]
    expected = "AlreadySkipped" if first == "skip" else "AlreadyPaid"
    assert counter.world.refuse(both, signers=signers) == expected
    assert not counter.payouts.is_used(7)


def test_a_bond_released_and_posted_again_within_one_call() -> None:
    life = retiring()
    foreign = deploy_foreign(life.world)
    life.until(life.bond.release_at)
    again = post_again(life)
    assert life.refuse(forwarded(life, foreign, life.release(), again)) == "Tombstoned"
    assert life.refuse(forwarded(life, foreign, life.release(), life.release())) == "Tombstoned"
    assert life.bond.state is BondState.RETIRING
    life.send(forwarded(life, foreign, life.release()))
    assert life.bond.state is BondState.RELEASED


def test_a_bond_seized_twice_within_one_call() -> None:
    life = proposed()
    foreign = deploy_foreign(life.world)
    life.world.post_bond(b"Another1", life.first)
    life.until(life.bond.execute_after)
    assert life.refuse(forwarded(life, foreign, life.execute(), life.execute())) == "Tombstoned"
    assert life.world.held == 2 * BOND_AMOUNT
    life.send(forwarded(life, foreign, life.execute()))
    assert (life.world.held, life.world.till) == (BOND_AMOUNT, BOND_AMOUNT)


def test_retired_and_released_within_one_call() -> None:
    life = new_life()
    foreign = deploy_foreign(life.world)
    attempt = forwarded(life, foreign, life.retire(), life.release())
    assert life.refuse(attempt) == "CooldownNotOver"


def test_a_failure_inside_undoes_what_was_done_before_it() -> None:
    counter = new_counter()
    foreign = deploy_foreign(counter.world)
    steps = counter.pay(1, 5), counter.pay(2, 5), counter.pay(3, 0)
    call = foreign.forward(*(step.instruction for step in steps))
    assert counter.world.refuse(call, signers=[counter.world.payer]) == "WrongAmount"
    assert counter.payouts.first_free == 0
    assert counter.paid_out == 0


# --- the event


@pytest.mark.parametrize("depth", [1, 2])
def test_a_deposit_through_a_program_logs_the_event(depth: int) -> None:
    case = deposit_case()
    foreign = deploy_foreign(case.world)
    instruction = case.instruction
    for _ in range(depth):
        instruction = foreign.forward(instruction)
    logs = case.world.send(instruction, signers=case.signers).logs()
    assert f"Program {case.world.deployment.program_id} invoke [{depth + 1}]" in logs
    lines = [line for line in logs if line.startswith("Program data: ")]
    assert len(lines) == 1
    event = base64.b64decode(lines[0].removeprefix("Program data: "))
    assert event[8:24] == USER_CODE + struct.pack("<Q", 25 * USDC)
    assert event[24:88] == bytes(case.world.deployment.mint) + bytes(case.signers[0].pubkey())
    assert event[88:] == struct.pack("<q", START)
