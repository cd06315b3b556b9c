"""`retire` and `release`: the cooldown, to the second, and where the money may go."""

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.program import BondState
from tests.program.cases import CODE, release_case, retire_case
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, START, with_account, with_data

TOMBSTONE_RENT = (128 + 24) * 6_960
SEIZURE_STATE_AT = 11


def test_the_beneficiary_retires() -> None:
    case = retire_case()
    case.world.advance(1_000)
    case.send()
    bond = case.world.bond(CODE, case.signers[0].pubkey())
    assert bond.state is BondState.RETIRING
    assert bond.retiring_at == START + 1_000
    assert bond.release_at == START + 1_000 + COOLDOWN_SECONDS
    assert case.world.escrow().total_bonded_microusdc == BOND_AMOUNT


def test_the_proposer_retires_any_bond() -> None:
    case = retire_case()
    proposer = case.world.proposer
    instruction = with_account(case.instruction, 0, pubkey=proposer.pubkey())
    case.world.send(instruction, signers=[proposer])


def test_no_other_role_retires_it() -> None:
    case = retire_case()
    world = case.world
    for other in (world.admin, world.payer, world.guardian, world.arbiter, world.funder):
        spoiled = with_account(case.instruction, 0, pubkey=other.pubkey())
        assert case.refuse(spoiled, other) == "Unauthorized"


def test_not_twice() -> None:
    case = retire_case()
    case.send()
    assert case.refuse(case.instruction) == "WrongState"


@pytest.mark.parametrize("make", [retire_case, release_case])
def test_the_code_must_be_the_bonds(make: type) -> None:
    case = make()
    data = bytes(case.instruction.data)[:8] + b"Enroll02"
    assert case.refuse(with_data(case.instruction, data)) == "WrongCode"


def test_released_by_nobody_to_the_canonical_account() -> None:
    case = release_case()
    world, beneficiary = case.world, case.instruction.accounts[1].pubkey
    bond = world.svm.get_account(world.deployment.bond(CODE, beneficiary))
    before = world.svm.get_balance(world.funder.pubkey())
    assert bond is not None
    assert before is not None
    case.send()
    assert world.balance(world.ata(beneficiary)) == BOND_AMOUNT
    assert world.held == world.escrow().total_bonded_microusdc == world.escrow().open_count == 0
    tombstone = world.bond(CODE, beneficiary)
    assert (tombstone.state, tombstone.code) == (BondState.RELEASED, CODE)
    left = world.svm.get_account(world.deployment.bond(CODE, beneficiary))
    assert left is not None
    assert (left.lamports, len(left.data)) == (TOMBSTONE_RENT, 24)
    after = world.svm.get_balance(world.funder.pubkey())
    assert after == before + bond.lamports - TOMBSTONE_RENT


def test_not_a_second_early() -> None:
    case = release_case(early_by=1)
    assert case.refuse(case.instruction) == "CooldownNotOver"
    case.world.advance(1)
    case.send()


def test_a_clock_that_steps_back_changes_nothing() -> None:
    case = release_case()
    case.world.advance(-1)
    assert case.refuse(case.instruction) == "CooldownNotOver"


def test_not_before_retiring() -> None:
    case = retire_case()
    case.world.advance(10 * COOLDOWN_SECONDS)
    beneficiary = case.signers[0].pubkey()
    release = program.release(
        case.world.deployment,
        code=CODE,
        beneficiary=beneficiary,
        rent_payer=case.world.funder.pubkey(),
    )
    assert case.refuse(release) == "WrongState"


def test_final() -> None:
    case = release_case()
    beneficiary = case.instruction.accounts[1].pubkey
    case.send()
    assert case.refuse(case.instruction) == "Tombstoned"
    world = case.world
    retire = program.retire(
        world.deployment, signer=world.proposer.pubkey(), code=CODE, beneficiary=beneficiary
    )
    assert world.refuse(retire, signers=[world.proposer]) == "Tombstoned"


def test_another_bonds_money_is_not_touched() -> None:
    case = release_case()
    other = Keypair().pubkey()
    case.world.post_bond(CODE, other)
    case.send()
    assert case.world.held == case.world.escrow().total_bonded_microusdc == BOND_AMOUNT
    assert case.world.bond(CODE, other).state is BondState.POSTED


@pytest.mark.parametrize("state", [1, 2, 3])
def test_not_while_a_seizure_is_open(state: int) -> None:
    case = release_case()
    case.world.patch(case.instruction.accounts[0].pubkey, SEIZURE_STATE_AT, bytes([state]))
    assert case.refuse(case.instruction) == "SeizureOpen"


def test_only_its_own_pause_stops_it() -> None:
    for pause in ("deposits", "payouts", "seizures", "releases"):
        case = release_case()
        case.world.pause(pause, case.world.now + 60)
        if pause == "releases":
            assert case.refuse(case.instruction) == "Paused"
        else:
            case.send()


def test_unsigned_to_no_other_account_even_of_the_beneficiary() -> None:
    case = release_case()
    world, beneficiary = case.world, case.instruction.accounts[1].pubkey
    strangers = world.ata(world.wallet().pubkey())
    assert case.refuse(with_account(case.instruction, 2, pubkey=strangers)) == "WrongTokenAccount"
    canonical = world.svm.get_account(world.ata(beneficiary))
    assert canonical is not None
    second = Pubkey.new_unique()
    world.set_account(second, canonical.data, canonical.owner)
    assert case.refuse(with_account(case.instruction, 2, pubkey=second)) == "WrongTokenAccount"


def test_a_canonical_account_given_away_gets_nothing_unsigned() -> None:
    case = release_case(signed=True)
    world, beneficiary = case.world, case.signers[0]
    account = world.ata(beneficiary.pubkey())
    metas = [
        AccountMeta(account, is_signer=False, is_writable=True),
        AccountMeta(beneficiary.pubkey(), is_signer=True, is_writable=False),
    ]
    give_away = b"\x06\x02\x01" + bytes(Keypair().pubkey())
    world.send(Instruction(program.TOKEN_PROGRAM, give_away, metas), signers=[beneficiary])
    unsigned = with_account(case.instruction, 1, is_signer=False)
    assert case.refuse(unsigned) == "WrongTokenAccount"
    case.send()  # signed it is the beneficiary's own choice
    assert world.balance(account) == BOND_AMOUNT


def test_signed_to_any_account_but_ours() -> None:
    case = release_case(signed=True)
    world, deployment = case.world, case.world.deployment
    vault = with_account(case.instruction, 2, pubkey=deployment.bond_vault)
    assert case.refuse(vault) == "DuplicateAccount"
    till = with_account(case.instruction, 2, pubkey=deployment.till_vault)
    assert case.refuse(till) == "ForbiddenAddress"
    foreign = world.open_account(Keypair().pubkey(), world.new_mint())
    assert case.refuse(with_account(case.instruction, 2, pubkey=foreign)) == "WrongMint"
    chosen = world.ata(world.wallet().pubkey())
    world.send(with_account(case.instruction, 2, pubkey=chosen), signers=case.signers)
    assert world.balance(chosen) == BOND_AMOUNT


@pytest.mark.parametrize("place", [2, 4])
def test_a_frozen_account_fails_cleanly(place: int) -> None:
    case = release_case()
    case.world.freeze(case.instruction.accounts[place].pubkey)
    assert case.refuse(case.instruction) == "FrozenTokenAccount"


def test_a_vault_that_lost_money_fails_cleanly() -> None:
    case = release_case()
    case.world.set_balance(case.world.deployment.bond_vault, BOND_AMOUNT - 1)
    assert case.refuse(case.instruction) == "InsufficientVault"


def test_the_beneficiary_may_be_the_rent_payer() -> None:
    case = retire_case()
    world, alone = case.world, case.world.wallet(BOND_AMOUNT)
    address = world.deployment.bond(CODE, alone.pubkey())
    post = program.post_bond(
        world.deployment,
        depositor=alone.pubkey(),
        funder=alone.pubkey(),
        code=CODE,
        beneficiary=alone.pubkey(),
    )
    retire = program.retire(
        world.deployment, signer=alone.pubkey(), code=CODE, beneficiary=alone.pubkey()
    )
    world.send(post, retire, signers=[alone])
    world.advance(COOLDOWN_SECONDS)
    release = program.release(
        world.deployment, code=CODE, beneficiary=alone.pubkey(), rent_payer=alone.pubkey()
    )
    world.send(release)
    left = world.svm.get_account(address)
    assert isinstance(left, Account)
    assert left.lamports == TOMBSTONE_RENT
