"""`execute_seizure`: only between its two times, only once upheld if contested, all or nothing."""

from collections.abc import Callable

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.program import BondState
from tests.program.bonds.life import (
    DECISION,
    DISPUTE,
    Life,
    Step,
    contested,
    new_life,
    proposed,
    upheld,
)
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, with_account

TOMBSTONE_RENT = (128 + 24) * 6_960
RENT_PAYER, BOND_VAULT, TILL_VAULT = 1, 2, 3


def due(reach: Callable[[], Life] = proposed) -> Life:
    life = reach()
    life.until(life.bond.execute_after)
    return life


@pytest.mark.parametrize("reach", [proposed, upheld])
def test_the_bond_goes_to_the_till_and_the_account_to_a_tombstone(
    reach: Callable[[], Life],
) -> None:
    life = due(reach)
    world = life.world
    account = world.svm.get_account(life.address)
    before = world.svm.get_balance(world.funder.pubkey())
    assert account is not None
    assert before is not None
    life.send(life.execute())
    assert (world.till, world.held) == (BOND_AMOUNT, 0)
    assert (world.escrow().total_bonded_microusdc, world.escrow().open_count) == (0, 0)
    assert (life.bond.state, life.bond.code) == (BondState.SEIZED, life.code)
    left = world.svm.get_account(life.address)
    assert left is not None
    assert (left.lamports, len(left.data)) == (TOMBSTONE_RENT, 24)
    after = world.svm.get_balance(world.funder.pubkey())
    assert after == before + account.lamports - TOMBSTONE_RENT


@pytest.mark.parametrize("reach", [proposed, upheld])
def test_not_before_the_dispute_window_is_over(reach: Callable[[], Life]) -> None:
    life = reach()
    for early_by in (DISPUTE, 2, 1):
        life.until(life.bond.execute_after - early_by)
        assert life.refuse(life.execute()) == "WindowNotOver"
    life.world.advance(1)
    life.send(life.execute())


@pytest.mark.parametrize("reach", [proposed, upheld])
@pytest.mark.parametrize("late_by", [0, 1, COOLDOWN_SECONDS])
def test_dead_at_its_time(reach: Callable[[], Life], late_by: int) -> None:
    life = reach()
    life.until(life.bond.dies_at + late_by)
    assert life.refuse(life.execute()) == "SeizureExpired"


@pytest.mark.parametrize("reach", [proposed, upheld])
def test_alive_the_second_before(reach: Callable[[], Life]) -> None:
    life = reach()
    life.until(life.bond.dies_at - 1)
    life.send(life.execute())


def test_upheld_it_need_not_wait_for_the_decision_to_be_due() -> None:
    life = due(upheld)
    assert life.bond.decide_by == life.world.now + DECISION
    life.send(life.execute())


def test_contested_and_not_upheld_it_never_happens() -> None:
    life = contested()
    bond = life.bond
    for time in (bond.execute_after - 1, bond.execute_after, bond.decide_by, bond.dies_at):
        life.until(time)
        assert life.refuse(life.execute()) == "WrongState"


@pytest.mark.parametrize("end", ["withdraw", "dismiss", "lapse"])
def test_what_was_cleared_is_not_executed(end: str) -> None:
    life = contested()
    steps = {"withdraw": life.withdraw, "dismiss": life.dismiss, "lapse": life.lapse}
    if end == "lapse":
        life.until(life.bond.decide_by)
    life.send(steps[end]())
    life.until(life.world.now + DISPUTE)
    assert life.refuse(life.execute()) == "NoSeizure"


def test_only_the_seizures_pause_stops_it() -> None:
    for pause in ("deposits", "payouts", "seizures", "releases"):
        life = due()
        life.world.pause(pause, life.world.now + 60)
        if pause == "seizures":
            assert life.refuse(life.execute()) == "Paused"
            life.world.advance(60)
        life.send(life.execute())


def test_final_and_not_again() -> None:
    life = due()
    other = Keypair().pubkey()
    life.world.post_bond(b"Another1", other)
    life.send(life.execute())
    assert life.refuse(life.execute()) == "Tombstoned"
    assert life.refuse(life.execute(), life.execute()) == "Tombstoned"
    assert life.world.held == life.world.escrow().total_bonded_microusdc == BOND_AMOUNT
    assert life.world.bond(b"Another1", other).state is BondState.POSTED


def test_twice_in_one_transaction_is_not_at_all() -> None:
    life = due()
    life.world.post_bond(b"Another1", life.first)
    assert life.refuse(life.execute(), life.execute()) == "Tombstoned"
    assert life.bond.state is BondState.POSTED
    assert life.world.held == 2 * BOND_AMOUNT


@pytest.mark.parametrize("reach", [proposed, upheld])
def test_while_retiring_and_past_the_cooldown(reach: Callable[[], Life]) -> None:
    life = reach()
    life.send(life.retire())
    life.until(life.bond.execute_after)
    assert life.bond.state is BondState.RETIRING
    life.send(life.execute())
    assert life.bond.state is BondState.SEIZED


def test_a_seizure_proposed_in_time_is_executed_past_the_cooldown() -> None:
    life = new_life()
    life.send(life.retire())
    life.until(life.bond.release_at - 1)
    life.send(life.propose())
    life.until(life.bond.execute_after)
    assert life.world.now > life.bond.release_at
    assert life.refuse(life.release()) == "SeizureOpen"
    life.send(life.execute())
    assert life.refuse(life.release()) == "Tombstoned"


# --- accounts


@pytest.mark.parametrize("place", [BOND_VAULT, TILL_VAULT])
def test_a_frozen_vault_fails_cleanly_and_thawed_it_works(place: int) -> None:
    life = due()
    step = life.execute()
    vault = step.instruction.accounts[place].pubkey
    before = life.world.svm.get_account(vault)
    assert before is not None
    life.world.freeze(vault)
    assert life.refuse(step) == "FrozenTokenAccount"
    life.world.svm.set_account(vault, before)
    life.send(step)


def test_a_frozen_beneficiary_stops_nothing() -> None:
    life = due()
    life.world.freeze(life.world.ata(life.owner.pubkey()))
    life.send(life.execute())


def test_a_vault_that_lost_money_fails_cleanly() -> None:
    life = due()
    life.world.set_balance(life.world.deployment.bond_vault, BOND_AMOUNT - 1)
    assert life.refuse(life.execute()) == "InsufficientVault"
    life.world.set_balance(life.world.deployment.bond_vault, BOND_AMOUNT)
    life.send(life.execute())


def test_the_rent_goes_to_who_paid_it_and_the_money_to_the_till() -> None:
    life = due()
    instruction, _ = life.execute()
    stranger = life.world.wallet()
    thief = life.world.ata(stranger.pubkey())
    replaced = {
        RENT_PAYER: (stranger.pubkey(), "WrongAddress"),
        BOND_VAULT: (thief, "WrongAddress"),
        TILL_VAULT: (thief, "WrongAddress"),
    }
    for place, (key, error) in replaced.items():
        assert life.refuse(Step(with_account(instruction, place, pubkey=key))) == error
    swapped = with_account(instruction, TILL_VAULT, pubkey=life.world.deployment.bond_vault)
    assert life.refuse(Step(swapped)) == "WrongAddress"
    swapped = with_account(instruction, BOND_VAULT, pubkey=life.world.deployment.till_vault)
    assert life.refuse(Step(swapped)) == "WrongAddress"


def test_anybody_may_send_it() -> None:
    life = due()
    instruction, signers = life.execute()
    assert signers == ()
    assert not any(meta.is_signer for meta in instruction.accounts)
    assert Pubkey.default() not in [meta.pubkey for meta in instruction.accounts]
    life.send(Step(instruction))
