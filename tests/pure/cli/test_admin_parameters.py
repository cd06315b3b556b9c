"""Parameters and pauses: told as old → new and from when, refused in words."""

from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from cli.admin.plans import parameters, pauses
from cli.admin.plans.holders import NotTheHolder
from cli.admin.plans.pauses import TooSoon
from cli.admin.plans.policy import NothingChanges, OutOfBounds, SetWaiting
from cli.admin.plans.waiting import NothingWaits, TooEarly
from cli.transaction.proposal import NothingToDo
from settlement.chain import program
from settlement.chain.layouts import Parameters, PauseRecord
from settlement.chain.program import PauseBit
from settlement.money import MicroUsdc
from tests.pure.cli.admin_scene import (
    ADMIN,
    DAY,
    GUARDIAN,
    NOBODY_KNOWN,
    NOW,
    PAYER,
    instruction_of,
    overview,
    told,
)

HOUR = 3_600
SIXTY = Parameters(bond_amount_microusdc=MicroUsdc(60_000_000))
WAITING = {"pending_parameters": SIXTY, "pending_parameters_ready_at": NOW + DAY}
EVERY_SEVEN = "all seven values"


def test_only_what_is_named_changes_and_when_is_told() -> None:
    changed = {"bond_amount_microusdc": 60_000_000, "dispute_seconds": 14 * DAY}
    planned = parameters.set_(overview(), ADMIN, changed)
    assert instruction_of(planned) == program.SetParams(
        admin=ADMIN, parameters=replace(SIXTY, dispute_seconds=14 * DAY)
    )
    lines = told(planned)
    assert lines["bond amount"].startswith("50.000000 USDC → 60.000000 USDC (waits, can be applied")
    assert "in 7 days" in lines["bond amount"]
    assert lines["dispute"] == "7 d → 14 d (at once)"
    assert set(lines) == {"bond amount", "dispute", "posted bonds", EVERY_SEVEN}
    assert planned.facts["can_be_applied_at"] == NOW + 7 * DAY


def test_when_everything_is_tighter_nothing_waits() -> None:
    planned = parameters.set_(overview(), ADMIN, {"payout_single_cap_microusdc": 0})
    assert told(planned)["single cap"] == "no cap → 0.000000 USDC (at once)"
    assert planned.facts["can_be_applied_at"] is None


def test_what_becomes_of_a_set_that_waits_is_told() -> None:
    follows = parameters.set_(overview(**WAITING), ADMIN, {"cooldown_seconds": 30 * DAY})
    assert told(follows)["waiting set"] == "follows in: cooldown"
    gone = parameters.set_(overview(**WAITING), ADMIN, {"bond_amount_microusdc": 40_000_000})
    assert "is dropped" in told(gone)["waiting set"]


def test_parameters_are_refused_in_words() -> None:
    with pytest.raises(NotTheHolder):
        parameters.set_(overview(), GUARDIAN, {"cooldown_seconds": 30 * DAY})
    with pytest.raises(NothingChanges):
        parameters.set_(overview(), ADMIN, {"cooldown_seconds": 90 * DAY})
    with pytest.raises(SetWaiting):
        parameters.set_(overview(**WAITING), ADMIN, {"execution_seconds": 21 * DAY})
    with pytest.raises(OutOfBounds, match=r"cooldown_seconds.*got=91 d, floor=7 d, ceiling=90 d"):
        parameters.set_(overview(), ADMIN, {"cooldown_seconds": 91 * DAY})


def test_what_waits_is_applied_by_anybody_from_its_second_on() -> None:
    due = overview(**WAITING, now=NOW + DAY)
    planned = parameters.apply(due, NOBODY_KNOWN)
    assert instruction_of(planned) == program.ApplyParams()
    assert told(planned) == {"bond amount": "50.000000 USDC → 60.000000 USDC"}
    with pytest.raises(TooEarly, match=r"in 1 second\)"):
        parameters.apply(replace(due, now=NOW + DAY - 1), NOBODY_KNOWN)
    with pytest.raises(NothingWaits):
        parameters.apply(overview(), NOBODY_KNOWN)


@pytest.mark.parametrize(("wallet", "by"), [(ADMIN, "admin"), (GUARDIAN, "guardian")])
def test_what_waits_is_dropped(wallet: Pubkey, by: str) -> None:
    planned = parameters.cancel(overview(**WAITING), wallet)
    assert instruction_of(planned) == program.CancelParams(signer=wallet)
    assert told(planned) == {
        "bond amount": "50.000000 USDC → 60.000000 USDC is dropped",
        "dropped by": by,
    }


def test_nothing_to_drop_and_nobody_else_does() -> None:
    with pytest.raises(NothingWaits):
        parameters.cancel(overview(), ADMIN)
    with pytest.raises(NotTheHolder):
        parameters.cancel(overview(**WAITING), PAYER)


def paused(bit: PauseBit, **times: int) -> dict[str, object]:
    record = PauseRecord(by=GUARDIAN, **{"paused_until": 0, "not_before": 0, **times})
    fresh = overview().config.pauses
    return {"pauses": replace(fresh, **{bit.name.lower(): record})}


@pytest.mark.parametrize("bit", list(PauseBit))
def test_a_pause_says_what_it_stops_and_how_long(bit: PauseBit) -> None:
    planned = pauses.pause(overview(), GUARDIAN, bit)
    assert instruction_of(planned) == program.Pause(signer=GUARDIAN, bit=bit)
    lines = told(planned)
    assert lines["stops"] == pauses.STOPPED[bit]
    assert "in 3 days" in lines["until"]
    assert "in 6 days" in lines["next pause from"]
    assert planned.facts["paused_until"] == NOW + 72 * HOUR


@pytest.mark.parametrize("bit", list(PauseBit))
def test_no_pause_before_its_time_but_of_the_others(bit: PauseBit) -> None:
    scene = overview(**paused(bit, not_before=NOW + 1))
    for other in PauseBit:
        if other is not bit:
            pauses.pause(scene, ADMIN, other)
    with pytest.raises(TooSoon, match=bit.name.lower()):
        pauses.pause(scene, ADMIN, bit)
    pauses.pause(replace(scene, now=NOW + 1), ADMIN, bit)


def test_nobody_else_pauses() -> None:
    with pytest.raises(NotTheHolder):
        pauses.pause(overview(), PAYER, PauseBit.PAYOUTS)


@pytest.mark.parametrize("bit", list(PauseBit))
def test_the_admin_ends_a_pause_that_runs(bit: PauseBit) -> None:
    scene = overview(**paused(bit, paused_until=NOW + 1))
    planned = pauses.unpause(scene, ADMIN, bit)
    assert instruction_of(planned) == program.Unpause(admin=ADMIN, bit=bit)
    with pytest.raises(NotTheHolder):
        pauses.unpause(scene, GUARDIAN, bit)
    over = pauses.unpause(replace(scene, now=NOW + 1), ADMIN, bit)
    assert isinstance(over, NothingToDo)
