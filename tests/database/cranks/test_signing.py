"""What the signer signs of cranks: what follows from the bond's row, and nothing else."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.db.pool import transaction
from tests.database.cranks.chain import BondOnChain
from tests.database.cranks.conftest import Bonds
from tests.database.payouts.chain import BOND_AMOUNT

HASH = Hash(bytes([3] * 32))


def release_of(bonds: Bonds, bond: BondOnChain) -> Instruction:
    return program.release(
        bonds.world.deployment,
        code=bond.code,
        beneficiary=bond.beneficiary,
        rent_payer=bond.rent_payer,
    )


def message(
    bonds: Bonds, *instructions: Instruction, payer: Pubkey | None = None, price: int = 1_000
) -> bytes:
    opening = [set_compute_unit_limit(20_000), set_compute_unit_price(price)]
    signer = payer or bonds.world.key.address
    return bytes(Message.new_with_blockhash([*opening, *instructions], signer, HASH))


def another_destination(bonds: Bonds, bond: BondOnChain) -> bytes:
    made = program.release(
        bonds.world.deployment,
        code=bond.code,
        beneficiary=bond.beneficiary,
        rent_payer=bond.rent_payer,
        destination=Keypair().pubkey(),
    )
    return message(bonds, made)


def another_beneficiary(bonds: Bonds, bond: BondOnChain) -> bytes:
    made = program.release(
        bonds.world.deployment,
        code=bond.code,
        beneficiary=Keypair().pubkey(),
        rent_payer=bond.rent_payer,
        first_beneficiary=bond.beneficiary,
    )
    return message(bonds, made)


def another_step(bonds: Bonds, bond: BondOnChain) -> bytes:
    deployment = bonds.world.deployment
    address = deployment.bond(bond.code, bond.beneficiary)
    return message(bonds, program.build(deployment, program.Lapse(bond=address, code=bond.code)))


def a_payment(bonds: Bonds, _bond: BondOnChain) -> bytes:
    made = program.pay(
        bonds.world.deployment,
        payer=bonds.world.key.address,
        sequence=1,
        amount_microusdc=BOND_AMOUNT,
        code=bytes(8),
        reference=bytes(16),
        destination=Keypair().pubkey(),
    )
    return message(bonds, made)


def a_transfer_beside_it(bonds: Bonds, bond: BondOnChain) -> bytes:
    stolen = Instruction(
        program.SYSTEM_PROGRAM,
        (2).to_bytes(4, "little") + (10**9).to_bytes(8, "little"),
        [
            AccountMeta(bonds.world.key.address, is_signer=True, is_writable=True),
            AccountMeta(Keypair().pubkey(), is_signer=False, is_writable=True),
        ],
    )
    return message(bonds, stolen, release_of(bonds, bond))


def somebody_elses_account(bonds: Bonds, bond: BondOnChain) -> bytes:
    opened = program.create_associated_token_account(
        funder=bonds.world.key.address,
        owner=Keypair().pubkey(),
        mint=bonds.world.deployment.mint,
    )
    return message(bonds, opened, release_of(bonds, bond))


def a_high_fee(bonds: Bonds, bond: BondOnChain) -> bytes:
    return message(bonds, release_of(bonds, bond), price=10_000_000)


def another_payer(bonds: Bonds, bond: BondOnChain) -> bytes:
    return message(bonds, release_of(bonds, bond), payer=Keypair().pubkey())


def rubbish(_bonds: Bonds, _bond: BondOnChain) -> bytes:
    return b"rubbish"


async def offered(bonds: Bonds, address: Pubkey, raw: bytes, kind: str = "release") -> str | None:
    """Put a message before the signer, as the worker could; why it was refused."""
    async with transaction(bonds.world.worker) as tx:
        await tx.execute(
            "insert into settlement.crank (crank_id, kind, address, due_at, opened_at)"
            " values (gen_random_uuid(), $1, $2, now(), now())",
            kind,
            str(address),
        )
        await tx.execute(
            "insert into settlement.crank_attempt (crank_id, attempt, creates_account, message,"
            " last_valid_height, built_at)"
            " select crank_id, 1, false, $1, 10, now() from settlement.crank",
            raw,
        )
    done = await bonds.sign()
    (row,) = await bonds.world.superuser("select * from settlement.crank_attempt")
    assert (done.signed, done.refused) == (row["signature"] is not None, row["refusal"] is not None)
    return row["refusal"]


async def test_the_right_message_is_signed(bonds: Bonds) -> None:
    address = await bonds.post()
    raw = message(bonds, release_of(bonds, bonds.chain.bonds[address]))
    assert await offered(bonds, address, raw) is None
    assert await bonds.states() == [("release", "signed")]


@pytest.mark.parametrize(
    "made",
    [
        another_destination,
        another_beneficiary,
        another_step,
        a_payment,
        a_transfer_beside_it,
        somebody_elses_account,
        a_high_fee,
        another_payer,
        rubbish,
    ],
)
async def test_anything_else_is_refused(
    bonds: Bonds, made: Callable[[Bonds, BondOnChain], bytes]
) -> None:
    address = await bonds.post()
    refusal = await offered(bonds, address, made(bonds, bonds.chain.bonds[address]))
    assert refusal
    assert await bonds.states() == [("release", "waiting")]


async def test_what_the_books_do_not_allow_is_refused(bonds: Bonds) -> None:
    address = await bonds.post(retired=False)
    raw = message(bonds, release_of(bonds, bonds.chain.bonds[address]))
    refusal = await offered(bonds, address, raw)
    assert refusal is not None
    assert "by the books" in refusal


async def test_no_account_is_opened_for_a_stranger(bonds: Bonds) -> None:
    address = await bonds.post(stranger=True)
    bond = bonds.chain.bonds[address]
    opened = program.create_associated_token_account(
        funder=bonds.world.key.address, owner=bond.beneficiary, mint=bonds.world.deployment.mint
    )
    refusal = await offered(bonds, address, message(bonds, opened, release_of(bonds, bond)))
    assert refusal is not None
    assert "no account is to be opened" in refusal


async def test_so_many_an_hour_and_no_more(bonds: Bonds) -> None:
    for _ in range(5):
        await bonds.post()
    bonds.chain.now += 10
    await bonds.crank()
    assert (await bonds.sign(most=2)).signed == 2
    assert (await bonds.sign(most=2)).signed == 0
    assert (await bonds.sign(most=3)).signed == 1
    bonds.world.clock.forward(timedelta(hours=1, seconds=1))
    assert (await bonds.sign(most=2)).signed == 2
