"""Every way a node says no, in words."""

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from cli.transaction.meanings import MEANINGS, explain
from settlement.chain.program import ATA_PROGRAM, ERRORS, SYSTEM_PROGRAM, TOKEN_PROGRAM

OURS = Pubkey.new_unique()
OTHER = Pubkey.new_unique()


def calls(*programs: Pubkey) -> list[Instruction]:
    return [Instruction(program, b"", []) for program in programs]


def test_every_error_of_the_program_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ERRORS.values())


@pytest.mark.parametrize(("number", "name"), ERRORS.items())
def test_an_error_of_the_program_is_named(number: int, name: str) -> None:
    refusal = explain({"InstructionError": [1, {"Custom": number}]}, calls(OTHER, OURS), OURS)
    assert refusal is not None
    assert (refusal.name, refusal.number, refusal.instruction) == (name, number, 2)
    assert str(refusal) == f"{name} {number}: {MEANINGS[name]}"


def test_another_programs_number_is_not_ours() -> None:
    refusal = explain({"InstructionError": [0, {"Custom": 6_016}]}, calls(OTHER, OURS), OURS)
    assert refusal is not None
    assert refusal.name == "Custom6016"
    assert str(OTHER) in refusal.meaning


@pytest.mark.parametrize(
    ("program", "number", "name"),
    [
        (TOKEN_PROGRAM, 1, "InsufficientFunds"),
        (TOKEN_PROGRAM, 17, "AccountFrozen"),
        (SYSTEM_PROGRAM, 1, "InsufficientFunds"),
        (ATA_PROGRAM, 0, "Custom0"),
        (OURS, 1, "Custom1"),
    ],
)
def test_errors_of_the_programs_we_call(program: Pubkey, number: int, name: str) -> None:
    refusal = explain({"InstructionError": [0, {"Custom": number}]}, calls(program), OURS)
    assert refusal is not None
    assert refusal.name == name


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ("AccountNotFound", "AccountNotFound"),
        ("SomethingNew", "SomethingNew"),
        ({"InsufficientFundsForRent": {"account_index": 0}}, "InsufficientFundsForRent"),
        ({"InstructionError": [0, "MissingRequiredSignature"]}, "MissingRequiredSignature"),
        ({"InstructionError": [0, {"BorshIoError": "x"}]}, "InstructionError"),
        ({"InstructionError": [9, {"Custom": 6_016}]}, "Paused"),
        ({"InstructionError": ["?", "?"]}, "?"),
        ({"InstructionError": "?"}, "InstructionError"),
        ({}, "Unknown"),
        ([], "Unknown"),
        (7, "Unknown"),
    ],
)
def test_everything_else_is_told_too(error: object, name: str) -> None:
    refusal = explain(error, calls(OURS), OURS)
    assert refusal is not None
    assert refusal.name == name
    assert refusal.meaning


def test_no_error_is_none() -> None:
    assert explain(None, [], OURS) is None
