"""What the mutation run found unwatched in bonds: an amount of nothing, a cooldown of no time."""

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.program.attacks.test_damaged import damage
from tests.program.bonds.life import new_life
from tests.program.cases import CASES, release_case

BOND_AMOUNT_AT = 456  # in Config: the first of the parameters in force


@pytest.mark.parametrize("name", ["post_bond", "fund_bond"])
def test_a_bond_of_nothing_is_never_opened(name: str) -> None:
    case = CASES[name]()
    case.world.patch(case.world.deployment.config, BOND_AMOUNT_AT, bytes(8))
    assert case.refuse(case.instruction) == "WrongState"


def test_a_bond_of_nothing_is_not_written_again() -> None:
    life = new_life()
    other = Keypair()
    damage(life, "amount", 0)
    assert life.refuse(life.hand_over(other)) == "WrongState"
    assert life.refuse(life.retire()) == "WrongState"
    damage(life, "amount", 1)
    life.send(life.retire())
    damage(life, "amount", 0)
    assert life.refuse(life.cancel_retire()) == "WrongState"
    damage(life, "amount", 1)
    life.send(life.cancel_retire(), life.hand_over(other))


def test_a_cooldown_of_no_time_is_a_cooldown() -> None:
    life = new_life()
    damage(life, "cooldown", 0)
    life.send(life.retire())
    assert life.bond.release_at == life.bond.retiring_at == life.world.now


def test_what_is_left_names_its_version_its_bump_and_its_code() -> None:
    case = release_case()
    deployment = case.world.deployment
    bond = case.instruction.accounts[0].pubkey
    case.world.patch(bond, 12, b"\1\1\7\7")  # proposals, evidence, a reason: none of it is left
    before = case.world.svm.get_account(bond)
    assert before is not None
    case.send()
    tombstone = case.world.svm.get_account(bond)
    assert tombstone is not None
    assert tombstone.data[8:10] == before.data[8:10]
    assert tombstone.data[16:24] == bytes(case.instruction.data[8:16])
    assert tombstone.data[11:16] == bytes(5)
    assert tombstone.data[8] == 1
    for seed, key in ((b"escrow", deployment.escrow), (b"payouts", deployment.payouts)):
        account = case.world.svm.get_account(key)
        assert account is not None
        canonical = Pubkey.find_program_address([seed], deployment.program_id)
        assert (account.data[8], account.data[9]) == (1, canonical[1])
