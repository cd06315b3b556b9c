"""The messages we sign: what goes into one, in which order, and nothing else. Pure.

A message is [compute limit, compute price, (create the recipient's token account), one instruction
of the bond program], paid and signed by one key. It follows completely from the instruction, a
`Plan` and a blockhash, so whoever holds those can build the same bytes again: the signer does, and
signs only if they are equal.
"""

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

_LIMIT_TAG: Final = 2
_PRICE_TAG: Final = 3


class UnknownMessage(Refused):
    """These bytes are not a message we make."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a message is carried out: what it may cost, and whether it opens a token account."""

    compute_unit_limit: int
    compute_unit_price_microlamports: int
    creates_account: bool


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Whose canonical token account a message opens when its plan says so."""

    owner: Pubkey
    mint: Pubkey


def build(
    *,
    payer: Pubkey,
    instruction: Instruction,
    recipient: Recipient | None,
    plan: Plan,
    blockhash: Hash,
) -> Message:
    """The one message that does this; the same arguments give the same bytes."""
    assert recipient is not None or not plan.creates_account, "an account is opened for someone"
    instructions = [
        set_compute_unit_limit(plan.compute_unit_limit),
        set_compute_unit_price(plan.compute_unit_price_microlamports),
    ]
    if plan.creates_account and recipient is not None:
        instructions.append(
            create_associated_token_account(
                funder=payer, owner=recipient.owner, mint=recipient.mint
            )
        )
    return Message.new_with_blockhash([*instructions, instruction], payer, blockhash)


def read_plan(raw: bytes) -> tuple[Plan, Hash]:
    """The plan and blockhash of one of our messages.

    Raises `UnknownMessage` when it does not have our shape. Having the shape proves nothing: build
    it again from what is known and compare the bytes.
    """
    try:
        message = Message.from_bytes(raw)
    except ValueError:
        raise UnknownMessage(length=len(raw)) from None
    programs = [message.program_id(at) for at in range(len(message.instructions))]
    opening = [COMPUTE_BUDGET_PROGRAM, COMPUTE_BUDGET_PROGRAM]
    if programs[:2] != opening or len(programs) not in (3, 4):
        raise UnknownMessage(instructions=len(programs))
    creates = len(programs) == 4
    if creates and programs[2] != ATA_PROGRAM:
        raise UnknownMessage(third=str(programs[2]))
    plan = Plan(
        compute_unit_limit=_budget(message, 0, _LIMIT_TAG, 5),
        compute_unit_price_microlamports=_budget(message, 1, _PRICE_TAG, 9),
        creates_account=creates,
    )
    return plan, message.recent_blockhash


def _budget(message: Message, at: int, tag: int, length: int) -> int:
    data = bytes(message.instructions[at].data)
    if len(data) != length or data[0] != tag:
        raise UnknownMessage(compute_budget=data.hex())
    return int.from_bytes(data[1:], "little")
