"""When a step of a bond is due, by the books: every state, to the second."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import uuid4

import pytest
from solders.keypair import Keypair

from settlement.bonds.rules import BondState, SeizureState
from settlement.chain.program import Deployment, Lapse, Release, decode_instruction
from settlement.cranks.states import FINAL, TRANSITIONS, CrankEvent, CrankState, after
from settlement.cranks.states import WrongCrankState as Wrong
from settlement.cranks.step import BookedBond, CrankKind, Due, due, instruction, recipient

T = datetime(2026, 11, 28, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WALLET, FIRST = Keypair().pubkey(), Keypair().pubkey()
DEPLOYMENT = Deployment(program_id=Keypair().pubkey(), mint=Keypair().pubkey())
BOND = BookedBond(
    address=DEPLOYMENT.bond(b"a1B2c3D4", FIRST),
    code=b"a1B2c3D4",
    state=BondState.RETIRING,
    provider_id=None,
    beneficiary=WALLET,
    first_beneficiary=FIRST,
    rent_payer=FIRST,
    release_at=T,
    seizure=SeizureState.NONE,
    execute_after=None,
    decide_by=None,
    dies_at=None,
)
SEIZED_FROM = replace(
    BOND,
    seizure=SeizureState.PROPOSED,
    execute_after=T + 10 * SECOND,
    decide_by=T + 20 * SECOND,
    dies_at=T + 30 * SECOND,
)


def test_a_release_is_due_at_its_second() -> None:
    assert due(BOND, T - SECOND) is None
    assert due(BOND, T) == Due(kind=CrankKind.RELEASE, since=T)
    assert due(BOND, T + timedelta(days=9)) == Due(kind=CrankKind.RELEASE, since=T)


@pytest.mark.parametrize("state", sorted(set(BondState) - {BondState.RETIRING}))
def test_nothing_else_is_ever_released(state: BondState) -> None:
    assert due(replace(BOND, state=state), T + timedelta(days=900)) is None


@pytest.mark.parametrize("state", [BondState.POSTED, BondState.RETIRING])
@pytest.mark.parametrize("seizure", [SeizureState.PROPOSED, SeizureState.UPHELD])
def test_a_seizure_is_carried_out_in_its_window(state: BondState, seizure: SeizureState) -> None:
    bond = replace(SEIZED_FROM, state=state, seizure=seizure)
    assert due(bond, T + 9 * SECOND) is None
    for at in (10, 29):
        execution = Due(kind=CrankKind.EXECUTE_SEIZURE, since=T + 10 * SECOND)
        assert due(bond, T + at * SECOND) == execution
    lapse = Due(kind=CrankKind.LAPSE, since=T + 30 * SECOND)
    assert due(bond, T + 30 * SECOND) == lapse


def test_a_contested_one_is_only_cleared() -> None:
    bond = replace(SEIZED_FROM, seizure=SeizureState.CONTESTED)
    assert due(bond, T + 19 * SECOND) is None
    assert due(bond, T + 20 * SECOND) == Due(kind=CrankKind.LAPSE, since=T + 20 * SECOND)


def test_a_seizure_whose_times_nobody_knows_has_ended() -> None:
    unknown = replace(SEIZED_FROM, execute_after=None, decide_by=None, dies_at=None)
    assert due(unknown, T + timedelta(days=900)) is None


@pytest.mark.parametrize("state", [BondState.RELEASED, BondState.SEIZED, BondState.NONE])
def test_what_is_over_has_no_seizure_either(state: BondState) -> None:
    assert due(replace(SEIZED_FROM, state=state), T + timedelta(days=900)) is None


def test_a_bond_that_changed_hands_stays_at_its_first_address() -> None:
    for kind, meant in ((CrankKind.RELEASE, Release), (CrankKind.LAPSE, Lapse)):
        made = instruction(kind, BOND, deployment=DEPLOYMENT)
        read = decode_instruction(bytes(made.data), [one.pubkey for one in made.accounts])
        assert isinstance(read, meant)
        assert read.bond == BOND.address
        assert not any(one.is_signer for one in made.accounts)
    read = decode_instruction(
        bytes(instruction(CrankKind.RELEASE, BOND, deployment=DEPLOYMENT).data),
        [
            one.pubkey
            for one in instruction(CrankKind.RELEASE, BOND, deployment=DEPLOYMENT).accounts
        ],
    )
    assert isinstance(read, Release)
    assert (read.beneficiary, read.rent_payer) == (WALLET, FIRST)


def test_an_account_is_opened_for_operators_only() -> None:
    assert recipient(CrankKind.RELEASE, BOND, deployment=DEPLOYMENT) is None
    ours = replace(BOND, provider_id=uuid4())
    found = recipient(CrankKind.RELEASE, ours, deployment=DEPLOYMENT)
    assert found is not None
    assert found.owner == WALLET
    assert recipient(CrankKind.LAPSE, ours, deployment=DEPLOYMENT) is None


def test_every_pair_is_in_the_table_or_raises() -> None:
    for state, event in product(CrankState, CrankEvent):
        if (state, event) in TRANSITIONS:
            assert after(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(Wrong):
                after(state, event)
    assert not {state for state, _ in TRANSITIONS} & FINAL
