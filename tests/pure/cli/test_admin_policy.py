"""What a change of parameters will do is told field by field, at every bound."""

from dataclasses import replace
from typing import Any

import pytest

from cli.admin.plans.lengths import InvalidLength, length, parse_length
from cli.admin.plans.policy import (
    BOUNDS,
    LOOSENING_SECONDS,
    NothingChanges,
    OutOfBounds,
    Policy,
    SetWaiting,
    changes,
    foresee,
    value_of,
    written,
)
from settlement.chain.layouts import NO_CAP, Parameters
from settlement.money import MicroUsdc

DAY = 86_400
NOW = 1_800_000_000
MIDDLE = Parameters(
    bond_amount_microusdc=MicroUsdc(50_000_000),
    cooldown_seconds=30 * DAY,
    payout_single_cap_microusdc=MicroUsdc(1_000),
    payout_window_cap_microusdc=MicroUsdc(9_000),
)
# Which way each parameter gets looser, said once more and independently.
LOOSER = {
    "bond_amount_microusdc": 1,
    "cooldown_seconds": 1,
    "dispute_seconds": -1,
    "decision_seconds": -1,
    "execution_seconds": 1,
    "payout_single_cap_microusdc": 1,
    "payout_window_cap_microusdc": 1,
}


def moved(name: str, by: int, start: Parameters = MIDDLE) -> Parameters:
    changed: dict[str, Any] = {name: value_of(start, name) + by}
    return replace(start, **changed)


@pytest.mark.parametrize("name", LOOSER)
def test_tighter_holds_at_once(name: str) -> None:
    wanted = moved(name, -LOOSER[name])
    found = foresee(Policy(in_force=MIDDLE), wanted, now=NOW)
    assert found.policy == Policy(in_force=wanted)
    [change] = found.changes
    assert (change.name, change.waits) == (name, False)
    assert (change.old, change.new) == (value_of(MIDDLE, name), value_of(wanted, name))


@pytest.mark.parametrize("name", LOOSER)
def test_looser_waits_seven_days(name: str) -> None:
    wanted = moved(name, LOOSER[name])
    found = foresee(Policy(in_force=MIDDLE), wanted, now=NOW)
    assert found.policy == Policy(in_force=MIDDLE, waiting=wanted, ready_at=NOW + 7 * DAY)
    assert [change.waits for change in found.changes] == [True]


def test_every_parameter_is_known() -> None:
    assert list(BOUNDS) == list(LOOSER) == list(Parameters.__dataclass_fields__)


def test_one_call_may_tighten_and_announce() -> None:
    wanted = moved("cooldown_seconds", DAY, moved("dispute_seconds", DAY))
    found = foresee(Policy(in_force=MIDDLE), wanted, now=NOW)
    assert found.policy.in_force == moved("dispute_seconds", DAY)
    assert found.policy.waiting == wanted
    waits = {change.name: change.waits for change in found.changes}
    assert waits == {"dispute_seconds": False, "cooldown_seconds": True}


def test_nothing_looser_while_something_waits() -> None:
    waiting = Policy(in_force=MIDDLE, waiting=moved("cooldown_seconds", DAY), ready_at=NOW + 5)
    with pytest.raises(SetWaiting, match=f"ready_at={NOW + 5}"):
        foresee(waiting, moved("execution_seconds", DAY), now=NOW)


def test_a_tightening_takes_its_field_out_of_what_waits() -> None:
    announced = moved("cooldown_seconds", DAY, moved("payout_single_cap_microusdc", 5))
    policy = Policy(in_force=MIDDLE, waiting=announced, ready_at=NOW + 5)
    tighter = moved("payout_single_cap_microusdc", -1)
    found = foresee(policy, tighter, now=NOW)
    assert found.policy.in_force == tighter
    assert found.policy.waiting == moved("cooldown_seconds", DAY, tighter)
    assert found.policy.ready_at == NOW + 5


def test_nothing_waits_any_more_when_a_tightening_took_it_all() -> None:
    policy = Policy(in_force=MIDDLE, waiting=moved("cooldown_seconds", DAY), ready_at=NOW + 5)
    tighter = moved("cooldown_seconds", -DAY)
    assert foresee(policy, tighter, now=NOW).policy == Policy(in_force=tighter)


def test_the_same_again_is_no_change() -> None:
    assert changes(MIDDLE, MIDDLE) == ()
    with pytest.raises(NothingChanges):
        foresee(Policy(in_force=MIDDLE), MIDDLE, now=NOW)


@pytest.mark.parametrize("name", [name for name in BOUNDS if "cap" not in name])
def test_floor_and_ceiling_are_allowed_and_nothing_beyond(name: str) -> None:
    bounds, here = BOUNDS[name], value_of(MIDDLE, name)
    for edge, outside in ((bounds.floor, -1), (bounds.ceiling, 1)):
        assert foresee(Policy(in_force=MIDDLE), moved(name, edge - here), now=NOW).changes
        with pytest.raises(OutOfBounds, match=name):
            foresee(Policy(in_force=MIDDLE), moved(name, edge - here + outside), now=NOW)


@pytest.mark.parametrize("name", [name for name in BOUNDS if "cap" in name])
def test_a_cap_may_be_nothing_or_no_cap(name: str) -> None:
    for value in (0, NO_CAP):
        wanted = moved(name, value - value_of(MIDDLE, name))
        assert foresee(Policy(in_force=MIDDLE), wanted, now=NOW).changes
    for value in (-1, NO_CAP + 1):
        wanted = moved(name, value - value_of(MIDDLE, name))
        with pytest.raises(OutOfBounds):
            foresee(Policy(in_force=MIDDLE), wanted, now=NOW)


def test_the_delay_is_seven_days() -> None:
    assert LOOSENING_SECONDS == 7 * DAY


def test_how_values_are_written() -> None:
    assert written("bond_amount_microusdc", 50_000_000) == "50.000000 USDC"
    assert written("payout_single_cap_microusdc", NO_CAP) == "no cap"
    assert written("payout_single_cap_microusdc", 0) == "0.000000 USDC"
    assert written("cooldown_seconds", 90 * DAY) == "90 d"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45, "45 s"), (3_600, "1 h"), (DAY - 1, "23 h 59 min 59 s"), (7 * DAY, "7 d")],
)
def test_lengths_are_written_in_whole_units(seconds: int, text: str) -> None:
    assert length(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("14d", 14 * DAY), ("36h", 129_600), ("90min", 5_400), ("45s", 45), (" 7 D ", 7 * DAY)],
)
def test_lengths_are_read_with_their_unit(text: str, seconds: int) -> None:
    assert parse_length(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "14", "d", "1.5d", "-1d", "14 days", "1d2h", "٣d", "9" * 11 + "d"]
)
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(InvalidLength, match="whole number with its unit"):
        parse_length(text)
