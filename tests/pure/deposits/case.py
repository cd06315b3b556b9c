"""A case of the list in docs/deposit-cases.md: answers of a node, and what becomes of the money.

Every answer of a case goes through the real decoder and the real attribution; what comes out is
told in a few words, one for each thing that happens, in the order of execution:

    credit: till 5 for bcb1d3eaddb99251    a code names somebody (whom, the books know)
    suspense: till 5                       booked, nobody named
    quarantine: till +5                    booked as unexplained, a person is told; 0: only told
    outflow: till 5                        left without a number: payouts stop
    failed, nothing                        the row is kept, no money moved
    unreadable                             nothing is concluded, the frontier waits
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from solders.pubkey import Pubkey

from indexer.attribution import events_of
from indexer.decode import decode
from indexer.events import Deposit, Event, Outflow, Quarantined
from indexer.raw import Unreadable
from settlement.chain.program import TOKEN_PROGRAM
from settlement.errors import snake_case
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    SIGNATURE,
    TILL,
    WATCH,
    Answer,
    Call,
    answer,
    deposit,
    transfer,
)

CODE: Final = bytes.fromhex("bcb1d3eaddb99251")
CODE_TEXT: Final = "bcb1d3eaddb99251"
OTHER: Final = bytes.fromhex("0011223344556677")
CREDIT: Final = f"credit: till 5 for {CODE_TEXT}"
SUSPENSE: Final = "suspense: till 5"
UNREADABLE: Final = "unreadable"
NOTHING: Final = "nothing"
FAILED: Final = "failed"
Raw = Any  # JSON as a node gave it, or anything else
Change = Callable[[Raw], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Answers that all lead to the same."""

    name: str
    what: str
    answers: tuple[object, ...]
    outcome: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A case that is decided before or after the decoder, and the test that decides it."""

    name: str
    what: str
    outcome: str
    test: str  # path::function


def case(name: str, what: str, *answers: Answer | object, leads_to: str | list[str]) -> Case:
    """One case; an answer is built by hand or is raw JSON."""
    raw = tuple(one.json() if isinstance(one, Answer) else one for one in answers)
    outcome = (leads_to,) if isinstance(leads_to, str) else tuple(leads_to)
    return Case(name=name, what=what, answers=raw, outcome=outcome)


def outcome_of(raw: object) -> tuple[str, ...]:
    """What the decoder and the attribution make of an answer, in words."""
    try:
        found = decode(raw, signature=SIGNATURE, watch=WATCH)
    except Unreadable:
        return (UNREADABLE,)
    if found.failed:
        return (FAILED,)
    return tuple(_words(event) for event in events_of(found, WATCH)) or (NOTHING,)


def _words(event: Event) -> str:
    match event:
        case Deposit(vault=vault, amount_microusdc=amount, code=bytes(code)):
            return f"credit: {vault} {amount} for {code.hex()}"
        case Deposit(vault=vault, amount_microusdc=amount):
            return f"suspense: {vault} {amount}"
        case Quarantined(vault=vault, delta_microusdc=delta):
            return f"quarantine: {vault} {delta:+}"
        case Outflow(vault=vault, amount_microusdc=amount):
            return f"outflow: {vault} {amount}"
        case _:
            return snake_case(type(event).__name__)


def coded(amount: int = 5) -> Answer:
    """A coded deposit."""
    return answer(deposit(CODE, amount), till=amount)


def plain(amount: int = 5, source: Pubkey = ALICE_ATA) -> Call:
    """A transfer into the till, as a wallet makes it."""
    return transfer(source, TILL, amount, checked=True)


def token(opcode: int, *accounts: Pubkey, data: bytes = b"") -> Call:
    """Any instruction of the token program."""
    return Call(TOKEN_PROGRAM, [*accounts, ALICE], bytes([opcode]) + data)


def u64(value: int) -> bytes:
    """An amount as instructions have it."""
    return value.to_bytes(8, "little")


def spoiled(made: Answer, *changes: Change) -> Raw:
    """A copy of an answer, changed."""
    raw = copy.deepcopy(made.json())
    for change in changes:
        change(raw)
    return raw


def put(path: str, value: object) -> Change:
    """Puts a value where the path leads; numbers are places in lists."""

    def change(raw: Raw) -> None:
        place, last = _walk(raw, path)
        place[last] = value

    return change


def drop(path: str) -> Change:
    """Takes away what stands where the path leads."""

    def change(raw: Raw) -> None:
        place, last = _walk(raw, path)
        del place[last]

    return change


def again(path: str) -> Change:
    """Repeats the first of a list at its end."""

    def change(raw: Raw) -> None:
        place, last = _walk(raw, path)
        place[last].append(place[last][0])

    return change


def _walk(raw: Raw, path: str) -> tuple[Raw, str | int]:
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for name in parents:
        raw = raw[name]
    return raw, last


def every(made: Answer, path: str, *values: object) -> tuple[Raw, ...]:
    """Copies of an answer, each with another value where the path leads."""
    return tuple(spoiled(made, put(path, value)) for value in values)
