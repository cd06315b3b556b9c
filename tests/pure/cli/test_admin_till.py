"""The till's words: approvals, burned numbers, surplus, stray money, and the first set-up."""

from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from cli.admin.plans import opening, till
from cli.admin.plans.holders import NoPlaceForIt, NotTheHolder
from cli.admin.plans.opening import HeldTwice
from cli.admin.plans.policy import OutOfBounds
from cli.admin.plans.till import (
    Approval,
    InvalidNumbers,
    InvalidReference,
    IsAVault,
    NotOurs,
    NumberGone,
    Stray,
    parse_reference,
)
from cli.transaction.proposal import NothingToDo, Proposal
from settlement.chain import program
from settlement.chain.layouts import RING_WORDS, VACANT, Escrow, Parameters
from settlement.chain.program import InitialRoles
from settlement.chain.tokens import TokenAccount, TokenState
from settlement.money import MicroUsdc
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
    USDC,
    instruction_of,
    overview,
    payouts,
    told,
)

REFERENCE = bytes(range(16))
DESTINATION = Pubkey.new_unique()
APPROVAL = Approval(
    sequence=7,
    amount_microusdc=MicroUsdc(500 * USDC),
    destination=DESTINATION,
    reference=REFERENCE,
)
# Numbers 64 to 66: paid, skipped, free. Everything below is used.
_WORDS = (0, *(0,) * (RING_WORDS - 1))
WINDOW = payouts(base=64, used=(0, 0b11, *_WORDS[2:]), paid=(0, 0b01, *_WORDS[2:]))


def test_an_approval_says_what_it_allows() -> None:
    planned = till.approve(overview(), ADMIN, APPROVAL)
    assert instruction_of(planned) == program.ApprovePay(
        admin=ADMIN,
        sequence=7,
        amount_microusdc=MicroUsdc(500 * USDC),
        destination=DESTINATION,
        reference=REFERENCE,
    )
    lines = told(planned)
    assert (lines["number"], lines["amount"]) == ("7", "500.000000 USDC")
    assert lines["to"] == f"the token account {DESTINATION}"
    assert lines["reference"] == REFERENCE.hex()
    assert lines["caps"] == "one payment no cap, a window no cap"
    assert "in 1 day)" in lines["until"]
    assert "replaces" not in lines


def test_an_approval_replaces_one_that_is_open_and_says_so() -> None:
    open_one = payouts(approved_sequence=5, approval_expires_at=NOW + 1)
    planned = till.approve(overview(payouts=open_one), ADMIN, APPROVAL)
    assert told(planned)["replaces"] == "the approval of number 5"
    over = payouts(approved_sequence=5, approval_expires_at=NOW)
    assert "replaces" not in told(till.approve(overview(payouts=over), ADMIN, APPROVAL))


@pytest.mark.parametrize(
    ("sequence", "state"),
    [(63, "too old"), (64, "paid"), (65, "skipped"), (64 + 8_192, "too far")],
)
def test_no_approval_of_a_number_that_is_gone(sequence: int, state: str) -> None:
    gone = replace(APPROVAL, sequence=sequence)
    with pytest.raises(NumberGone, match=f"state={state}, first_free=66"):
        till.approve(overview(payouts=WINDOW), ADMIN, gone)


def test_only_the_admin_approves() -> None:
    for wallet in (PAYER, GUARDIAN, NOBODY_KNOWN):
        with pytest.raises(NotTheHolder):
            till.approve(overview(), wallet, APPROVAL)


@pytest.mark.parametrize("digits", ["", "00", "zz" * 16, "00" * 15, "00" * 17])
def test_a_reference_has_sixteen_bytes(digits: str) -> None:
    assert parse_reference(REFERENCE.hex()) == REFERENCE
    with pytest.raises(InvalidReference):
        parse_reference(digits)


@pytest.mark.parametrize("wallet", [ADMIN, PAYER])
def test_numbers_are_burned_together(wallet: Pubkey) -> None:
    planned = till.skip(overview(payouts=WINDOW), wallet, frozenset({65, 66, 128}))
    assert instruction_of(planned) == program.Skip(signer=wallet, first=65, mask=1 << 63 | 0b11)
    assert told(planned)["numbers"] == "65, 66, 128"


def test_numbers_that_cannot_be_burned() -> None:
    scene = overview(payouts=WINDOW)
    for number, state in ((63, "too old"), (64, "paid"), (64 + 8_192, "too far")):
        with pytest.raises(NumberGone, match=f"number={number}, state={state}"):
            till.skip(scene, ADMIN, frozenset({number}))
    for numbers in (frozenset[int](), frozenset({-1}), frozenset({66, 130})):
        with pytest.raises(InvalidNumbers):
            till.skip(scene, ADMIN, numbers)
    with pytest.raises(NotTheHolder):
        till.skip(scene, GUARDIAN, frozenset({66}))
    assert isinstance(till.skip(scene, ADMIN, frozenset({65})), NothingToDo)


def test_the_surplus_is_swept_by_anybody() -> None:
    less = Escrow(total_bonded_microusdc=MicroUsdc(48 * USDC), open_count=1)
    planned = till.sweep(overview(escrow=less), NOBODY_KNOWN)
    assert instruction_of(planned) == program.SweepSurplus()
    assert told(planned)["moves"] == "2.000000 USDC"
    assert isinstance(till.sweep(overview(), NOBODY_KNOWN), NothingToDo)


def stray(owner: Pubkey = DEPLOYMENT.escrow, amount: int = 5, at: Pubkey | None = None) -> Stray:
    account = TokenAccount(
        mint=Pubkey.new_unique(),
        owner=owner,
        amount=amount,
        state=TokenState.INITIALIZED,
        delegate=None,
        close_authority=None,
    )
    return Stray(address=at or Pubkey.new_unique(), account=account, destination=DESTINATION)


@pytest.mark.parametrize(
    "owner",
    [DEPLOYMENT.config, DEPLOYMENT.payouts, DEPLOYMENT.till_authority, DEPLOYMENT.escrow],
)
def test_stray_tokens_of_every_address_of_ours(owner: Pubkey) -> None:
    lost = stray(owner)
    planned = till.recover(overview(), ADMIN, lost)
    assert instruction_of(planned) == program.RecoverStray(
        admin=ADMIN,
        authority=owner,
        stray=lost.address,
        destination=DESTINATION,
        stray_mint=lost.account.mint,
    )
    assert told(planned)["moves"] == "5 units, all of it"


def test_what_is_not_stray() -> None:
    for vault in (DEPLOYMENT.till_vault, DEPLOYMENT.bond_vault):
        with pytest.raises(IsAVault):
            till.recover(overview(), ADMIN, stray(at=vault))
    with pytest.raises(NotOurs):
        till.recover(overview(), ADMIN, stray(owner=NOBODY_KNOWN))
    with pytest.raises(NotTheHolder):
        till.recover(overview(), GUARDIAN, stray())
    assert isinstance(till.recover(overview(), ADMIN, stray(amount=0)), NothingToDo)


ROLES = InitialRoles(
    admin=ADMIN, proposer=PROPOSER, arbiter=ARBITER, guardian=GUARDIAN, payer=PAYER
)


def initialize(
    *,
    roles: InitialRoles = ROLES,
    wallet: Pubkey = AUTHORITY,
    authority: Pubkey | None = AUTHORITY,
    parameters: Parameters | None = None,
) -> Proposal:
    return opening.initialize(
        DEPLOYMENT,
        upgrade_authority=authority,
        wallet=wallet,
        payer=NOBODY_KNOWN,
        roles=roles,
        parameters=parameters or Parameters(),
    )


def test_the_first_set_up_says_everything_it_fixes() -> None:
    planned = initialize(roles=replace(ROLES, arbiter=VACANT))
    assert instruction_of(planned) == program.Initialize(
        upgrade_authority=AUTHORITY,
        funder=NOBODY_KNOWN,
        roles=replace(ROLES, arbiter=VACANT),
        parameters=Parameters(),
    )
    lines = told(planned)
    assert lines["mint"] == str(DEPLOYMENT.mint)
    assert lines["till vault"] == str(DEPLOYMENT.till_vault)
    assert (lines["admin"], lines["arbiter"]) == (str(ADMIN), "vacant")
    assert (lines["cooldown"], lines["single cap"]) == ("90 d", "no cap")
    assert sum(one.size_bytes for one in planned.opens) == 768 + 32 + 2_184 + 2 * 165


def test_nobody_else_sets_it_up() -> None:
    for authority in (AUTHORITY, None):
        with pytest.raises(NotTheHolder, match=f"upgrade_authority={authority or 'nobody'}"):
            initialize(wallet=ADMIN, authority=authority)


def test_no_two_places_in_one_hand_from_the_start() -> None:
    with pytest.raises(HeldTwice, match="admin, payer"):
        initialize(roles=replace(ROLES, payer=ADMIN))
    with pytest.raises(NoPlaceForIt, match="place=admin"):
        initialize(roles=replace(ROLES, admin=VACANT))
    with pytest.raises(NoPlaceForIt, match="place=guardian"):
        initialize(roles=replace(ROLES, guardian=DEPLOYMENT.escrow))
    initialize(roles=InitialRoles(admin=ADMIN))


def test_parameters_within_their_bounds_from_the_start() -> None:
    with pytest.raises(OutOfBounds):
        initialize(parameters=Parameters(cooldown_seconds=6 * DAY))
