"""Truncated, trailing and made-up data: every length but the right one, every name but ours."""

import hashlib

import pytest

from tests.program.cases import CASES
from tests.program.world import with_data

# Names Anchor programs have and ours has not.
FOREIGN_NAMES = (
    *("deposit_sol", "withdraw", "close", "initialise", "release_bond", "seize", "set_admin"),
    *("upgrade", "transfer", "Pay", "PAY", "pay ", ""),
)
ANCHOR_IDL = bytes.fromhex("40f4bc78a7e9690a")  # how Anchor's own IDL instructions begin


def test_every_length_but_its_own() -> None:
    for name in CASES:
        case = CASES[name]()
        data = bytes(case.instruction.data)
        for length in range(len(data)):
            spoiled = with_data(case.instruction, data[:length])
            assert case.refuse(spoiled) == "InvalidInstruction", (name, length)
        for more in (1, 2, 7, 8, 32, 200):
            spoiled = with_data(case.instruction, data + bytes(more))
            assert case.refuse(spoiled) == "InvalidInstruction", (name, more)


@pytest.mark.parametrize("name", CASES)
def test_a_name_off_by_any_bit(name: str) -> None:
    case = CASES[name]()
    data = bytes(case.instruction.data)
    for bit in range(64):
        flipped = int.from_bytes(data[:8], "little") ^ 1 << bit
        spoiled = with_data(case.instruction, flipped.to_bytes(8, "little") + data[8:])
        assert case.refuse(spoiled) == "InvalidInstruction"


@pytest.mark.parametrize("foreign", FOREIGN_NAMES)
def test_names_we_do_not_have(foreign: str) -> None:
    case = CASES["pay"]()
    tag = hashlib.sha256(f"global:{foreign}".encode()).digest()[:8]
    spoiled = with_data(case.instruction, tag + bytes(case.instruction.data)[8:])
    assert case.refuse(spoiled) == "InvalidInstruction"


def test_there_is_no_idl_instruction() -> None:
    case = CASES["pay"]()
    for kind in range(8):
        assert case.refuse(with_data(case.instruction, ANCHOR_IDL + bytes([kind]))) == (
            "InvalidInstruction"
        )
