"""Released and Seized are final: the address is used up, the rent is back, nothing revives it."""

from collections.abc import Callable

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from settlement.chain import program
from settlement.chain.program import BondState
from tests.program.bonds.life import (
    Life,
    Step,
    fund_again,
    new_life,
    post_again,
    proposed,
    released,
    retiring,
    seized,
)
from tests.program.world import COOLDOWN_SECONDS, with_account

TOMBSTONE_RENT = (128 + 24) * 6_960
BOND_RENT = (128 + 376) * 6_960
ENDS = [released, seized]


def transfer(life: Life, lamports: int) -> Step:
    funder = life.world.funder
    metas = [
        AccountMeta(funder.pubkey(), is_signer=True, is_writable=True),
        AccountMeta(life.address, is_signer=False, is_writable=True),
    ]
    data = b"\x02\0\0\0" + lamports.to_bytes(8, "little")
    return Step(Instruction(program.SYSTEM_PROGRAM, data, metas), (funder,))


@pytest.mark.parametrize("reach", ENDS)
@pytest.mark.parametrize("open_it", [post_again, fund_again])
def test_the_address_is_never_used_again(
    reach: Callable[[], Life], open_it: Callable[[Life], Step]
) -> None:
    life = reach()
    assert life.refuse(open_it(life)) == "Tombstoned"
    # Not even when somebody pays for a larger account there.
    life.send(transfer(life, 10 * BOND_RENT))
    assert life.refuse(open_it(life)) == "Tombstoned"


@pytest.mark.parametrize("reach", ENDS)
def test_another_beneficiary_or_code_is_another_bond(reach: Callable[[], Life]) -> None:
    life = reach()
    life.world.post_bond(life.code, Keypair().pubkey())
    life.world.post_bond(b"Another1", life.first)
    assert life.world.escrow().open_count == 2


@pytest.mark.parametrize("reach", ENDS)
def test_a_tombstone_keeps_code_and_state_and_its_own_rent(reach: Callable[[], Life]) -> None:
    life = reach()
    account = life.world.svm.get_account(life.address)
    assert account is not None
    assert (account.lamports, len(account.data)) == (TOMBSTONE_RENT, 24)
    assert account.owner == life.world.deployment.program_id
    expected = BondState.RELEASED if reach is released else BondState.SEIZED
    assert (life.bond.state, life.bond.code) == (expected, life.code)


@pytest.mark.parametrize("donated", [1, BOND_RENT])
def test_lamports_donated_to_a_bond_go_back_with_the_rent(donated: int) -> None:
    life = new_life()
    life.send(transfer(life, donated))
    life.send(life.retire())
    life.world.advance(COOLDOWN_SECONDS)
    before = life.world.svm.get_balance(life.world.funder.pubkey())
    assert before is not None
    life.send(life.release())
    after = life.world.svm.get_balance(life.world.funder.pubkey())
    assert after == before + BOND_RENT + donated - TOMBSTONE_RENT


def test_nobody_revives_a_bond_within_its_last_transaction() -> None:
    for reach, end in ((retiring, Life.release), (proposed, Life.execute)):
        life = reach()
        life.until(max(life.bond.release_at, life.bond.execute_after))
        ending = end(life)
        again = (transfer(life, BOND_RENT), post_again(life))
        assert life.refuse(ending, *again) == "Tombstoned"
        assert life.refuse(ending, transfer(life, BOND_RENT), ending) == "Tombstoned"
        assert life.bond.state is not BondState.RELEASED
        life.send(ending, transfer(life, BOND_RENT))
        assert life.bond.code == life.code


def test_opened_and_ended_within_one_transaction_it_stays_open() -> None:
    life = new_life()
    assert life.refuse(life.retire(), life.release()) == "CooldownNotOver"
    assert life.refuse(life.propose(), life.execute()) == "WindowNotOver"
    assert life.bond.state is BondState.POSTED


@pytest.mark.parametrize("reach", ENDS)
def test_a_tombstone_stands_in_for_no_other_account(reach: Callable[[], Life]) -> None:
    life = reach()
    deployment = life.world.deployment
    other = Life(world=life.world, owner=life.owner, first=life.first, code=b"Another1")
    life.world.post_bond(other.code, life.first)
    assert (
        life.refuse(
            Step(with_account(other.retire().instruction, 1, pubkey=life.address), (life.owner,))
        )
        == "Tombstoned"
    )
    posting = post_again(other)
    for place, real in ((5, deployment.escrow), (6, deployment.config)):
        assert posting.instruction.accounts[place].pubkey == real
        spoiled = with_account(posting.instruction, place, pubkey=life.address)
        assert life.refuse(Step(spoiled, posting.signers)) == "WrongTag"
