"""Which error is told when many are true: the frozen order of checks, walked for each instruction.

Every fault of the list is put into one call and the first is told; without it the second, and so on
to the last. (`pay` is walked in tests/program/test_precedence.py.)
"""

from collections.abc import Mapping

import pytest
from solders.keypair import Keypair

from tests.program.attacks.faults import (
    PROPOSALS_AT,
    RETIRING_AT,
    SEIZURE_AT,
    STATE_AT,
    Call,
    Fault,
    at_time,
    balance,
    bytes_at,
    capped,
    doubled,
    frozen,
    imposter,
    no_token_account,
    one_account_fewer,
    one_account_more,
    one_byte_more,
    patched,
    paused,
    readonly,
    skipped,
    stranger,
    unsigned,
)
from tests.program.bonds.life import DECISION, DISPUTE, EXECUTION
from tests.program.case import EVIDENCE
from tests.program.cases import CASES
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS

OTHER_CODE = bytes_at("WrongCode", 8, b"Another1")
NO_CODE = b"\0" * 8
DATA = one_byte_more()
COUNT = one_account_more()
CONFIG = stranger("WrongOwner", "config")
PROGRAM = stranger("WrongProgram", "token_program")
MINT = stranger("WrongMint", "mint")
BOND = readonly("bond")
EVIDENCE_COUNT_AT, EVIDENCE_USED_AT = 13, 280
LONG = 10 * COOLDOWN_SECONDS


def seizure(error: str, state: int) -> Fault:
    """The bond's seizure is in another state."""
    return patched(error, "bond", SEIZURE_AT, bytes([state]))


def state(error: str, number: int) -> Fault:
    """The bond is in another state."""
    return patched(error, "bond", STATE_AT, bytes([number]))


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


WALKS: Mapping[str, list[Fault]] = {
    "deposit_usdc": [
        DATA,
        one_account_fewer(),
        PROGRAM,
        CONFIG,
        stranger("WrongAddress", "ops_wallet_ata"),
        readonly("depositor_ata"),
        MINT,
        no_token_account("depositor_ata"),
        unsigned("depositor"),
        paused("deposits"),
        balance("WrongAmount", "depositor_ata", 0),
        frozen("ops_wallet_ata"),
    ],
    "post_bond": [
        DATA,
        bytes_at("WrongCode", 8, NO_CODE),
        COUNT,
        PROGRAM,
        CONFIG,
        stranger("WrongAddress", "bond"),
        readonly("escrow"),
        MINT,
        no_token_account("depositor_ata"),
        unsigned("funder"),
        paused("deposits"),
        balance("WrongAmount", "depositor_ata", BOND_AMOUNT - 1),
        frozen("bond_vault"),
    ],
    "fund_bond": [
        DATA,
        bytes_at("WrongCode", 16, NO_CODE),
        COUNT,
        PROGRAM,
        CONFIG,
        stranger("WrongAddress", "till_authority"),
        readonly("payouts"),
        MINT,
        no_token_account("till_vault"),
        unsigned("payer"),
        imposter("payer"),
        paused("payouts"),
        skipped(0),
        capped(),
        frozen("bond_vault"),
        balance("InsufficientVault", "till_vault", BOND_AMOUNT - 1),
    ],
    "retire": [
        DATA,
        COUNT,
        CONFIG,
        BOND,
        unsigned("signer"),
        imposter("signer"),
        state("WrongState", 2),
    ],
    "cancel_retire": [
        DATA,
        COUNT,
        OTHER_CODE,
        BOND,
        unsigned("beneficiary"),
        imposter("beneficiary"),
        state("WrongState", 1),
    ],
    "set_beneficiary": [
        DATA,
        COUNT,
        OTHER_CODE,
        BOND,
        doubled("beneficiary", "new_beneficiary"),
        unsigned("new_beneficiary"),
        imposter("beneficiary"),
        seizure("SeizureOpen", 1),
    ],
    "release": [
        DATA,
        COUNT,
        PROGRAM,
        CONFIG,
        OTHER_CODE,
        stranger("WrongAddress", "rent_payer"),
        readonly("escrow"),
        doubled("destination", "bond_vault"),
        MINT,
        no_token_account("destination"),
        paused("releases"),
        state("WrongState", 1),
        seizure("SeizureOpen", 3),
        at_time("CooldownNotOver", -1),
        frozen("bond_vault"),
        balance("InsufficientVault", "bond_vault", BOND_AMOUNT - 1),
    ],
    "propose_seizure": [
        bytes_at("InvalidInstruction", 16, bytes(32)),
        COUNT,
        CONFIG,
        OTHER_CODE,
        BOND,
        unsigned("proposer"),
        imposter("proposer"),
        paused("seizures"),
        seizure("SeizureOpen", 1),
        patched("EvidenceReused", "bond", EVIDENCE_USED_AT, EVIDENCE),
        at_time("SeizureTooLate", LONG),
        patched("SeizureLimit", "bond", PROPOSALS_AT, b"\x03"),
    ],
    "withdraw_proposal": [
        DATA,
        COUNT,
        CONFIG,
        OTHER_CODE,
        BOND,
        unsigned("proposer"),
        imposter("proposer"),
        seizure("WrongState", 3),
    ],
    "contest": [
        DATA,
        COUNT,
        OTHER_CODE,
        BOND,
        unsigned("beneficiary"),
        imposter("beneficiary"),
        seizure("AlreadyContested", 2),
        at_time("WindowOver", LONG),
    ],
    "uphold": [
        DATA,
        COUNT,
        CONFIG,
        OTHER_CODE,
        BOND,
        unsigned("arbiter"),
        imposter("arbiter"),
        paused("seizures"),
        seizure("NotContested", 1),
        at_time("WindowOver", LONG),
    ],
    "dismiss": [
        DATA,
        COUNT,
        CONFIG,
        OTHER_CODE,
        BOND,
        unsigned("arbiter"),
        imposter("arbiter"),
        seizure("WrongState", 3),
        at_time("WindowOver", LONG),
    ],
    "execute_seizure": [
        DATA,
        COUNT,
        PROGRAM,
        CONFIG,
        OTHER_CODE,
        stranger("WrongAddress", "rent_payer"),
        readonly("till_vault"),
        MINT,
        no_token_account("till_vault"),
        paused("seizures"),
        seizure("WrongState", 2),
        at_time("WindowNotOver", -DISPUTE - DECISION),
        frozen("bond_vault"),
        balance("InsufficientVault", "bond_vault", BOND_AMOUNT - 1),
    ],
    "lapse": [
        DATA,
        COUNT,
        OTHER_CODE,
        BOND,
        seizure("NoSeizure", 0),
        at_time("WindowNotOver", -EXECUTION - DECISION - DISPUTE),
    ],
    "approve_pay": [
        DATA,
        COUNT,
        CONFIG,
        readonly("payouts"),
        unsigned("admin"),
        imposter("admin"),
        skipped(7),
        bytes_at("WrongAmount", 16, word(0)),
    ],
    "skip": [
        bytes_at("InvalidInstruction", 16, word(0)),
        COUNT,
        CONFIG,
        readonly("payouts"),
        unsigned("signer"),
        imposter("signer"),
        Fault("AlreadySkipped", lambda call: call.case.world.skip(3, 0b101)),
    ],
    "sweep_surplus": [
        DATA,
        COUNT,
        PROGRAM,
        CONFIG,
        stranger("WrongAddress", "bond_vault"),
        readonly("till_vault"),
        MINT,
        no_token_account("till_vault"),
        balance("NothingToSweep", "bond_vault", BOND_AMOUNT),
        frozen("bond_vault"),
    ],
    "recover_stray": [
        DATA,
        COUNT,
        PROGRAM,
        CONFIG,
        stranger("WrongAddress", "authority"),
        readonly("stray", "destination"),  # doubled they are one, writable if either is
        doubled("destination", "stray"),
        stranger("WrongMint", "stray_mint"),
        no_token_account("destination"),
        unsigned("admin"),
        imposter("admin"),
        balance("NothingToSweep", "stray", 0),
        frozen("stray"),
    ],
}
STEPS = [(name, first) for name, faults in WALKS.items() for first in range(len(faults))]


@pytest.mark.parametrize(("name", "first"), STEPS)
def test_the_first_of_many_is_told(name: str, first: int) -> None:
    case = CASES[name]()
    call = Call(name=name, case=case, instruction=case.instruction, imposter=Keypair())
    present = WALKS[name][first:]
    if name == "propose_seizure":
        prepare_retiring(call)
    # The last faults first: a doubled account copies what stands there in the end, and another
    # number of accounts or bytes is the last change.
    for fault in reversed(present):
        fault.spoil(call)
    assert case.refuse(call.instruction, call.imposter) == present[0].error


def prepare_retiring(call: Call) -> None:
    """The bond retires, and remembers one evidence that is not this one."""
    world, bond = call.case.world, call.key("bond")
    world.patch(bond, STATE_AT, b"\x02")
    world.patch(bond, RETIRING_AT, word(world.now) + word(world.now + COOLDOWN_SECONDS))
    world.patch(bond, EVIDENCE_COUNT_AT, b"\x01")
    world.patch(bond, EVIDENCE_USED_AT, bytes([99]) * 32)


@pytest.mark.parametrize("name", WALKS)
def test_without_a_fault_it_is_done(name: str) -> None:
    CASES[name]().send()
