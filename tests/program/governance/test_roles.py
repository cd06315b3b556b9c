"""Roles: granted late, cancellable until then, taken away at once, never two in one hand."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.layouts import VACANT, Config
from settlement.chain.program import Role
from tests.program.governance.office import (
    DAY,
    LARGEST_TIME,
    NOTHING_WAITS,
    Office,
    with_bond,
    with_byte,
)
from tests.program.world import with_account

WAIT = {
    Role.PROPOSER: 2 * DAY,
    Role.ARBITER: 21 * DAY,
    Role.GUARDIAN: 2 * DAY,
    Role.PAYER: 2 * DAY,
}
ROLES = tuple(Role)


def held(config: Config, role: Role) -> Pubkey:
    return getattr(config, role.name.lower())


def holding(config: Config, role: Role, key: Pubkey) -> Config:
    """Config with this role in this hand."""
    return replace(config, **{role.name.lower(): key})  # pyright: ignore[reportArgumentType]


def old_holder(office: Office, role: Role) -> Keypair:
    return office.person(role.name.lower())


@pytest.mark.parametrize("role", ROLES)
def test_a_grant_writes_down_what_will_be(office: Office, role: Role) -> None:
    before, heir = office.config, Pubkey.new_unique()
    office.send(office.grant(role, heir))
    assert office.config == replace(
        before,
        pending_role=role,
        pending_role_key=heir,
        pending_role_ready_at=office.world.now + WAIT[role],
    )


@pytest.mark.parametrize("role", ROLES)
def test_it_is_taken_up_at_the_second_and_not_before(office: Office, role: Role) -> None:
    before, heir = office.config, Pubkey.new_unique()
    office.send(office.grant(role, heir))
    office.world.advance(WAIT[role] - 1)
    assert office.refuse(office.apply_role()) == "PolicyPending"
    office.world.advance(1)
    office.send(office.apply_role())
    assert office.config == replace(holding(before, role, heir), **NOTHING_WAITS)


@pytest.mark.parametrize("role", ROLES)
def test_power_changes_hands_when_it_is_taken_up(role: Role) -> None:
    office, heir = with_bond(), Keypair()
    old = old_holder(office, role)
    office.send(office.grant(role, heir.pubkey()))
    office.world.advance(WAIT[role])
    assert (office.holds(role, old), office.holds(role, heir)) == (True, False)
    office.send(office.apply_role())
    assert (office.holds(role, old), office.holds(role, heir)) == (False, True)


@pytest.mark.parametrize("role", ROLES)
def test_power_ends_at_once_when_it_is_taken_away(role: Role) -> None:
    office = with_bond()
    old = old_holder(office, role)
    assert office.holds(role, old)
    office.send(office.revoke(role))
    assert held(office.config, role) == VACANT
    assert not office.holds(role, old)


@pytest.mark.parametrize(
    ("role", "error"),
    [(Role.PROPOSER, "RoleVacant"), (Role.ARBITER, "RoleVacant"), (Role.GUARDIAN, "Unauthorized")],
)
def test_what_a_vacant_role_is_refused_with(role: Role, error: str) -> None:
    office = with_bond()
    office.send(office.revoke(role))
    assert office.refuse(office.as_role(role, old_holder(office, role))) == error


@pytest.mark.parametrize("role", ROLES)
def test_nothing_can_be_applied_or_cancelled_twice(office: Office, role: Role) -> None:
    assert office.refuse(office.apply_role()) == "NothingPending"
    assert office.refuse(office.cancel_role()) == "NothingPending"
    office.send(office.grant(role, Pubkey.new_unique()))
    office.world.advance(WAIT[role])
    office.send(office.apply_role())
    assert office.refuse(office.apply_role()) == "NothingPending"
    assert office.refuse(office.cancel_role()) == "NothingPending"


@pytest.mark.parametrize("by", ["admin", "guardian"])
@pytest.mark.parametrize("role", ROLES)
def test_admin_and_guardian_take_a_promise_back(office: Office, role: Role, by: str) -> None:
    before = office.config
    office.send(office.grant(role, Pubkey.new_unique()))
    office.world.advance(WAIT[role])
    office.send(office.cancel_role(office.person(by)))
    assert office.config == before
    assert office.refuse(office.apply_role()) == "NothingPending"
    assert office.refuse(office.cancel_role(office.person(by))) == "NothingPending"


@pytest.mark.parametrize("second", ROLES)
@pytest.mark.parametrize("first", ROLES)
def test_one_promise_at_a_time_also_when_it_is_due(
    office: Office, first: Role, second: Role
) -> None:
    office.send(office.grant(first, Pubkey.new_unique()))
    again = office.grant(second, Pubkey.new_unique())
    assert office.refuse(again) == "PolicyPending"
    office.world.advance(WAIT[first])
    assert office.refuse(again) == "PolicyPending"
    office.send(office.cancel_role())
    office.send(again)
    # The delay is that of the role and of now, not what was left of the first.
    assert office.config.pending_role_ready_at == office.world.now + WAIT[second]


@pytest.mark.parametrize("number", [0, 5, 6, 127, 128, 255])
def test_there_are_four_roles(office: Office, number: int) -> None:
    """In particular the admin cannot be granted away or revoked."""
    grant = office.grant(Role.PAYER, Pubkey.new_unique())
    assert office.refuse(with_byte(grant, number)) == "InvalidInstruction"
    for by in (office.world.admin, office.world.guardian, office.world.funder):
        revoke = office.revoke(Role.PAYER, by)
        assert office.refuse(with_byte(revoke, number)) == "InvalidInstruction"


@pytest.mark.parametrize("holder", ["admin", "proposer", "arbiter", "guardian", "payer"])
@pytest.mark.parametrize("role", ROLES)
def test_nobody_is_granted_a_second_place(office: Office, role: Role, holder: str) -> None:
    twice = office.grant(role, office.person(holder).pubkey())
    assert office.refuse(twice) == "RolesNotDistinct"


@pytest.mark.parametrize("role", ROLES)
def test_no_role_for_an_address_that_cannot_sign(office: Office, role: Role) -> None:
    deployment = office.world.deployment
    for address in (deployment.till_authority, deployment.escrow, VACANT):
        assert office.refuse(office.grant(role, address)) == "ForbiddenAddress"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_nobody_holds_cannot_be_revoked(office: Office, role: Role) -> None:
    office.send(office.revoke(role))
    assert office.refuse(office.revoke(role)) == "RoleVacant"


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.PROPOSER, True),
        (Role.ARBITER, False),
        (Role.GUARDIAN, False),
        (Role.PAYER, True),
    ],
)
def test_the_guardian_revokes_payer_and_proposer_only(
    office: Office, role: Role, may: bool
) -> None:
    revoke = office.revoke(role, office.world.guardian)
    if may:
        office.send(revoke)
        assert held(office.config, role) == VACANT
    else:
        assert office.refuse(revoke) == "Unauthorized"


@pytest.mark.parametrize("role", ROLES)
def test_only_the_named_role_becomes_vacant(office: Office, role: Role) -> None:
    before = office.config
    office.send(office.revoke(role))
    assert office.config == holding(before, role, VACANT)


def test_a_holder_cannot_lay_down_their_own_role(office: Office) -> None:
    for role in (Role.PROPOSER, Role.ARBITER, Role.PAYER):
        assert office.refuse(office.revoke(role, old_holder(office, role))) == "Unauthorized"


def test_a_revoked_guardian_stops_nothing_any_more(office: Office) -> None:
    guardian = office.world.guardian
    office.send(office.grant(Role.PAYER, Pubkey.new_unique()))
    office.send(office.revoke(Role.GUARDIAN))
    assert office.refuse(office.cancel_role(guardian)) == "Unauthorized"
    assert office.refuse(office.revoke(Role.PAYER, guardian)) == "Unauthorized"
    # Nobody signs for the zero key that stands in the place of a vacant guardian.
    step = office.cancel_role(guardian)
    zero = with_account(step.instruction, 0, pubkey=VACANT, is_signer=False)
    assert office.world.refuse(zero) == "MissingSignature"


@pytest.mark.parametrize("role", ROLES)
def test_a_promise_outlives_the_revocation_of_the_role(office: Office, role: Role) -> None:
    """Grant, revoke, apply: the role is vacant in between, and then the heir's."""
    heir = Pubkey.new_unique()
    office.send(office.grant(role, heir))
    office.send(office.revoke(role))
    assert office.config.pending_role == role
    office.world.advance(WAIT[role])
    office.send(office.apply_role())
    assert held(office.config, role) == heir


@pytest.mark.parametrize("role", ROLES)
def test_a_vacant_role_can_be_granted_even_to_who_held_it(office: Office, role: Role) -> None:
    old = old_holder(office, role).pubkey()
    office.send(office.revoke(role))
    office.send(office.grant(role, old))
    office.world.advance(WAIT[role] - 1)
    assert office.refuse(office.apply_role()) == "PolicyPending"
    office.world.advance(1)
    office.send(office.apply_role())
    assert held(office.config, role) == old


@pytest.mark.parametrize("role", ROLES)
def test_granted_then_nominated_then_admin_it_is_no_role_any_more(
    office: Office, role: Role
) -> None:
    both = office.world.nominee
    office.send(office.grant(role, both.pubkey()))
    office.send(office.nominate())
    office.world.advance(2 * DAY)
    office.send(office.accept())
    office.world.advance(WAIT[role])
    assert office.refuse(office.apply_role()) == "RolesNotDistinct"
    office.send(office.cancel_role(both))
    office.send(office.grant(role, Pubkey.new_unique(), both))


def test_a_clock_that_steps_back_changes_nothing(office: Office) -> None:
    office.send(office.grant(Role.PAYER, Pubkey.new_unique()))
    office.world.advance(2 * DAY)
    office.world.advance(-1)
    assert office.refuse(office.apply_role()) == "PolicyPending"


@pytest.mark.parametrize("role", ROLES)
def test_at_the_end_of_time_nothing_can_be_promised(office: Office, role: Role) -> None:
    office.until(LARGEST_TIME - WAIT[role] + 1)
    grant = office.grant(role, Pubkey.new_unique())
    assert office.refuse(grant) == "Overflow"
    office.world.advance(-1)
    office.send(grant)


@pytest.mark.parametrize("role", ROLES)
def test_a_promise_long_past_its_time_still_holds(office: Office, role: Role) -> None:
    heir = Pubkey.new_unique()
    office.send(office.grant(role, heir))
    office.world.advance(1_000 * DAY)
    office.send(office.apply_role())
    assert held(office.config, role) == heir


def test_granted_and_taken_back_in_one_transaction_nothing_remains(office: Office) -> None:
    before = office.config
    office.send(office.grant(Role.ARBITER, Pubkey.new_unique()), office.cancel_role())
    assert office.config == before


def test_granted_and_applied_in_one_transaction_is_too_early(office: Office) -> None:
    both = (office.grant(Role.PAYER, Pubkey.new_unique()), office.apply_role())
    assert office.refuse(*both) == "PolicyPending"


def test_a_new_admin_decides_over_the_promises_of_the_old(office: Office) -> None:
    office.send(office.grant(Role.ARBITER, Pubkey.new_unique()), office.nominate())
    office.world.advance(2 * DAY)
    office.send(office.accept())
    assert office.config.pending_role == Role.ARBITER
    assert office.refuse(office.cancel_role(office.world.admin)) == "Unauthorized"
    office.send(office.cancel_role(office.world.nominee))
    assert office.config.pending_role == 0
