"""The admin's place goes over in two steps, days apart, and is never empty."""

from dataclasses import replace

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.layouts import VACANT
from settlement.chain.program import Role
from tests.program.governance.office import (
    DAY,
    LARGEST_TIME,
    NOBODY_NOMINATED,
    Office,
    Step,
    new_office,
)
from tests.program.world import set_upgrade_authority, with_account

# Who nominates, from when it can be accepted, and from when no more.
NOMINATORS = [("admin", 2 * DAY, 14 * DAY), ("upgrade_authority", 14 * DAY, 28 * DAY)]
ROLES = tuple(Role)
PROGRAM_DATA = 2
HEADER = 45


def nominated(by: str = "admin") -> Office:
    office = new_office()
    office.send(office.nominate(by=office.person(by)))
    return office


@pytest.mark.parametrize(("by", "ready", "ends"), NOMINATORS)
def test_a_nomination_writes_down_what_may_be(
    office: Office, by: str, ready: int, ends: int
) -> None:
    before = office.config
    office.send(office.nominate(by=office.person(by)))
    assert office.config == replace(
        before,
        pending_admin=office.world.nominee.pubkey(),
        pending_admin_ready_at=office.world.now + ready,
        pending_admin_expires_at=office.world.now + ends,
    )


@pytest.mark.parametrize(("by", "ready", "ends"), NOMINATORS)
def test_accepted_from_the_first_second_and_not_before(by: str, ready: int, ends: int) -> None:
    office = nominated(by)
    office.world.advance(ready - 1)
    assert office.refuse(office.accept()) == "NominationTooEarly"
    office.world.advance(1)
    before = office.config
    office.send(office.accept())
    heir = office.world.nominee.pubkey()
    assert office.config == replace(before, admin=heir, **NOBODY_NOMINATED)


@pytest.mark.parametrize(("by", "ready", "ends"), NOMINATORS)
def test_accepted_up_to_the_last_second_and_not_after(by: str, ready: int, ends: int) -> None:
    office = nominated(by)
    office.world.advance(ends)
    assert office.refuse(office.accept()) == "NominationExpired"
    office.world.advance(-1)
    office.send(office.accept())
    assert office.config.admin == office.world.nominee.pubkey()


@pytest.mark.parametrize(("by", "ready", "ends"), NOMINATORS)
def test_one_that_expired_can_be_made_again(by: str, ready: int, ends: int) -> None:
    office = nominated(by)
    office.world.advance(ends)
    office.send(office.nominate(by=office.person(by)))
    assert office.refuse(office.accept()) == "NominationTooEarly"
    office.world.advance(ready)
    office.send(office.accept())


def test_an_admin_who_is_the_upgrade_authority_nominates_as_admin(office: Office) -> None:
    set_upgrade_authority(office.world.svm, office.world.deployment, office.world.admin.pubkey())
    office.send(office.nominate())
    assert office.config.pending_admin_ready_at == office.world.now + 2 * DAY


def test_the_old_admin_rules_until_then_and_never_after(office: Office) -> None:
    old, heir = office.world.admin, office.world.nominee
    office.send(office.nominate())
    office.world.advance(2 * DAY)
    assert office.refuse(office.grant(Role.PAYER, Pubkey.new_unique(), heir)) == "Unauthorized"
    office.send(office.grant(Role.PAYER, Pubkey.new_unique(), old), office.cancel_role(old))
    office.send(office.accept())
    assert office.refuse(office.grant(Role.PAYER, Pubkey.new_unique(), old)) == "Unauthorized"
    assert office.refuse(office.nominate(old.pubkey(), old)) == "Unauthorized"
    office.send(office.grant(Role.PAYER, Pubkey.new_unique(), heir))


@pytest.mark.parametrize(
    "by", ["admin", "proposer", "arbiter", "guardian", "payer", "upgrade_authority", "funder"]
)
def test_only_the_nominee_accepts(by: str) -> None:
    office = nominated()
    office.world.advance(2 * DAY)
    assert office.refuse(office.accept(office.person(by))) == "Unauthorized"


def test_whoever_is_not_the_nominee_hears_so_before_the_time(office: Office) -> None:
    assert office.refuse(office.accept()) == "NoNomination"
    office.send(office.nominate())
    assert office.refuse(office.accept(office.world.funder)) == "Unauthorized"
    office.world.advance(14 * DAY)
    assert office.refuse(office.accept(office.world.funder)) == "Unauthorized"


def test_not_accepted_twice() -> None:
    office = nominated()
    office.world.advance(2 * DAY)
    office.send(office.accept())
    assert office.refuse(office.accept()) == "NoNomination"


def test_the_admin_takes_it_back(office: Office) -> None:
    before = office.config
    assert office.refuse(office.cancel_nomination()) == "NoNomination"
    office.send(office.nominate())
    office.send(office.cancel_nomination())
    assert office.config == before
    office.world.advance(2 * DAY)
    assert office.refuse(office.accept()) == "NoNomination"
    assert office.refuse(office.cancel_nomination()) == "NoNomination"


def test_the_admin_takes_back_what_the_upgrade_authority_began() -> None:
    office = nominated("upgrade_authority")
    office.world.advance(28 * DAY - 1)
    office.send(office.cancel_nomination())
    assert office.refuse(office.accept()) == "NoNomination"


@pytest.mark.parametrize("by", ["guardian", "nominee", "upgrade_authority"])
def test_nobody_else_takes_it_back(by: str) -> None:
    office = nominated()
    assert office.refuse(office.cancel_nomination(office.person(by))) == "Unauthorized"


@pytest.mark.parametrize("second", ["admin", "upgrade_authority"])
@pytest.mark.parametrize("first", ["admin", "upgrade_authority"])
def test_a_nomination_replaces_the_one_before(first: str, second: str) -> None:
    office = nominated(first)
    office.world.advance(14 * DAY - 1)
    other = Keypair()
    office.send(office.nominate(other.pubkey(), office.person(second)))
    ready = dict((by, ready) for by, ready, _ in NOMINATORS)[second]
    assert office.config.pending_admin_ready_at == office.world.now + ready
    assert office.refuse(office.accept()) == "Unauthorized"
    assert office.refuse(office.accept(other)) == "NominationTooEarly"
    office.world.advance(ready)
    office.send(office.accept(other))
    assert office.config.admin == other.pubkey()


@pytest.mark.parametrize("by", ["admin", "upgrade_authority"])
def test_no_admin_who_cannot_sign(office: Office, by: str) -> None:
    deployment = office.world.deployment
    for address in (deployment.till_authority, deployment.escrow, VACANT):
        nominate = office.nominate(address, office.person(by))
        assert office.refuse(nominate) == "ForbiddenAddress"


@pytest.mark.parametrize("by", ["admin", "upgrade_authority"])
@pytest.mark.parametrize("holder", ["admin", "proposer", "arbiter", "guardian", "payer"])
def test_no_admin_who_holds_another_place(office: Office, by: str, holder: str) -> None:
    nominate = office.nominate(office.person(holder).pubkey(), office.person(by))
    assert office.refuse(nominate) == "RolesNotDistinct"


@pytest.mark.parametrize("by", ["proposer", "arbiter", "guardian", "payer", "nominee", "funder"])
def test_nobody_else_nominates(office: Office, by: str) -> None:
    assert office.refuse(office.nominate(by=office.person(by))) == "Unauthorized"


@pytest.mark.parametrize("role", [Role.PROPOSER, Role.GUARDIAN, Role.PAYER])
def test_nominated_then_granted_a_role_and_then_not_admin(office: Office, role: Role) -> None:
    """Whichever comes first closes the other way."""
    nominee = office.world.nominee
    office.send(office.nominate(), office.grant(role, nominee.pubkey()))
    office.world.advance(2 * DAY)
    office.send(office.apply_role())
    assert office.refuse(office.accept()) == "RolesNotDistinct"
    assert office.config.admin == office.world.admin.pubkey()
    office.send(office.revoke(role))
    office.send(office.accept())
    assert office.config.admin == nominee.pubkey()


def test_a_judge_to_be_may_become_admin_but_never_both(office: Office) -> None:
    office.send(office.grant(Role.ARBITER, office.world.nominee.pubkey()))
    office.world.advance(21 * DAY - 2 * DAY)
    office.send(office.nominate())
    office.world.advance(2 * DAY)
    assert office.refuse(office.apply_role(), office.accept()) == "RolesNotDistinct"
    assert office.refuse(office.accept(), office.apply_role()) == "RolesNotDistinct"


def test_nobody_makes_themselves_admin_within_one_transaction(office: Office) -> None:
    assert office.refuse(office.nominate(), office.accept()) == "NominationTooEarly"


def test_what_waits_and_what_is_paused_outlives_the_hand_over(office: Office) -> None:
    office.send(office.grant(Role.ARBITER, Pubkey.new_unique()), office.nominate())
    before = office.config
    office.world.advance(2 * DAY)
    office.send(office.accept())
    heir = office.world.nominee.pubkey()
    assert office.config == replace(before, admin=heir, **NOBODY_NOMINATED)


def test_an_admin_without_a_key_is_followed_by_the_rescue(office: Office) -> None:
    """Nothing of the old admin's is needed, and they have 14 days to object."""
    authority, heir = office.world.upgrade_authority, office.world.nominee
    office.send(office.nominate(by=authority))
    office.world.advance(14 * DAY)
    office.send(office.accept())
    office.send(office.revoke(Role.PAYER, heir))


def test_a_burned_upgrade_authority_rescues_nobody(office: Office) -> None:
    world, authority = office.world, office.world.upgrade_authority
    nominate = office.nominate(by=authority)
    set_upgrade_authority(world.svm, world.deployment, None)
    assert office.refuse(nominate) == "Unauthorized"
    # The loader leaves the old key's bytes behind the option it clears.
    patch_program_data(office, 12, b"\0" + bytes(authority.pubkey()))
    assert office.refuse(nominate) == "Unauthorized"
    patch_program_data(office, 12, b"\x02")
    assert office.refuse(nominate) == "Unauthorized"
    patch_program_data(office, 12, b"\x01")
    office.send(nominate)


def test_without_an_upgrade_authority_the_admin_still_nominates(office: Office) -> None:
    set_upgrade_authority(office.world.svm, office.world.deployment, None)
    office.send(office.nominate())


def test_the_zero_key_of_a_burned_authority_signs_nothing(office: Office) -> None:
    set_upgrade_authority(office.world.svm, office.world.deployment, None)
    step = office.nominate()
    zero = with_account(step.instruction, 0, pubkey=VACANT, is_signer=False)
    assert office.world.refuse(zero) == "MissingSignature"


def patch_program_data(office: Office, at: int, value: bytes) -> None:
    office.world.patch(office.world.deployment.program_data, at, value)


def with_program_data(office: Office, step: Step, data: bytes, owner: Pubkey) -> Step:
    """The step with an account of these bytes in the place of ProgramData."""
    elsewhere = Pubkey.new_unique()
    office.world.svm.set_account(elsewhere, Account(10_000_000, data, owner))
    spoiled = with_account(step.instruction, PROGRAM_DATA, pubkey=elsewhere)
    return Step(spoiled, step.signers)


@pytest.mark.parametrize("by", ["admin", "funder"])
def test_program_data_of_another_program(office: Office, by: str) -> None:
    """Somebody who may upgrade their own program has no say in ours."""
    real = office.world.svm.get_account(office.world.deployment.program_data)
    assert real is not None
    step = office.nominate(by=office.person(by))
    mine = real.data[:13] + bytes(office.person(by).pubkey()) + real.data[HEADER:]
    told = [
        office.refuse(with_program_data(office, step, data, owner))
        for data, owner in (
            (mine, real.owner),
            (mine, office.world.deployment.program_id),
            (mine[: HEADER - 1], real.owner),
            (b"", real.owner),
            (b"\x02" + mine[1:], real.owner),
            (mine[:3] + b"\x01" + mine[4:], real.owner),
        )
    ]
    assert told == ["WrongAddress", "WrongOwner", "WrongTag", "WrongTag", "WrongTag", "WrongTag"]


@pytest.mark.parametrize("by", ["admin", "upgrade_authority"])
def test_program_data_needs_its_header_and_no_more(office: Office, by: str) -> None:
    world, step = office.world, office.nominate(by=office.person(by))
    real = world.svm.get_account(world.deployment.program_data)
    assert real is not None
    for length, told in ((HEADER - 1, "WrongTag"), (HEADER, None)):
        cut = Account(real.lamports, real.data[:length], real.owner)
        world.svm.set_account(world.deployment.program_data, cut)
        if told is None:
            office.send(step)
        else:
            assert office.refuse(step) == told


@pytest.mark.parametrize(("by", "ready", "ends"), NOMINATORS)
def test_at_the_end_of_time_nobody_can_be_nominated(
    office: Office, by: str, ready: int, ends: int
) -> None:
    nominate = office.nominate(by=office.person(by))
    office.until(LARGEST_TIME - ready + 1)
    assert office.refuse(nominate) == "Overflow"
    office.until(LARGEST_TIME - ends + 1)
    assert office.refuse(nominate) == "Overflow"
    office.world.advance(-1)
    office.send(nominate)


def test_a_clock_that_steps_back_changes_nothing() -> None:
    office = nominated()
    office.world.advance(2 * DAY)
    office.world.advance(-1)
    assert office.refuse(office.accept()) == "NominationTooEarly"
