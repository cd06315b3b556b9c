"""Role confusion: every person with a role tried in the place of every other, everywhere."""

import pytest

from settlement.chain.abi import SHAPES
from settlement.chain.program import Role
from tests.program.cases import CASES
from tests.program.governance.office import PEOPLE, new_office
from tests.program.world import with_account

# Who may sign in the first place of each instruction that asks for somebody in particular.
MAY = {
    "fund_bond": {"payer"},
    "retire": {"proposer"},  # and the beneficiary, who has no role
    "cancel_retire": set[str](),
    "set_beneficiary": set[str](),
    "propose_seizure": {"proposer"},
    "withdraw_proposal": {"proposer"},
    "contest": set[str](),
    "uphold": {"arbiter"},
    "dismiss": {"arbiter"},
    "pay": {"payer"},
    "approve_pay": {"admin"},
    "skip": {"payer", "admin"},
    "recover_stray": {"admin"},
    "set_params": {"admin"},
    "cancel_params": {"admin", "guardian"},
    "grant_role": {"admin"},
    "cancel_role": {"admin", "guardian"},
    "revoke_role": {"admin", "guardian"},
    "nominate_admin": {"admin", "upgrade_authority"},
    "accept_admin": {"nominee"},
    "cancel_nomination": {"admin"},
    "pause": {"guardian", "admin"},
    "unpause": {"admin"},
    "initialize": {"upgrade_authority"},
}
# Anybody's own money, for whomever: no role is asked for.
ANYBODY = {"deposit_usdc", "post_bond"}


def test_every_instruction_that_somebody_signs_is_in_the_table() -> None:
    signed = {name for name, shape in SHAPES.items() if "s" in shape.accounts[0][1]}
    assert MAY.keys() == signed - ANYBODY


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("name", MAY)
def test_everybody_in_every_place(name: str, person: str) -> None:
    case = CASES[name]()
    key = getattr(case.world, person)
    tried = with_account(case.instruction, 0, pubkey=key.pubkey())
    if person in MAY[name]:
        signers = [key, *case.signers]
        needed = {meta.pubkey for meta in tried.accounts if meta.is_signer}
        case.world.send(tried, signers=[one for one in signers if one.pubkey() in needed])
    else:
        assert case.refuse(tried, key) == "Unauthorized"


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("role", list(Role))
def test_everybody_revoking_every_role(role: Role, person: str) -> None:
    office = new_office()
    revoke = office.revoke(role, office.person(person))
    may = {"admin", "guardian"} if role in (Role.PAYER, Role.PROPOSER) else {"admin"}
    if person in may:
        office.send(revoke)
    else:
        assert office.refuse(revoke) == "Unauthorized"


@pytest.mark.parametrize("role", list(Role))
def test_a_promise_gives_no_power_before_it_is_taken_up(role: Role) -> None:
    office = new_office()
    heir = office.world.nominee
    office.send(office.grant(role, heir.pubkey()))
    assert office.refuse(office.cancel_role(heir)) == "Unauthorized"
    assert office.refuse(office.revoke(role, heir)) == "Unauthorized"
    office.send(office.cancel_role())
