"""Roles and the hand-over: what is said before signing, and who hears no."""

from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from cli.admin.plans import handover, roles
from cli.admin.plans.handover import NominationOver
from cli.admin.plans.holders import AlreadyHolds, NoPlaceForIt, NotTheHolder
from cli.admin.plans.waiting import ChangeWaits, NothingWaits, TooEarly
from cli.transaction.proposal import NothingToDo
from settlement.chain import program
from settlement.chain.layouts import VACANT
from settlement.chain.program import Role
from tests.pure.cli.admin_scene import (
    ADMIN,
    ARBITER,
    AUTHORITY,
    DAY,
    DEPLOYMENT,
    GUARDIAN,
    NOBODY_KNOWN,
    NOW,
    PAYER,
    PROPOSER,
    instruction_of,
    overview,
    told,
)

HOLDERS = {
    Role.PROPOSER: PROPOSER,
    Role.ARBITER: ARBITER,
    Role.GUARDIAN: GUARDIAN,
    Role.PAYER: PAYER,
}
EVERYBODY = [ADMIN, *HOLDERS.values()]
PROMISED = {
    "pending_role": Role.PAYER.value,
    "pending_role_key": NOBODY_KNOWN,
    "pending_role_ready_at": NOW + DAY,
}
NOMINATED = {
    "pending_admin": NOBODY_KNOWN,
    "pending_admin_ready_at": NOW,
    "pending_admin_expires_at": NOW + 12 * DAY,
}


@pytest.mark.parametrize(("role", "days"), [(role, 21 if role == 2 else 2) for role in Role])
def test_a_grant_says_who_follows_whom_and_from_when(role: Role, days: int) -> None:
    planned = roles.grant(overview(), ADMIN, role, NOBODY_KNOWN)
    assert instruction_of(planned) == program.GrantRole(admin=ADMIN, role=role, holder=NOBODY_KNOWN)
    assert told(planned)[role.name.lower()] == f"{HOLDERS[role]} → {NOBODY_KNOWN}"
    assert f"(in {days} days)" in told(planned)["can be taken up"]
    assert planned.facts["can_be_applied_at"] == NOW + days * DAY


@pytest.mark.parametrize("wallet", [PROPOSER, GUARDIAN, AUTHORITY, NOBODY_KNOWN, VACANT])
def test_only_the_admin_grants(wallet: Pubkey) -> None:
    with pytest.raises(NotTheHolder, match=f"admin={ADMIN}"):
        roles.grant(overview(), wallet, Role.PAYER, NOBODY_KNOWN)


@pytest.mark.parametrize("holder", EVERYBODY)
def test_nobody_is_promised_a_second_place(holder: Pubkey) -> None:
    with pytest.raises(AlreadyHolds, match=str(holder)):
        roles.grant(overview(), ADMIN, Role.PAYER, holder)


@pytest.mark.parametrize("holder", [VACANT, DEPLOYMENT.till_authority, DEPLOYMENT.escrow])
def test_no_role_for_whom_nobody_signs(holder: Pubkey) -> None:
    with pytest.raises(NoPlaceForIt):
        roles.grant(overview(), ADMIN, Role.PAYER, holder)


def test_no_second_promise() -> None:
    with pytest.raises(ChangeWaits, match=r"in 1 day\)"):
        roles.grant(overview(**PROMISED), ADMIN, Role.ARBITER, NOBODY_KNOWN)


def test_a_promise_is_applied_by_anybody_from_its_second_on() -> None:
    due = {**PROMISED, "pending_role_ready_at": NOW}
    planned = roles.apply(overview(**due), AUTHORITY)
    assert instruction_of(planned) == program.ApplyRole()
    assert told(planned)["payer"] == f"{PAYER} → {NOBODY_KNOWN}"
    with pytest.raises(TooEarly):
        roles.apply(overview(**{**due, "pending_role_ready_at": NOW + 1}), AUTHORITY)
    with pytest.raises(NothingWaits):
        roles.apply(overview(), AUTHORITY)


@pytest.mark.parametrize(("wallet", "by"), [(ADMIN, "admin"), (GUARDIAN, "guardian")])
def test_a_promise_is_taken_back(wallet: Pubkey, by: str) -> None:
    planned = roles.cancel(overview(**PROMISED), wallet)
    assert instruction_of(planned) == program.CancelRole(signer=wallet)
    assert told(planned)["payer"] == f"stays {PAYER}"
    assert told(planned)["taken back by"] == by


def test_nothing_to_take_back_and_nobody_else_does() -> None:
    with pytest.raises(NothingWaits):
        roles.cancel(overview(), ADMIN)
    with pytest.raises(NotTheHolder, match=f"guardian={GUARDIAN}"):
        roles.cancel(overview(**PROMISED), NOBODY_KNOWN)


@pytest.mark.parametrize("role", list(Role))
def test_the_admin_revokes_every_role(role: Role) -> None:
    planned = roles.revoke(overview(), ADMIN, role)
    assert instruction_of(planned) == program.RevokeRole(signer=ADMIN, role=role)
    assert told(planned)[role.name.lower()] == f"{HOLDERS[role]} → vacant"


def test_the_guardian_revokes_two() -> None:
    for role in (Role.PAYER, Role.PROPOSER):
        planned = roles.revoke(overview(), GUARDIAN, role)
        assert told(planned)["taken away by"] == "guardian"
    for role in (Role.ARBITER, Role.GUARDIAN):
        with pytest.raises(NotTheHolder):
            roles.revoke(overview(), GUARDIAN, role)


def test_a_vacant_role_is_revoked_already() -> None:
    planned = roles.revoke(overview(payer=VACANT), ADMIN, Role.PAYER)
    assert isinstance(planned, NothingToDo)


def test_a_vacant_guardian_is_nobodys_wallet() -> None:
    with pytest.raises(NotTheHolder, match="guardian=vacant"):
        roles.cancel(overview(**PROMISED, guardian=VACANT), VACANT)


@pytest.mark.parametrize(
    ("wallet", "by", "ready", "ends"),
    [(ADMIN, "admin", 2, 14), (AUTHORITY, "upgrade authority", 14, 28)],
)
def test_a_nomination_says_between_which_times(
    wallet: Pubkey, by: str, ready: int, ends: int
) -> None:
    planned = handover.nominate(overview(), wallet, NOBODY_KNOWN)
    assert instruction_of(planned) == program.NominateAdmin(signer=wallet, nominee=NOBODY_KNOWN)
    lines = told(planned)
    assert lines["admin"] == f"{ADMIN} → {NOBODY_KNOWN}"
    assert lines["nominated by"] == by
    assert f"in {ready} days" in lines["accepted from"]
    assert f"in {ends} days" in lines["and before"]
    assert (planned.facts["can_be_accepted_at"], planned.facts["expires_at"]) == (
        NOW + ready * DAY,
        NOW + ends * DAY,
    )


def test_an_admin_who_is_upgrade_authority_nominates_as_admin() -> None:
    planned = handover.nominate(overview(upgrade_authority=ADMIN), ADMIN, NOBODY_KNOWN)
    assert planned.facts["can_be_accepted_at"] == NOW + 2 * DAY


def test_a_nomination_replaces_another_and_says_so() -> None:
    other = Pubkey.new_unique()
    planned = handover.nominate(overview(**NOMINATED), ADMIN, other)
    assert told(planned)["replaces"] == str(NOBODY_KNOWN)


@pytest.mark.parametrize("authority", [AUTHORITY, None])
def test_nobody_else_nominates(authority: Pubkey | None) -> None:
    with pytest.raises(NotTheHolder, match=f"upgrade_authority={authority or 'nobody'}"):
        handover.nominate(overview(upgrade_authority=authority), GUARDIAN, NOBODY_KNOWN)


def test_a_nominee_holds_no_other_place() -> None:
    for nominee in EVERYBODY:
        with pytest.raises(AlreadyHolds):
            handover.nominate(overview(), ADMIN, nominee)
    with pytest.raises(NoPlaceForIt):
        handover.nominate(overview(), ADMIN, VACANT)


def test_the_nominee_accepts_within_the_time() -> None:
    now = overview(**NOMINATED)
    planned = handover.accept(now, NOBODY_KNOWN)
    assert instruction_of(planned) == program.AcceptAdmin(nominee=NOBODY_KNOWN)
    assert told(planned)["admin"] == f"{ADMIN} → {NOBODY_KNOWN}"
    assert planned.irreversible
    with pytest.raises(TooEarly):
        handover.accept(replace(now, now=NOW - 1), NOBODY_KNOWN)
    handover.accept(replace(now, now=NOW + 12 * DAY - 1), NOBODY_KNOWN)
    with pytest.raises(NominationOver):
        handover.accept(replace(now, now=NOW + 12 * DAY), NOBODY_KNOWN)


def test_nobody_accepts_for_another_or_out_of_nothing() -> None:
    with pytest.raises(NotTheHolder, match=f"nominee={NOBODY_KNOWN}"):
        handover.accept(overview(**NOMINATED), ADMIN)
    with pytest.raises(NothingWaits):
        handover.accept(overview(), VACANT)


def test_the_admin_takes_the_nomination_back() -> None:
    planned = handover.cancel(overview(**NOMINATED), ADMIN)
    assert instruction_of(planned) == program.CancelNomination(admin=ADMIN)
    with pytest.raises(NotTheHolder):
        handover.cancel(overview(**NOMINATED), GUARDIAN)
    with pytest.raises(NothingWaits):
        handover.cancel(overview(), ADMIN)
