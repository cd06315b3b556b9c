"""The messages we sign: what goes into one, in which order, and nothing else. Pure.

A message is [compute limit, compute price, then for each step (create the token account it pays
into), one instruction of the bond program], paid and signed by one key. It follows completely from
its steps in their order, a `Budget` and a blockhash, so whoever holds those can build the same
bytes again: the signer does, and signs only if they are equal. A message happens whole or not at
all: one step that fails undoes the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.compute_budget import ID as COMPUTE_BUDGET_PROGRAM
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey

from settlement.chain.program import ATA_PROGRAM, create_associated_token_account
from settlement.errors import Refused
from settlement.money import Lamports

# What the network takes: a packet of 1,280 bytes less its headers; so much computing at once.
LARGEST_TRANSACTION_BYTES: Final = 1_232
LARGEST_COMPUTE_UNIT_LIMIT: Final = 1_400_000
ACCOUNT_COMPUTE_UNITS: Final = 60_000  # opening one: its address has to be searched for
SIGNATURE_LAMPORTS: Final = 5_000
_SIGNATURE_BYTES: Final = 64
_MICROLAMPORTS: Final = 1_000_000
_LIMIT_TAG: Final = 2
_PRICE_TAG: Final = 3
_BUDGET_INSTRUCTIONS: Final = 2


class UnknownMessage(Refused):
    """These bytes are not a message we make."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What carrying a message out may cost."""

    compute_unit_limit: int
    compute_unit_price_microlamports: int

    @property
    def priority_fee_lamports(self) -> Lamports:
        """What the price comes to for the whole limit, rounded up as the network does."""
        fee = self.compute_unit_limit * self.compute_unit_price_microlamports
        return Lamports(-(-fee // _MICROLAMPORTS))


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Whose canonical token account a step opens."""

    owner: Pubkey
    mint: Pubkey


@dataclass(frozen=True, kw_only=True)
class Step:
    """One instruction of ours, and whose token account is opened before it, if any."""

    instruction: Instruction
    opens: Recipient | None = None


def build(*, payer: Pubkey, steps: Sequence[Step], budget: Budget, blockhash: Hash) -> Message:
    """The one message that does this; the same arguments give the same bytes."""
    assert steps, "a message does something"
    instructions = [
        set_compute_unit_limit(budget.compute_unit_limit),
        set_compute_unit_price(budget.compute_unit_price_microlamports),
    ]
    for step in steps:
        if step.opens is not None:
            instructions.append(
                create_associated_token_account(
                    funder=payer, owner=step.opens.owner, mint=step.opens.mint
                )
            )
        instructions.append(step.instruction)
    return Message.new_with_blockhash(instructions, payer, blockhash)


def wire_bytes(message: Message) -> int:
    """How long the transaction is once its one signer has signed it."""
    return 1 + _SIGNATURE_BYTES + len(bytes(message))


def read_budget(raw: bytes) -> tuple[Budget, Hash]:
    """The budget and blockhash of one of our messages.

    Raises `UnknownMessage` when it does not begin like one. That it does proves nothing: build it
    again from what is known and compare the bytes.
    """
    try:
        message = Message.from_bytes(raw)
    except ValueError:
        raise UnknownMessage(length=len(raw)) from None
    programs = [message.program_id(at) for at in range(len(message.instructions))]
    opening = [COMPUTE_BUDGET_PROGRAM] * _BUDGET_INSTRUCTIONS
    if programs[:_BUDGET_INSTRUCTIONS] != opening or len(programs) == _BUDGET_INSTRUCTIONS:
        raise UnknownMessage(instructions=len(programs))
    budget = Budget(
        compute_unit_limit=_budget(message, 0, _LIMIT_TAG, 5),
        compute_unit_price_microlamports=_budget(message, 1, _PRICE_TAG, 9),
    )
    return budget, message.recent_blockhash


def opens_first(raw: bytes) -> bool:
    """Whether the first step of a message of ours opens a token account."""
    message = Message.from_bytes(raw)
    at = _BUDGET_INSTRUCTIONS
    return len(message.instructions) > at and message.program_id(at) == ATA_PROGRAM


def _budget(message: Message, at: int, tag: int, length: int) -> int:
    data = bytes(message.instructions[at].data)
    if len(data) != length or data[0] != tag:
        raise UnknownMessage(compute_budget=data.hex())
    return int.from_bytes(data[1:], "little")
