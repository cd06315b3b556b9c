"""Role confusion: whoever holds one part plays no other, in any instruction that asks who signs."""

from collections.abc import Mapping

import pytest
from solders.keypair import Keypair

from settlement.chain.abi import SHAPES
from tests.program.case import Case
from tests.program.cases import CASES
from tests.program.world import ROLE_AT, World, with_account

# Who may sign in the first place of each instruction that asks for somebody in particular.
MAY_SIGN: Mapping[str, set[str]] = {
    "initialize": {"upgrade_authority"},
    "fund_bond": {"payer"},
    "retire": {"beneficiary", "proposer"},
    "cancel_retire": {"beneficiary"},
    "set_beneficiary": {"beneficiary"},
    "propose_seizure": {"proposer"},
    "withdraw_proposal": {"proposer"},
    "contest": {"beneficiary"},
    "uphold": {"arbiter"},
    "dismiss": {"arbiter"},
    "pay": {"payer"},
    "approve_pay": {"admin"},
    "skip": {"payer", "admin"},
    "recover_stray": {"admin"},
}
PEOPLE = (
    "upgrade_authority",
    "admin",
    "proposer",
    "arbiter",
    "guardian",
    "payer",
    "funder",
    "mint_authority",
)
CONFUSED = [
    (name, person)
    for name, allowed in MAY_SIGN.items()
    for person in PEOPLE
    if person not in allowed
]
# Where Config keeps each role (the proposer's place and 32 bytes each after it).
PLACES = {
    role: ROLE_AT["proposer"] + 32 * at
    for at, role in enumerate(("proposer", "arbiter", "guardian", "payer"))
}
ROLE_ONLY = [
    (name, role) for name, allowed in MAY_SIGN.items() for role in PLACES if allowed == {role}
]


def signed_by(case: Case, signer: Keypair) -> str:
    spoiled = with_account(case.instruction, 0, pubkey=signer.pubkey())
    return case.refuse(spoiled, signer)


def person(world: World, name: str) -> Keypair:
    found = getattr(world, name)
    assert isinstance(found, Keypair)
    return found


def test_the_table_is_of_first_places_that_sign() -> None:
    for name in MAY_SIGN:
        assert "s" in SHAPES[name].accounts[0][1]


@pytest.mark.parametrize(("name", "who"), CONFUSED)
def test_another_part_signs(name: str, who: str) -> None:
    case = CASES[name]()
    assert signed_by(case, person(case.world, who)) == "Unauthorized"


@pytest.mark.parametrize("name", MAY_SIGN)
def test_a_stranger_signs(name: str) -> None:
    case = CASES[name]()
    assert signed_by(case, Keypair()) == "Unauthorized"


@pytest.mark.parametrize(("name", "role"), ROLE_ONLY)
def test_a_former_holder_signs(name: str, role: str) -> None:
    case = CASES[name]()
    case.world.patch(case.world.deployment.config, PLACES[role], bytes(Keypair().pubkey()))
    assert case.refuse(case.instruction) == "Unauthorized"


@pytest.mark.parametrize(("name", "role"), ROLE_ONLY)
def test_a_vacant_role_is_nobodys(name: str, role: str) -> None:
    case = CASES[name]()
    case.world.patch(case.world.deployment.config, PLACES[role], bytes(32))
    assert case.refuse(case.instruction) == "RoleVacant"
    assert signed_by(case, case.world.admin) == "RoleVacant"
    assert signed_by(case, Keypair()) == "RoleVacant"


@pytest.mark.parametrize("name", ["retire", "skip"])
def test_a_vacant_role_takes_nothing_from_the_other_who_may(name: str) -> None:
    case = CASES[name]()
    vacated = "proposer" if name == "retire" else "payer"
    other = case.signers[0] if name == "retire" else case.world.admin
    former = person(case.world, vacated)
    case.world.vacate(vacated)
    assert signed_by(case, former) == "Unauthorized"
    spoiled = with_account(case.instruction, 0, pubkey=other.pubkey())
    case.world.send(spoiled, signers=[other])


@pytest.mark.parametrize("name", MAY_SIGN)
def test_the_right_key_without_its_signature(name: str) -> None:
    case = CASES[name]()
    assert case.refuse(with_account(case.instruction, 0, is_signer=False)) == "MissingSignature"


@pytest.mark.parametrize("name", MAY_SIGN)
def test_the_right_signature_in_the_wrong_place(name: str) -> None:
    """The right key signs the transaction, as its fee payer; in the place another stands."""
    case = CASES[name]()
    world, right = case.world, case.signers[0]
    world.svm.airdrop(right.pubkey(), 1_000_000_000)
    world.fee_payer = right
    needed = {meta.pubkey for meta in case.instruction.accounts[1:] if meta.is_signer}
    others = [key for key in case.signers if key.pubkey() in needed]
    spoiled = with_account(case.instruction, 0, pubkey=world.guardian.pubkey())
    assert world.refuse(spoiled, signers=[*others, world.guardian]) == "Unauthorized"
