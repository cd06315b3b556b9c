"""Roles that change in the middle of a seizure: it goes on, and no new arbiter decides it.

A new arbiter takes 21 days, as long as the dispute and decision windows together: whoever proposes
cannot choose the judge afterwards.
"""

import pytest
from solders.keypair import Keypair

from settlement.chain import program
from settlement.chain.program import BondState, ProgramInstruction, Role
from tests.program.bonds.life import (
    DAY,
    DECISION,
    DISPUTE,
    Life,
    Step,
    check_cleared,
    contested,
    new_life,
    proposed,
    upheld,
)

ROLE_DELAY, ARBITER_DELAY = 2 * DAY, 21 * DAY


def owners(life: Life, instruction: ProgramInstruction, *signers: Keypair) -> Step:
    return Step(program.build(life.world.deployment, instruction), signers)


def revoke(life: Life, role: Role) -> Step:
    admin = life.world.admin
    return owners(life, program.RevokeRole(signer=admin.pubkey(), role=role), admin)


def grant(life: Life, role: Role, holder: Keypair) -> Step:
    admin = life.world.admin
    change = program.GrantRole(admin=admin.pubkey(), role=role, holder=holder.pubkey())
    return owners(life, change, admin)


def apply_role(life: Life) -> Step:
    return owners(life, program.ApplyRole())


# --- the proposer


def test_without_its_proposer_a_seizure_runs_on_and_nobody_withdraws_it() -> None:
    life = proposed()
    life.send(revoke(life, Role.PROPOSER))
    assert life.refuse(life.withdraw()) == "RoleVacant"
    assert life.refuse(life.withdraw(by=life.world.admin)) == "RoleVacant"
    life.until(life.bond.execute_after)
    life.send(life.execute())
    assert life.bond.state is BondState.SEIZED


def test_a_new_proposer_withdraws_what_the_old_one_proposed() -> None:
    life, successor = proposed(), Keypair()
    life.send(grant(life, Role.PROPOSER, successor))
    life.world.advance(ROLE_DELAY - 1)
    assert life.refuse(apply_role(life)) == "PolicyPending"
    assert life.refuse(life.withdraw(by=successor)) == "Unauthorized"
    life.world.advance(1)
    life.send(apply_role(life))
    assert life.refuse(life.withdraw()) == "Unauthorized"
    life.send(life.withdraw(by=successor))
    check_cleared(life.bond)


def test_a_revoked_proposer_proposes_nothing_more() -> None:
    life = new_life()
    life.send(revoke(life, Role.PROPOSER))
    assert life.refuse(life.propose()) == "RoleVacant"
    assert life.refuse(life.retire(by=life.world.proposer)) == "Unauthorized"
    life.send(life.retire())


# --- the arbiter


@pytest.mark.parametrize("wait", [0, 1, DISPUTE])
def test_an_arbiter_granted_after_the_proposal_comes_too_late(wait: int) -> None:
    life, judge = proposed(), Keypair()
    life.send(life.contest())
    life.world.advance(min(wait, DISPUTE - 1))
    life.send(grant(life, Role.ARBITER, judge))
    life.until(life.bond.decide_by - 1)
    assert life.refuse(apply_role(life)) == "PolicyPending"
    assert life.refuse(life.uphold(by=judge)) == "Unauthorized"
    life.until(life.world.now + ARBITER_DELAY)
    life.send(apply_role(life))
    assert life.refuse(life.uphold(by=judge)) == "WindowOver"
    assert life.refuse(life.dismiss(by=judge)) == "WindowOver"
    life.send(life.lapse())


def test_the_delay_of_an_arbiter_is_that_of_both_windows() -> None:
    assert DISPUTE + DECISION == ARBITER_DELAY
    life, judge = new_life(), Keypair()
    life.send(grant(life, Role.ARBITER, judge), life.propose())
    life.send(life.contest())
    life.until(life.bond.decide_by)
    life.send(apply_role(life))
    assert life.refuse(life.uphold(by=judge)) == "WindowOver"


def test_an_arbiter_granted_before_the_proposal_decides() -> None:
    life, judge = new_life(), Keypair()
    life.send(grant(life, Role.ARBITER, judge))
    life.world.advance(DAY)
    life.send(life.propose(), life.contest())
    life.world.advance(ARBITER_DELAY - DAY)
    life.send(apply_role(life))
    assert life.refuse(life.uphold()) == "Unauthorized"
    life.send(life.uphold(by=judge))


def test_revoking_the_arbiter_ends_in_the_beneficiarys_favour() -> None:
    life = contested()
    life.send(revoke(life, Role.ARBITER))
    assert life.refuse(life.uphold()) == "RoleVacant"
    assert life.refuse(life.dismiss()) == "RoleVacant"
    life.until(life.bond.decide_by)
    assert life.refuse(life.execute()) == "WrongState"
    life.send(life.lapse())
    check_cleared(life.bond)


def test_what_was_upheld_stands_though_the_arbiter_is_gone() -> None:
    life = upheld()
    life.send(revoke(life, Role.ARBITER), revoke(life, Role.PROPOSER))
    life.until(life.bond.execute_after)
    life.send(life.execute())
    assert life.bond.state is BondState.SEIZED


def test_the_guardian_cannot_take_the_arbiter_away() -> None:
    life = contested()
    guardian = life.world.guardian
    attempt = program.RevokeRole(signer=guardian.pubkey(), role=Role.ARBITER)
    assert life.refuse(owners(life, attempt, guardian)) == "Unauthorized"
    life.send(life.dismiss())
