"""What a payment link asks for: read strictly from its query, and written back the same. Pure.

A link is typed by nobody but may be changed by anybody, and money follows from it. So every
parameter is known, given once (but `reference`) and right, or the request is refused by its name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, assert_never
from urllib.parse import urlencode

from solders.pubkey import Pubkey

from coordinator.api.payments.refusals import QueryInvalid
from coordinator.identities import BOND_PREFIX
from settlement.chain.program import CODE_LENGTH
from settlement.money import MicroUsdc, format_usdc, parse_usdc

Query: TypeAlias = Sequence[tuple[str, str]]

MOST_REFERENCES: Final = 8
_LONGEST_SHOWN: Final = 64
_HEX_CODE: Final = re.compile(r"[0-9A-Fa-f]{16}")
_BOND_CODE: Final = re.compile(re.escape(BOND_PREFIX) + r"([A-Za-z0-9]{8})")
# As Solana Pay writes amounts: a digit before the point, no exponent.
_AMOUNT: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,6})?")


class BondStep(StrEnum):
    """What the beneficiary of a bond can do with it from a phone."""

    RETIRE = "retire"
    CANCEL = "cancel"
    RELEASE = "release"


@dataclass(frozen=True, kw_only=True)
class DepositAsked:
    """Put USDC into the till under a code: a user's, or that of a bond."""

    code: bytes
    amount_microusdc: MicroUsdc
    references: tuple[Pubkey, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BondAsked:
    """Post the bond of this code. A beneficiary, if named, must be the enrolled wallet."""

    code: bytes
    beneficiary: Pubkey | None = None


@dataclass(frozen=True, kw_only=True)
class StepAsked:
    """Take a bond one step through its life."""

    code: bytes
    step: BondStep


Asked: TypeAlias = DepositAsked | BondAsked | StepAsked


def deposit(query: Query) -> DepositAsked:
    """Raises `QueryInvalid` or `InvalidAmount`, naming the parameter."""
    _known(query, single=("code", "amount"), repeated=("reference",))
    return DepositAsked(
        code=read_code(_one(query, "code")),
        amount_microusdc=_amount(_one(query, "amount")),
        references=_references([value for name, value in query if name == "reference"]),
    )


def bond(query: Query) -> BondAsked:
    """Raises `QueryInvalid`, naming the parameter."""
    _known(query, single=("code", "beneficiary"))
    beneficiary = dict(query).get("beneficiary")
    return BondAsked(
        code=read_bond_code(_one(query, "code")),
        beneficiary=None if beneficiary is None else _key(beneficiary, "beneficiary"),
    )


def step(step: BondStep, query: Query) -> StepAsked:
    """Raises `QueryInvalid`, naming the parameter."""
    _known(query, single=("code",))
    return StepAsked(code=read_bond_code(_one(query, "code")), step=step)


def path_of(asked: Asked) -> str:
    """Where under `/v1/pay` this is asked."""
    match asked:
        case DepositAsked():
            return "deposit"
        case BondAsked():
            return "bond"
        case StepAsked():
            return f"bond/{asked.step.value}"
        case _:
            assert_never(asked)


def query_of(asked: Asked) -> str:
    """The query that asks for exactly this; reading it again gives the same."""
    pairs = [("code", code_text(asked.code))]
    match asked:
        case DepositAsked():
            pairs.append(("amount", dollars(asked.amount_microusdc)))
            pairs += [("reference", str(key)) for key in asked.references]
        case BondAsked(beneficiary=Pubkey() as beneficiary):
            pairs.append(("beneficiary", str(beneficiary)))
        case BondAsked() | StepAsked():
            pass
        case _:
            assert_never(asked)
    return urlencode(pairs)


def code_text(code: bytes) -> str:
    """A code as people know it: a bond's by its letters, a user's in hex."""
    letters = code.decode("ascii", errors="replace")
    if _BOND_CODE.fullmatch(BOND_PREFIX + letters):
        return BOND_PREFIX + letters
    return code.hex()


def dollars(amount_microusdc: int) -> str:
    """An amount of USDC without trailing zeros: `25.5`, `50`."""
    return format_usdc(amount_microusdc).rstrip("0").rstrip(".")


def read_code(text: str) -> bytes:
    """The eight bytes of a user's or a bond's code. Raises `QueryInvalid`."""
    if _HEX_CODE.fullmatch(text):
        return bytes.fromhex(text)
    return read_bond_code(text, valid=f"16 hex digits or {BOND_PREFIX}XXXXXXXX")


def read_bond_code(text: str, *, valid: str = f"{BOND_PREFIX}XXXXXXXX") -> bytes:
    """The eight bytes of a bond's code. Raises `QueryInvalid`."""
    found = _BOND_CODE.fullmatch(text)
    if found is None:
        raise _wrong("code", "not a code", text, valid=valid)
    code = found[1].encode()
    assert len(code) == CODE_LENGTH, "the pattern takes eight letters"
    return code


def _amount(text: str) -> MicroUsdc:
    if not _AMOUNT.fullmatch(text):
        problem = "not an amount of USDC with at most 6 decimals"
        raise _wrong("amount", problem, text, valid="as in 25.5")
    return parse_usdc(text, field="amount")


def _references(texts: Sequence[str]) -> tuple[Pubkey, ...]:
    if len(texts) > MOST_REFERENCES:
        raise QueryInvalid(field="reference", problem=f"more than {MOST_REFERENCES}")
    keys = tuple(_key(text, "reference") for text in texts)
    if len(set(keys)) < len(keys):
        raise QueryInvalid(field="reference", problem="the same key twice")
    return keys


def _key(text: str, field: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise _wrong(field, "not 32 bytes in base58", text) from None


def _known(query: Query, *, single: Iterable[str], repeated: Iterable[str] = ()) -> None:
    taken = {*single, *repeated}
    counts: Mapping[str, int] = {
        name: sum(1 for other, _ in query if other == name) for name, _ in query
    }
    for name, count in counts.items():
        if name not in taken:
            shown = name[:_LONGEST_SHOWN]
            raise QueryInvalid(field=shown, problem="no such parameter", valid=sorted(taken))
        if count > 1 and name in single:
            raise QueryInvalid(field=name, problem="given more than once")


def _one(query: Query, name: str) -> str:
    found = dict(query).get(name)
    if found is None:
        raise QueryInvalid(field=name, problem="it is missing")
    return found


def _wrong(field: str, problem: str, got: str, **details: str) -> QueryInvalid:
    return QueryInvalid(field=field, problem=problem, got=got[:_LONGEST_SHOWN], **details)
