"""Codes as people type them, and nothing that only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.transaction.codes import (
    NotABondCode,
    NotADepositCode,
    bond_code,
    deposit_code,
    is_bond_code,
    told_code,
)

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@given(st.text(LETTERS, min_size=8, max_size=8))
def test_a_bond_code_in_both_spellings(text: str) -> None:
    assert bond_code(text) == bond_code(f"POD-BOND-{text}") == text.encode()
    assert deposit_code(f"POD-BOND-{text}") == text.encode()
    assert told_code(text.encode()) == f"POD-BOND-{text}"


@given(st.binary(min_size=8, max_size=8))
def test_a_user_code_in_hex(code: bytes) -> None:
    assert deposit_code(code.hex()) == deposit_code(code.hex().upper()) == code
    assert deposit_code(told_code(code)) == code


@pytest.mark.parametrize(
    "text",
    [
        "", "POD-BOND-", "POD-BOND-a1B2c3D", "POD-BOND-a1B2c3D45", "a1B2c3D", "a1B2c3D45",
        "pod-bond-a1B2c3D4", "POD-a1B2c3D4", "a1B2 c3D4", "a1B2c3Dé", "a1B2c3D٣", "a1B2_3D4",
        "POD-BOND-POD-BOND-", "00ff00ff00ff00ff",
    ],
)  # fmt: skip
def test_what_is_no_bond_code(text: str) -> None:
    with pytest.raises(NotABondCode):
        bond_code(text)


@pytest.mark.parametrize(
    "text", ["", "00ff", "0x00ff00ff00ff00", "00ff00ff00ff00fg", "00ff00ff00ff00ff00", "a1B2c3D4"]
)
def test_what_is_no_deposit_code(text: str) -> None:
    with pytest.raises(NotADepositCode):
        deposit_code(text)


def test_a_code_of_a_user_is_none_of_a_bond() -> None:
    assert is_bond_code(b"a1B2c3D4")
    assert not is_bond_code(bytes.fromhex("00ff00ff00ff00ff"))
    assert not is_bond_code(b"a1B2c3D")
