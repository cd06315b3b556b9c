"""For every instruction, anchorpy makes the bytes and accounts that we make, from names alone."""

import os
import random
from typing import Any, cast

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from cli.transaction.anchorpy import ask_anchorpy, by_name
from settlement.chain import program
from settlement.chain.abi import KINDS, SHAPES, instruction_discriminator
from settlement.chain.instructions import decode_instruction

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]

DEPLOYMENT = program.Deployment(Pubkey.new_unique(), Pubkey.new_unique())
EACH = 40


def random_instruction(name: str, dice: random.Random) -> Instruction:
    """An instruction of our own making, with any arguments and accounts."""
    shape = SHAPES[name]
    data = instruction_discriminator(name)
    for _, kind in shape.arguments:
        least, most = {"role": (1, 4), "bit": (0, 3)}.get(kind, (0, 255))
        size = KINDS[kind].size
        drawn = bytes(dice.randint(least, most) for _ in range(size))
        data += dice.choice([drawn, bytes([least] * size), bytes([most] * size)])
    accounts = [Pubkey.from_bytes(dice.randbytes(32)) for _ in shape.accounts]
    return program.build(DEPLOYMENT, decode_instruction(data, accounts))


def read(told: dict[str, Any]) -> Instruction:
    accounts = [
        AccountMeta(Pubkey.from_string(one["address"]), one["signs"], one["written"])
        for one in told["accounts"]
    ]
    return Instruction(Pubkey.from_string(told["program"]), bytes.fromhex(told["data"]), accounts)


async def encoded(*wanted: Instruction) -> list[Instruction]:
    """What anchorpy makes of them: one process for all."""
    asked = [by_name(DEPLOYMENT.program_id, each) for each in wanted]
    answer = await ask_anchorpy(DEPLOYMENT.program_id, {"do": "encode", "instructions": asked})
    assert "error" not in answer, answer
    return [read(one) for one in cast("list[dict[str, Any]]", answer["instructions"])]


async def test_every_instruction_with_any_arguments() -> None:
    dice = random.Random(os.environ.get("POD_SEED", "0"))
    ours = [random_instruction(name, dice) for name in SHAPES for _ in range(EACH)]
    theirs = await encoded(*ours)
    assert len({bytes(one.data)[:8] for one in theirs}) == len(SHAPES)
    for mine, their in zip(ours, theirs, strict=True):
        assert their == mine, bytes(mine.data)[:8]


async def test_the_idl_has_no_instruction_that_we_have_not() -> None:
    answer = await ask_anchorpy(DEPLOYMENT.program_id, {"do": "names"})
    assert answer["instructions"] == sorted(SHAPES)
    assert answer["errors"] == {str(number): name for number, name in program.ERRORS.items()}


async def test_a_release_signed_by_the_beneficiary() -> None:
    beneficiary = Pubkey.new_unique()
    signed = program.release(
        DEPLOYMENT,
        code=b"Operator",
        beneficiary=beneficiary,
        rent_payer=Pubkey.new_unique(),
        destination=Pubkey.new_unique(),
        signed=True,
    )
    assert await encoded(signed) == [signed]


async def test_reference_keys_behind_a_deposit() -> None:
    deposit = random_instruction("deposit_usdc", random.Random(1))
    reference = AccountMeta(Pubkey.new_unique(), is_signer=False, is_writable=False)
    longer = Instruction(deposit.program_id, bytes(deposit.data), [*deposit.accounts, reference])
    assert await encoded(longer) == [longer]


async def test_other_programs_instructions_pass_unchanged() -> None:
    opened = program.create_associated_token_account(
        funder=Pubkey.new_unique(), owner=Pubkey.new_unique(), mint=DEPLOYMENT.mint
    )
    assert await encoded(opened) == [opened]
