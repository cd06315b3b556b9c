"""What the builders write, the decoders read back; everything else is refused by name."""

from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from settlement.chain import layouts, program
from settlement.chain.abi import SHAPES, instruction_discriminator
from settlement.chain.instructions import instruction_name
from settlement.chain.program import Deployment, UnknownAccount, UnknownInstruction
from settlement.money import MicroUsdc

DEPLOYMENT = Deployment(Pubkey.new_unique(), Pubkey.new_unique())

keys = st.binary(min_size=32, max_size=32).map(Pubkey)
codes = st.binary(min_size=8, max_size=8)
numbers = st.integers(min_value=0, max_value=2**64 - 1)
times = st.integers(min_value=-(2**63), max_value=2**63 - 1)


def read_back(instruction: Instruction) -> program.ProgramInstruction:
    accounts = [meta.pubkey for meta in instruction.accounts]
    return program.decode_instruction(bytes(instruction.data), accounts)


parameters = st.builds(
    program.InitialParameters,
    bond_amount_microusdc=numbers,
    cooldown_seconds=times,
    dispute_seconds=times,
    decision_seconds=times,
    execution_seconds=times,
    payout_single_cap_microusdc=numbers,
    payout_window_cap_microusdc=numbers,
)
roles = st.builds(
    program.InitialRoles, admin=keys, payer=keys, proposer=keys, arbiter=keys, guardian=keys
)
BY_KIND = {
    "role": st.sampled_from(program.Role),
    "bit": st.sampled_from(program.PauseBit),
    "u16": st.integers(min_value=0, max_value=2**16 - 1),
    "u64": numbers,
    "amount": numbers,
    "key": keys,
    "code": codes,
    "hash": st.binary(min_size=32, max_size=32),
    "reference": st.binary(min_size=16, max_size=16),
    "roles": roles,
    "parameters": parameters,
}
INSTRUCTIONS: dict[str, type[program.ProgramInstruction]] = {
    instruction_name(kind): kind for kind in get_args(program.ProgramInstruction)
}


def calls(kind: type[program.ProgramInstruction]) -> st.SearchStrategy[Any]:
    """Any instruction of this class, its fields as the table says."""
    arguments = dict(SHAPES[instruction_name(kind)].arguments)
    return st.builds(
        kind, **{each.name: BY_KIND[arguments.get(each.name, "key")] for each in fields(kind)}
    )


def test_every_instruction_has_a_class() -> None:
    assert set(INSTRUCTIONS) == set(SHAPES)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_instruction_reads_back(name: str) -> None:
    shape = SHAPES[name]

    @given(calls(INSTRUCTIONS[name]))
    @settings(max_examples=30)
    def check(instruction: program.ProgramInstruction) -> None:
        built = program.build(DEPLOYMENT, instruction)
        assert bytes(built.data[:8]) == instruction_discriminator(name)
        assert len(built.data) == 8 + shape.argument_size
        flags = ["s" * each.is_signer + "w" * each.is_writable for each in built.accounts]
        assert flags == [flag for _, flag in shape.accounts]
        assert read_back(built) == instruction

    check()


def test_accounts_of_the_deployment_fill_themselves_in() -> None:
    built = program.build(DEPLOYMENT, program.SweepSurplus())
    assert [meta.pubkey for meta in built.accounts] == [
        DEPLOYMENT.escrow,
        DEPLOYMENT.bond_vault,
        DEPLOYMENT.till_vault,
        DEPLOYMENT.config,
        DEPLOYMENT.mint,
        program.TOKEN_PROGRAM,
    ]


@given(beneficiary=keys, first=keys, code=codes)
def test_a_bond_handed_over_stands_where_it_was(
    beneficiary: Pubkey, first: Pubkey, code: bytes
) -> None:
    bond = DEPLOYMENT.bond(code, first)
    retired = program.retire(
        DEPLOYMENT,
        signer=beneficiary,
        code=code,
        beneficiary=beneficiary,
        first_beneficiary=first,
    )
    assert read_back(retired) == program.Retire(signer=beneficiary, bond=bond, code=code)
    released = program.release(
        DEPLOYMENT,
        code=code,
        beneficiary=beneficiary,
        rent_payer=first,
        signed=True,
        first_beneficiary=first,
    )
    assert released.accounts[1].is_signer
    assert read_back(released) == program.Release(
        bond=bond,
        beneficiary=beneficiary,
        destination=program.associated_token_address(beneficiary, DEPLOYMENT.mint),
        rent_payer=first,
        code=code,
    )


@given(first=numbers, mask=numbers)
def test_a_mask_names_its_numbers(first: int, mask: int) -> None:
    skipped = program.Skip(signer=Pubkey.default(), first=first, mask=mask)
    assert sum(1 << number - first for number in skipped.sequences) == mask


# --- what is refused


@given(st.binary(max_size=80))
def test_other_bytes_are_no_instruction(data: bytes) -> None:
    with pytest.raises(UnknownInstruction):
        program.decode_instruction(data, [Pubkey.default()] * 12)


def test_lengths_are_strict_in_bytes_and_accounts() -> None:
    instruction = program.skip(DEPLOYMENT, signer=Pubkey.default(), first=1, mask=1)
    data, accounts = bytes(instruction.data), [meta.pubkey for meta in instruction.accounts]
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(UnknownInstruction):
            program.decode_instruction(wrong, accounts)
    for few_or_many in (accounts[:-1], [*accounts, Pubkey.default()]):
        with pytest.raises(UnknownInstruction):
            program.decode_instruction(data, few_or_many)


@pytest.mark.parametrize(
    ("instruction", "number"),
    [
        (program.RevokeRole(signer=Pubkey.default(), role=program.Role.PAYER), 5),
        (program.RevokeRole(signer=Pubkey.default(), role=program.Role.PAYER), 0),
        (program.Pause(signer=Pubkey.default(), bit=program.PauseBit.DEPOSITS), 4),
    ],
)
def test_a_role_or_bit_without_a_name_is_refused(
    instruction: program.ProgramInstruction, number: int
) -> None:
    built = program.build(DEPLOYMENT, instruction)
    accounts = [meta.pubkey for meta in built.accounts]
    with pytest.raises(UnknownInstruction):
        program.decode_instruction(bytes(built.data[:8]) + bytes([number]), accounts)


def test_a_deposit_may_carry_reference_keys() -> None:
    instruction = program.deposit_usdc(
        DEPLOYMENT, depositor=Pubkey.default(), code=bytes(8), amount_microusdc=MicroUsdc(1)
    )
    accounts = [meta.pubkey for meta in instruction.accounts]
    data = bytes(instruction.data)
    extra = [*accounts, Pubkey.new_unique()]
    assert program.decode_instruction(data, extra) == program.decode_instruction(data, accounts)
    with pytest.raises(UnknownInstruction):
        program.decode_instruction(data, accounts[:-1])


@pytest.mark.parametrize("tag", layouts.ACCOUNTS)
def test_other_bytes_are_no_account(tag: bytes) -> None:
    size, _ = layouts.ACCOUNTS[tag]
    for wrong in (b"", tag, tag + bytes(size), bytes(size), tag + bytes(size - 8)):
        with pytest.raises(UnknownAccount):
            program.decode_account(wrong)


def test_a_state_without_a_name_is_refused() -> None:
    data = bytearray(layouts.account_discriminator("Bond") + bytes(layouts.BOND_SIZE - 8))
    data[8], data[10] = 1, 9
    with pytest.raises(UnknownAccount):
        program.decode_account(bytes(data))


def test_codes_and_references_have_their_length() -> None:
    with pytest.raises(AssertionError):
        DEPLOYMENT.bond(b"short", Pubkey.default())
    with pytest.raises(AssertionError):
        program.retire(
            DEPLOYMENT, signer=Pubkey.default(), code=b"too long!", beneficiary=Pubkey.default()
        )
    with pytest.raises(AssertionError):
        program.pay(
            DEPLOYMENT,
            payer=Pubkey.default(),
            sequence=0,
            amount_microusdc=MicroUsdc(1),
            code=bytes(8),
            reference=bytes(8),
            destination=Pubkey.default(),
        )
