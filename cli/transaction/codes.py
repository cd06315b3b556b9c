"""Codes as people type them. A user's code is eight random bytes, written as sixteen hex digits; a
bond's is eight letters or digits, usually behind `POD-BOND-`. Pure."""

import re
from typing import Final

from settlement.errors import Refused

BOND_PREFIX: Final = "POD-BOND-"
_BOND_CODE: Final = re.compile(r"[A-Za-z0-9]{8}")
_USER_CODE: Final = re.compile(r"[0-9A-Fa-f]{16}")


class NotABondCode(Refused):
    """A bond's code is POD-BOND- and eight letters or digits, or those eight alone."""


class NotADepositCode(Refused):
    """A deposit's code is sixteen hex digits, as registration gave it, or POD-BOND- and eight
    letters or digits."""


def bond_code(text: str) -> bytes:
    """The eight bytes of a bond's code. Raises `NotABondCode`."""
    bare = text.strip().removeprefix(BOND_PREFIX)
    if not _BOND_CODE.fullmatch(bare):
        raise NotABondCode(got=text)
    return bare.encode()


def deposit_code(text: str) -> bytes:
    """The eight bytes a deposit is credited by. Raises `NotADepositCode`."""
    bare = text.strip()
    if _USER_CODE.fullmatch(bare):
        return bytes.fromhex(bare)
    if bare.startswith(BOND_PREFIX) and _BOND_CODE.fullmatch(bare.removeprefix(BOND_PREFIX)):
        return bare.removeprefix(BOND_PREFIX).encode()
    raise NotADepositCode(got=text)


def is_bond_code(code: bytes) -> bool:
    """Whether these bytes can be a bond's code: a user's never are."""
    return _BOND_CODE.fullmatch(code.decode("latin-1")) is not None


def told_code(code: bytes) -> str:
    """The code as its owner was told it."""
    return f"{BOND_PREFIX}{code.decode()}" if is_bond_code(code) else code.hex()
