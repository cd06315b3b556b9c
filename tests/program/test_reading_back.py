"""What the builders write, the decoders read back; everything else is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from settlement.chain import layouts, program
from settlement.chain.program import Deployment, UnknownAccount, UnknownInstruction
from settlement.money import MicroUsdc

DEPLOYMENT = Deployment(Pubkey.new_unique(), Pubkey.new_unique())

keys = st.binary(min_size=32, max_size=32).map(Pubkey)
codes = st.binary(min_size=8, max_size=8)
numbers = st.integers(min_value=0, max_value=2**64 - 1)


def read_back(instruction: Instruction) -> program.ProgramInstruction:
    accounts = [meta.pubkey for meta in instruction.accounts]
    return program.decode_instruction(bytes(instruction.data), accounts)


@given(depositor=keys, code=codes, amount=numbers)
def test_deposit_reads_back(depositor: Pubkey, code: bytes, amount: int) -> None:
    instruction = program.deposit_usdc(
        DEPLOYMENT, depositor=depositor, code=code, amount_microusdc=MicroUsdc(amount)
    )
    assert read_back(instruction) == program.DepositUsdc(
        depositor=depositor,
        source=program.associated_token_address(depositor, DEPLOYMENT.mint),
        vault=DEPLOYMENT.till_vault,
        mint=DEPLOYMENT.mint,
        code=code,
        amount_microusdc=MicroUsdc(amount),
    )


@given(one=keys, other=keys, code=codes, beneficiary=keys, sequence=numbers)
def test_bonds_read_back(
    one: Pubkey, other: Pubkey, code: bytes, beneficiary: Pubkey, sequence: int
) -> None:
    posted = program.post_bond(
        DEPLOYMENT, depositor=one, funder=other, code=code, beneficiary=beneficiary
    )
    bond = DEPLOYMENT.bond(code, beneficiary)
    assert read_back(posted) == program.PostBond(
        depositor=one,
        funder=other,
        source=program.associated_token_address(one, DEPLOYMENT.mint),
        bond_vault=DEPLOYMENT.bond_vault,
        bond=bond,
        code=code,
        beneficiary=beneficiary,
    )
    funded = program.fund_bond(
        DEPLOYMENT, payer=one, funder=other, sequence=sequence, code=code, beneficiary=beneficiary
    )
    assert read_back(funded) == program.FundBond(
        payer=one,
        funder=other,
        till_vault=DEPLOYMENT.till_vault,
        bond_vault=DEPLOYMENT.bond_vault,
        bond=bond,
        sequence=sequence,
        code=code,
        beneficiary=beneficiary,
    )
    retired = program.retire(DEPLOYMENT, signer=one, code=code, beneficiary=beneficiary)
    assert read_back(retired) == program.Retire(signer=one, bond=bond, code=code)
    released = program.release(
        DEPLOYMENT, code=code, beneficiary=beneficiary, rent_payer=other, signed=True
    )
    assert released.accounts[1].is_signer
    assert read_back(released) == program.Release(
        bond=bond,
        beneficiary=beneficiary,
        destination=program.associated_token_address(beneficiary, DEPLOYMENT.mint),
        rent_payer=other,
        bond_vault=DEPLOYMENT.bond_vault,
        code=code,
    )


@given(payer=keys, destination=keys, code=codes, sequence=numbers, amount=numbers, mask=numbers)
def test_payouts_read_back(
    payer: Pubkey, destination: Pubkey, code: bytes, sequence: int, amount: int, mask: int
) -> None:
    paid = program.pay(
        DEPLOYMENT,
        payer=payer,
        sequence=sequence,
        amount_microusdc=MicroUsdc(amount),
        code=code,
        reference=code * 2,
        destination=destination,
    )
    assert read_back(paid) == program.Pay(
        payer=payer,
        destination=destination,
        till_vault=DEPLOYMENT.till_vault,
        sequence=sequence,
        amount_microusdc=MicroUsdc(amount),
        code=code,
        reference=code * 2,
    )
    skipped = program.skip(DEPLOYMENT, signer=payer, first=sequence, mask=mask)
    found = read_back(skipped)
    assert isinstance(found, program.Skip)
    assert found == program.Skip(signer=payer, first=sequence, mask=mask)
    assert sum(1 << number - sequence for number in found.sequences) == mask


def test_initialize_reads_back() -> None:
    roles = program.InitialRoles(admin=Pubkey.new_unique(), payer=Pubkey.new_unique())
    parameters = program.InitialParameters(payout_single_cap_microusdc=MicroUsdc(7))
    authority, funder = Pubkey.new_unique(), Pubkey.new_unique()
    instruction = program.initialize(
        DEPLOYMENT,
        upgrade_authority=authority,
        funder=funder,
        roles=roles,
        parameters=parameters,
    )
    found = read_back(instruction)
    assert isinstance(found, program.Initialize)
    assert (found.roles, found.parameters) == (roles, parameters)
    assert (found.upgrade_authority, found.funder) == (authority, funder)
    assert (found.config, found.mint) == (DEPLOYMENT.config, DEPLOYMENT.mint)


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
