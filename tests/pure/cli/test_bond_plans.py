"""What each verb of `pod bond` plans and refuses; what is shown as possible is possible."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from solders.pubkey import Pubkey

from cli.bond import plans, standing
from cli.bond.facts import Facts, NoSuchBond
from cli.bond.releasing import Destination, release
from cli.transaction.moments import PausedForNow
from cli.transaction.proposal import NothingToDo, Proposal
from cli.transaction.purse import FrozenByIssuer, GivenAway, NotEnoughUsdc, NoUsdcAccount
from settlement.chain import program
from settlement.chain.instructions import decode_instruction, instruction_name
from settlement.chain.layouts import SeizureState
from settlement.chain.program import BondState
from settlement.errors import PodError
from tests.pure.cli.bonds import (
    ANYBODY,
    BENEFICIARY,
    BOND_ADDRESS,
    CODE,
    DAY,
    DEPLOYMENT,
    NOW,
    OWNER,
    PROPOSER,
    STRANGER,
    WHOLE,
    bond,
    config,
    facts,
    purse,
    vault,
)

REPLY = bytes([5]) * 32


def planned(found: Proposal | NothingToDo) -> Proposal:
    assert isinstance(found, Proposal)
    return found


def names(found: Proposal | NothingToDo) -> list[str]:
    """The instructions of a proposal; those of the token account program by that name."""
    told: list[str] = []
    for one in planned(found).instructions:
        if one.program_id != DEPLOYMENT.program_id:
            told.append("create")
            continue
        keys = [account.pubkey for account in one.accounts]
        told.append(instruction_name(type(decode_instruction(bytes(one.data), keys))))
    return told


def retiring(ends: int, **more: Any) -> program.Bond:  # noqa: ANN401
    return bond(state=BondState.RETIRING, retiring_at=ends - 90 * DAY, release_at=ends, **more)


def accused(state: SeizureState, *, execute_after: int) -> program.Bond:
    decide_by = execute_after + 14 * DAY
    contested = state is not SeizureState.PROPOSED
    return bond(
        seizure_state=state,
        proposed_at=execute_after - 7 * DAY,
        execute_after=execute_after,
        decide_by=decide_by,
        dies_at=(decide_by if contested else execute_after) + 14 * DAY,
        reply_hash=REPLY if contested else bytes(32),
    )


def test_a_post_says_what_moves_and_under_which_terms() -> None:
    found = planned(plans.post(facts(None), OWNER, BENEFICIARY))
    told = {line.label: line.text for line in found.lines}
    assert told["moves"] == "50.000000 USDC"
    assert told["beneficiary"].endswith("you")
    assert told["cooldown"] == "90 days after retiring"
    assert "7 days to contest" in told["if accused"]
    assert str(DEPLOYMENT.bond_vault) in told["to"]
    assert found.signers_needed == (BENEFICIARY,)
    assert found.irreversible
    assert names(found) == ["post_bond"]
    other = planned(plans.post(facts(None), ANYBODY, BENEFICIARY))
    assert "not you" in {line.label: line.text for line in other.lines}["beneficiary"]


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (facts(None, purse=purse(None)), NoUsdcAccount),
        (facts(None, purse=purse(WHOLE - 1)), NotEnoughUsdc),
        (facts(None, purse=purse(WHOLE, frozen=True)), FrozenByIssuer),
        (facts(None, bond_vault=vault(frozen=True)), FrozenByIssuer),
        (facts(None, config=config(deposits=NOW + 1)), PausedForNow),
        (facts(bond(state=BondState.RELEASED)), plans.CodeIsUsedUp),
        (facts(bond(state=BondState.SEIZED)), plans.CodeIsUsedUp),
        (facts(bond(beneficiary=STRANGER)), plans.HandedOn),
    ],
)
def test_a_post_is_refused(found: Facts, error: type[PodError]) -> None:
    with pytest.raises(error):
        plans.post(found, OWNER, BENEFICIARY)


def test_a_pause_of_something_else_stops_nothing() -> None:
    other = config(payouts=NOW + 1, seizures=NOW + 1, releases=NOW + 1, deposits=NOW)
    planned(plans.post(facts(None, config=other), OWNER, BENEFICIARY))


def test_the_proposer_may_retire_too() -> None:
    proposer = plans.Actor(wallet=PROPOSER, payer=PROPOSER)
    assert names(plans.retire(facts(bond()), proposer)) == ["retire"]
    with pytest.raises(plans.NotTheBeneficiary):
        plans.cancel(facts(retiring(NOW)), proposer)


PLANS: dict[str, Callable[[Facts], Proposal | NothingToDo]] = {
    "retire": lambda found: plans.retire(found, OWNER),
    "cancel": lambda found: plans.cancel(found, OWNER),
    "release": lambda found: release(found, ANYBODY, None),
    "contest": lambda found: plans.contest(found, OWNER, REPLY),
    "execute": lambda found: plans.execute(found, ANYBODY),
    "lapse": lambda found: plans.lapse(found, ANYBODY),
    "hand-over": lambda found: plans.hand_over(found, OWNER, STRANGER),
}


@pytest.mark.parametrize("verb", PLANS)
def test_nothing_is_done_to_a_bond_that_is_not_there(verb: str) -> None:
    with pytest.raises(NoSuchBond):
        PLANS[verb](facts(None))


@pytest.mark.parametrize(
    ("verb", "found"),
    [
        ("retire", facts(bond(beneficiary=PROPOSER))),
        ("cancel", facts(retiring(NOW, beneficiary=PROPOSER))),
        ("hand-over", facts(bond(beneficiary=PROPOSER))),
    ],
)
def test_only_the_beneficiary_may(verb: str, found: Facts) -> None:
    with pytest.raises(plans.NotTheBeneficiary):
        PLANS[verb](found)


def test_one_reply_only() -> None:
    contested = facts(accused(SeizureState.CONTESTED, execute_after=NOW + 1))
    assert isinstance(plans.contest(contested, OWNER, REPLY), NothingToDo)
    with pytest.raises(plans.ContestedOtherwise):
        plans.contest(contested, OWNER, bytes(32))
    with pytest.raises(plans.NotTheBeneficiary):
        plans.contest(facts(accused(SeizureState.PROPOSED, execute_after=NOW + 1)), ANYBODY, REPLY)


def test_a_release_waits_for_the_second() -> None:
    with pytest.raises(plans.CooldownRuns):
        release(facts(retiring(NOW + 1)), ANYBODY, None)
    assert names(release(facts(retiring(NOW)), ANYBODY, None)) == ["release"]


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (facts(bond()), plans.NotRetiring),
        (facts(retiring(NOW), config=config(releases=NOW + 1)), PausedForNow),
        (facts(retiring(NOW), purse=purse(0, frozen=True)), FrozenByIssuer),
        (facts(retiring(NOW), bond_vault=vault(frozen=True)), FrozenByIssuer),
        (facts(bond(state=BondState.SEIZED)), plans.CodeIsUsedUp),
    ],
)
def test_a_release_is_refused(found: Facts, error: type[PodError]) -> None:
    with pytest.raises(error):
        release(found, ANYBODY, None)


def test_a_frozen_vault_stops_a_seizure_too() -> None:
    with pytest.raises(FrozenByIssuer):
        plans.execute(
            facts(accused(SeizureState.PROPOSED, execute_after=NOW), bond_vault=vault(frozen=True)),
            ANYBODY,
        )


def test_an_account_that_was_given_away_is_not_paid() -> None:
    given = purse(0)
    assert given.account is not None
    stolen = purse(0, owner=STRANGER).account
    found = facts(retiring(NOW), purse=type(given)(
        owner=BENEFICIARY, address=given.address, account=stolen
    ))  # fmt: skip
    with pytest.raises(GivenAway):
        release(found, ANYBODY, None)


def test_a_missing_account_is_made_by_who_pays_the_fee() -> None:
    found = planned(release(facts(retiring(NOW), purse=purse(None)), ANYBODY, None))
    assert names(found) == ["create", "release"]
    assert found.signers_needed == (STRANGER,)
    assert [one.what for one in found.opens] == ["token account"]


def test_a_named_destination_needs_the_beneficiary() -> None:
    elsewhere = Destination(purse=purse(0, owner=STRANGER), is_named=True)
    with pytest.raises(plans.NotTheBeneficiary):
        release(facts(retiring(NOW)), ANYBODY, elsewhere)
    found = planned(release(facts(retiring(NOW)), OWNER, elsewhere))
    assert found.signers_needed == (BENEFICIARY,)
    assert found.instructions[-1].accounts[1].is_signer
    unsigned = planned(release(facts(retiring(NOW)), OWNER, None))
    assert not unsigned.instructions[-1].accounts[1].is_signer


def test_a_bond_that_was_handed_over_is_released_at_its_old_address() -> None:
    handed = retiring(NOW, beneficiary=STRANGER)
    found = planned(release(facts(handed, purse=purse(0, owner=STRANGER)), ANYBODY, None))
    assert found.instructions[-1].accounts[0].pubkey == BOND_ADDRESS
    assert found.instructions[-1].accounts[1].pubkey == STRANGER


SEIZURES = [SeizureState.PROPOSED, SeizureState.CONTESTED, SeizureState.UPHELD]


def can(verb: str, found: Facts) -> bool:
    """Whether the verb's plan would be shown."""
    try:
        return isinstance(PLANS[verb](found), Proposal)
    except PodError:
        return False


EDGES = [NOW + days * DAY + nudge for days in (-29, -28, -14, 0, 1) for nudge in (-1, 0, 1)]


PAUSES = [(0, 0), (NOW, NOW), (NOW + 1, 0), (0, NOW + 1)]


def lives() -> Iterator[program.Bond]:
    """A bond in every state of its life, every time at or beside an edge."""
    for seizure, ends, edge in product([None, *SEIZURES], [None, NOW - 1, NOW, NOW + 1], EDGES):
        it = bond() if seizure is None else accused(seizure, execute_after=edge)
        if ends is not None:
            state = BondState.RETIRING
            it = replace(it, state=state, retiring_at=ends - 90 * DAY, release_at=ends)
        yield it


@pytest.mark.parametrize(("seizures", "releases"), PAUSES)
def test_what_is_shown_as_open_is_what_can_be_planned(seizures: int, releases: int) -> None:
    now = config(seizures=seizures, releases=releases)
    for it in lives():
        found = facts(it, config=now)
        shown = {step.verb for step in standing.steps(found) if step.is_open(NOW)}
        assert shown - {"uphold", "dismiss"} == {verb for verb in PLANS if can(verb, found)}, it


def test_every_instruction_names_this_bond_and_code() -> None:
    cases = [
        plans.retire(facts(bond()), OWNER),
        plans.cancel(facts(retiring(NOW)), OWNER),
        plans.contest(facts(accused(SeizureState.PROPOSED, execute_after=NOW + 1)), OWNER, REPLY),
        plans.execute(facts(accused(SeizureState.UPHELD, execute_after=NOW)), ANYBODY),
        plans.lapse(facts(accused(SeizureState.CONTESTED, execute_after=NOW - 14 * DAY)), ANYBODY),
        plans.hand_over(facts(bond()), OWNER, STRANGER),
    ]
    for found in cases:
        [instruction] = planned(found).instructions
        assert BOND_ADDRESS in [account.pubkey for account in instruction.accounts]
        assert bytes(instruction.data[8:16]) == CODE
        assert planned(found).facts["bond"] == str(BOND_ADDRESS)


def test_the_second_signature_of_a_hand_over() -> None:
    found = planned(plans.hand_over(facts(bond()), OWNER, STRANGER))
    assert found.signers_needed == (BENEFICIARY, STRANGER)
    assert isinstance(plans.hand_over(facts(bond()), OWNER, BENEFICIARY), NothingToDo)


def test_somebody_else_may_pay_the_fee() -> None:
    sponsor = Pubkey.new_unique()
    found = planned(plans.retire(facts(bond()), plans.Actor(wallet=BENEFICIARY, payer=sponsor)))
    assert found.signers_needed == (sponsor, BENEFICIARY)
