"""The steps of a seizure: each told with the clocks it starts or ends."""

import hashlib
from typing import Any

import pytest
from solders.pubkey import Pubkey

from cli.admin.overview import StrangeAccount
from cli.admin.plans import seizures
from cli.admin.plans.holders import NotTheHolder
from cli.admin.plans.seizures import (
    BondAt,
    BondOver,
    InvalidEvidence,
    NoOpenSeizure,
    NoSuchBond,
    SeizureIsOpen,
    bond_at,
    evidence_hash,
)
from settlement.chain import program
from settlement.chain.program import Bond, BondState, SeizureState
from tests.pure.cli.admin_scene import (
    ADMIN,
    ARBITER,
    CODE,
    DAY,
    DEPLOYMENT,
    NOBODY_KNOWN,
    NOW,
    PROPOSER,
    bond,
    instruction_of,
    overview,
    told,
)

EVIDENCE = bytes(range(1, 33))
SIX = [
    ("withdraw", program.WithdrawProposal, "proposer", PROPOSER),
    ("uphold", program.Uphold, "arbiter", ARBITER),
    ("dismiss", program.Dismiss, "arbiter", ARBITER),
    ("execute", program.ExecuteSeizure, None, NOBODY_KNOWN),
    ("lapse", program.Lapse, None, NOBODY_KNOWN),
]


def at(found: Bond) -> BondAt:
    return BondAt(address=DEPLOYMENT.bond(found.code, found.first_beneficiary), bond=found)


def seized(state: SeizureState = SeizureState.PROPOSED, **changed: Any) -> BondAt:  # noqa: ANN401
    return at(
        bond(
            seizure_state=state,
            evidence_hash=EVIDENCE,
            reason=7,
            proposed_at=NOW - DAY,
            execute_after=NOW + 6 * DAY,
            decide_by=NOW + 20 * DAY,
            dies_at=NOW + 34 * DAY,
            **changed,
        )
    )


def test_a_proposal_says_what_it_begins() -> None:
    place = at(bond())
    planned = seizures.propose(overview(), PROPOSER, place, evidence=EVIDENCE, reason=513)
    assert instruction_of(planned) == program.ProposeSeizure(
        proposer=PROPOSER, bond=place.address, code=CODE, evidence_hash=EVIDENCE, reason=513
    )
    lines = told(planned)
    assert lines["bond"] == f"{place.address}, code Enroll01"
    assert lines["of"] == f"{place.bond.beneficiary}, 50.000000 USDC"
    assert lines["evidence"] == f"SHA-256 {EVIDENCE.hex()}"
    assert "in 7 days" in lines["contested before"]
    assert "in 21 days" in lines["executed before"]
    assert (planned.facts["execute_after"], planned.facts["dies_at"]) == (
        NOW + 7 * DAY,
        NOW + 21 * DAY,
    )


@pytest.mark.parametrize("state", [SeizureState.PROPOSED, SeizureState.CONTESTED])
def test_one_seizure_at_a_time(state: SeizureState) -> None:
    with pytest.raises(SeizureIsOpen, match=state.name.lower()):
        seizures.propose(overview(), PROPOSER, seized(state), evidence=EVIDENCE, reason=1)


def test_only_the_proposer_proposes() -> None:
    for wallet in (ADMIN, ARBITER, NOBODY_KNOWN):
        with pytest.raises(NotTheHolder, match=f"proposer={PROPOSER}"):
            seizures.propose(overview(), wallet, at(bond()), evidence=EVIDENCE, reason=1)


@pytest.mark.parametrize(("word", "kind", "place", "wallet"), SIX)
def test_every_later_step(word: str, kind: type, place: str | None, wallet: Pubkey) -> None:
    plan = getattr(seizures, word)
    target = seized(SeizureState.CONTESTED)
    planned = plan(overview(), wallet, target)
    instruction = instruction_of(planned)
    assert isinstance(instruction, kind)
    assert told(planned)["seizure"].startswith("contested, proposed ")
    assert EVIDENCE.hex() in told(planned)["evidence"]
    with pytest.raises(NoOpenSeizure):
        plan(overview(), wallet, at(bond()))
    if place is not None:
        with pytest.raises(NotTheHolder, match=f"{place}={wallet}"):
            plan(overview(), ADMIN, target)


def test_an_execution_says_where_the_money_goes() -> None:
    rent_payer = Pubkey.new_unique()
    target = seized(rent_payer=rent_payer)
    planned = seizures.execute(overview(), NOBODY_KNOWN, target)
    assert instruction_of(planned) == program.ExecuteSeizure(
        bond=target.address, rent_payer=rent_payer, code=CODE
    )
    lines = told(planned)
    assert lines["moves"] == "50.000000 USDC"
    assert lines["to"] == f"the till vault {DEPLOYMENT.till_vault}"
    assert lines["rent goes to"] == str(rent_payer)
    assert "in 6 days" in lines["possible from"]
    assert planned.irreversible


@pytest.mark.parametrize(
    ("state", "days"),
    [(SeizureState.PROPOSED, 34), (SeizureState.CONTESTED, 20), (SeizureState.UPHELD, 34)],
)
def test_a_lapse_waits_for_the_clock_of_its_state(state: SeizureState, days: int) -> None:
    planned = seizures.lapse(overview(), NOBODY_KNOWN, seized(state))
    assert f"in {days} days" in told(planned)["possible from"]


def test_the_evidence_is_a_file_or_its_hash() -> None:
    assert evidence_hash(b"what happened", None) == hashlib.sha256(b"what happened").digest()
    assert evidence_hash(b"", None) == hashlib.sha256(b"").digest()
    assert evidence_hash(None, EVIDENCE.hex()) == EVIDENCE


@pytest.mark.parametrize(
    ("content", "digits"),
    [
        (None, None),
        (b"x", EVIDENCE.hex()),
        (None, ""),
        (None, "zz"),
        (None, EVIDENCE.hex()[2:]),
        (None, EVIDENCE.hex() + "00"),
        (None, "00" * 32),
    ],
)
def test_other_evidence_is_refused(content: bytes | None, digits: str | None) -> None:
    with pytest.raises(InvalidEvidence):
        evidence_hash(content, digits)


def test_the_bond_that_is_meant() -> None:
    found = bond()
    address = DEPLOYMENT.bond(CODE, found.first_beneficiary)
    assert bond_at(overview(), address, found) == BondAt(address=address, bond=found)
    handed_over = bond(beneficiary=Pubkey.new_unique())
    address = DEPLOYMENT.bond(CODE, handed_over.first_beneficiary)
    assert bond_at(overview(), address, handed_over).bond is handed_over


def test_what_is_not_a_living_bond_at_its_own_address() -> None:
    address = Pubkey.new_unique()
    for found in (None, overview().config, overview().escrow):
        with pytest.raises(NoSuchBond):
            bond_at(overview(), address, found)
    for state in (BondState.RELEASED, BondState.SEIZED):
        with pytest.raises(BondOver, match=state.name.lower()):
            bond_at(overview(), address, Bond(state=state, code=CODE))
    with pytest.raises(StrangeAccount):
        bond_at(overview(), address, bond())
