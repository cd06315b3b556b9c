"""What a transaction will do, in the words that are shown before anybody signs it. Pure.

A verb makes a `Proposal`; the accounts of each instruction are told from the program's own table,
so a name beside an address here is the place in which the program will look at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from solders.compute_budget import ID as COMPUTE_BUDGET_PROGRAM
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from settlement.chain.abi import SHAPES, instruction_discriminator
from settlement.chain.program import ATA_PROGRAM, SYSTEM_PROGRAM, TOKEN_PROGRAM

_NAMES: Final = {instruction_discriminator(name): name for name in SHAPES}
_OTHERS: Final = {
    ATA_PROGRAM: (
        "create token account (if missing)",
        ("funder", "token account", "owner", "mint", "system program", "token program"),
    ),
    SYSTEM_PROGRAM: ("system program", ()),
    TOKEN_PROGRAM: ("token program", ()),
    COMPUTE_BUDGET_PROGRAM: ("compute budget", ()),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the plan: `what moves`, `50.000000 USDC`."""

    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An account the transaction creates; its rent is paid by the proposal's payer."""

    what: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One transaction that a person may sign, or not."""

    name: str  # a stable word for programs: "post_bond"
    title: str
    lines: tuple[Line, ...]
    instructions: tuple[Instruction, ...]
    payer: Pubkey
    irreversible: str = ""  # what cannot be undone afterwards, in a sentence
    opens: tuple[Opened, ...] = ()
    facts: dict[str, object] = field(default_factory=dict[str, object])  # for --json

    @property
    def signers_needed(self) -> tuple[Pubkey, ...]:
        """Who must sign: the payer of the fee first, then in the order of the instructions."""
        named = [
            account.pubkey
            for instruction in self.instructions
            for account in instruction.accounts
            if account.is_signer
        ]
        return tuple(dict.fromkeys([self.payer, *named]))


@dataclass(frozen=True, kw_only=True)
class NothingToDo:
    """What was asked for is so already."""

    name: str
    why: str
    facts: dict[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, kw_only=True)
class AccountInWords:
    """One account of an instruction: which place it stands in, and what may happen to it."""

    place: str
    address: Pubkey
    signs: bool
    written: bool


@dataclass(frozen=True, kw_only=True)
class InstructionInWords:
    """One instruction as a person reads it."""

    name: str
    program: Pubkey
    accounts: tuple[AccountInWords, ...]


def in_words(
    program_id: Pubkey, instructions: Sequence[Instruction]
) -> tuple[InstructionInWords, ...]:
    """Each instruction's name and the place of each of its accounts."""
    return tuple(_told(program_id, instruction) for instruction in instructions)


def _told(program_id: Pubkey, instruction: Instruction) -> InstructionInWords:
    name, places = _table(program_id, instruction)
    return InstructionInWords(
        name=name,
        program=instruction.program_id,
        accounts=tuple(
            AccountInWords(
                place=places[at] if at < len(places) else f"account {at + 1}",
                address=account.pubkey,
                signs=account.is_signer,
                written=account.is_writable,
            )
            for at, account in enumerate(instruction.accounts)
        ),
    )


def _table(program_id: Pubkey, instruction: Instruction) -> tuple[str, tuple[str, ...]]:
    if instruction.program_id != program_id:
        return _OTHERS.get(instruction.program_id, ("another program", ()))
    name = _NAMES.get(bytes(instruction.data[:8]))
    if name is None:
        return "unknown instruction", ()
    places = tuple(place.replace("_", " ") for place, _ in SHAPES[name].accounts)
    return name.replace("_", " "), places
