"""`deposit_usdc`: what existing clients send, and what they read back."""

import base64
import struct

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.money import MicroUsdc
from tests.program.cases import USER_CODE, deposit_case
from tests.program.world import START, USDC, with_account, with_data

DISCRIMINATOR = bytes([184, 148, 250, 169, 224, 213, 34, 126])
EVENT = bytes([120, 248, 61, 83, 31, 142, 107, 144])


def test_the_bytes_are_those_of_the_published_program() -> None:
    case = deposit_case()
    deployment, depositor = case.world.deployment, case.signers[0].pubkey()
    by_hand = Instruction(
        deployment.program_id,
        DISCRIMINATOR + USER_CODE + (25 * USDC).to_bytes(8, "little"),
        [
            AccountMeta(case.world.ata(depositor), is_signer=False, is_writable=True),
            AccountMeta(deployment.till_vault, is_signer=False, is_writable=True),
            AccountMeta(deployment.config, is_signer=False, is_writable=False),
            AccountMeta(depositor, is_signer=True, is_writable=True),
            AccountMeta(deployment.mint, is_signer=False, is_writable=False),
            AccountMeta(program.TOKEN_PROGRAM, is_signer=False, is_writable=False),
            AccountMeta(program.ATA_PROGRAM, is_signer=False, is_writable=False),
        ],
    )
    assert case.instruction == by_hand
    case.world.send(by_hand, signers=case.signers)
    assert case.world.till == 25 * USDC
    assert case.world.balance(case.world.ata(depositor)) == 75 * USDC


def test_the_event_is_the_one_existing_indexers_read() -> None:
    case = deposit_case()
    logs = case.world.send(case.instruction, signers=case.signers).logs()
    lines = [line for line in logs if line.startswith("Program data: ")]
    assert len(lines) == 1
    event = base64.b64decode(lines[0].removeprefix("Program data: "))
    expected = EVENT + USER_CODE + struct.pack("<Q", 25 * USDC)
    expected += bytes(case.world.deployment.mint) + bytes(case.signers[0].pubkey())
    assert event == expected + struct.pack("<q", START)
    assert len(event) == 96


def test_the_sol_deposit_is_not_offered() -> None:
    case = deposit_case()
    data = bytes([108, 81, 78, 117, 125, 155, 56, 200]) + USER_CODE + bytes(16)
    assert case.refuse(with_data(case.instruction, data)) == "InvalidInstruction"


@pytest.mark.parametrize("amount", [0, 100 * USDC + 1, 2**63, 2**64 - 1])
def test_amounts_that_cannot_be(amount: int) -> None:
    case = deposit_case()
    data = DISCRIMINATOR + USER_CODE + amount.to_bytes(8, "little")
    assert case.refuse(with_data(case.instruction, data)) == "WrongAmount"


def test_all_there_is_and_a_single_microunit() -> None:
    case = deposit_case()
    for amount in (1, 100 * USDC - 1):
        data = DISCRIMINATOR + USER_CODE + amount.to_bytes(8, "little")
        case.world.send(with_data(case.instruction, data), signers=case.signers)
    assert case.world.till == 100 * USDC


def test_another_mint_is_refused() -> None:
    case = deposit_case()
    world, depositor = case.world, case.signers[0]
    foreign = world.new_mint()
    account = world.open_account(depositor.pubkey(), foreign)
    world.mint_to(account, 100 * USDC, foreign)
    assert case.refuse(with_account(case.instruction, 0, pubkey=account)) == "WrongMint"
    assert case.refuse(with_account(case.instruction, 4, pubkey=foreign)) == "WrongMint"
    both = with_account(with_account(case.instruction, 0, pubkey=account), 4, pubkey=foreign)
    assert case.refuse(both) == "WrongMint"


def test_a_delegate_cannot_deposit_somebody_elses_money() -> None:
    case = deposit_case()
    world, owner, thief = case.world, case.signers[0], Keypair()
    metas = [
        AccountMeta(world.ata(owner.pubkey()), is_signer=False, is_writable=True),
        AccountMeta(thief.pubkey(), is_signer=False, is_writable=False),
        AccountMeta(owner.pubkey(), is_signer=True, is_writable=False),
    ]
    approve = b"\x04" + (50 * USDC).to_bytes(8, "little")
    world.send(Instruction(program.TOKEN_PROGRAM, approve, metas), signers=[owner])
    spoiled = with_account(case.instruction, 3, pubkey=thief.pubkey())
    assert case.refuse(spoiled, thief) == "WrongTokenAccount"


def test_the_vault_cannot_pay_itself() -> None:
    case = deposit_case()
    case.world.fill_till(100 * USDC)
    spoiled = with_account(case.instruction, 0, pubkey=case.world.deployment.till_vault)
    assert case.refuse(spoiled) == "DuplicateAccount"


def test_a_token_account_of_another_program_is_refused() -> None:
    case = deposit_case()
    world = case.world
    real = world.svm.get_account(world.ata(case.signers[0].pubkey()))
    assert real is not None
    for data, owner in (
        (real.data, Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")),
        (real.data + b"\0", program.TOKEN_PROGRAM),
        (real.data[:108] + b"\0" + real.data[109:], program.TOKEN_PROGRAM),
    ):
        elsewhere = Pubkey.new_unique()
        world.set_account(elsewhere, data, owner)
        spoiled = with_account(case.instruction, 0, pubkey=elsewhere)
        assert case.refuse(spoiled) == "WrongTokenAccount"


@pytest.mark.parametrize("frozen", ["source", "vault"])
def test_a_frozen_account_fails_cleanly(frozen: str) -> None:
    case = deposit_case()
    world = case.world
    source = world.ata(case.signers[0].pubkey())
    world.freeze(source if frozen == "source" else world.deployment.till_vault)
    assert case.refuse(case.instruction) == "FrozenTokenAccount"


def test_while_paused_and_at_the_second_it_lapses() -> None:
    case = deposit_case()
    world = case.world
    world.pause("deposits", world.now + 60)
    assert case.refuse(case.instruction) == "Paused"
    world.advance(59)
    assert case.refuse(case.instruction) == "Paused"
    world.advance(1)
    case.send()


@pytest.mark.parametrize("pause", ["payouts", "seizures", "releases"])
def test_other_pauses_do_not_stop_it(pause: str) -> None:
    case = deposit_case()
    case.world.pause(pause, case.world.now + 60)
    case.send()


def test_a_code_is_any_eight_bytes() -> None:
    case = deposit_case()
    deployment, depositor = case.world.deployment, case.signers[0]
    for code in (bytes(8), b"\xff" * 8, b"ABCDefg1"):
        deposit = program.deposit_usdc(
            deployment, depositor=depositor.pubkey(), code=code, amount_microusdc=MicroUsdc(1)
        )
        case.world.send(deposit, signers=[depositor])
