"""Parameters: bounded for ever; tighter at once, looser announced for seven days."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from settlement.chain.layouts import NO_CAP, Parameters
from settlement.money import MicroUsdc
from tests.program.cases import pay_case, post_case
from tests.program.governance.office import DAY, LARGEST_TIME, Office, new_office
from tests.program.world import USDC

# Room on both sides of every field.
MIDDLE = Parameters(
    bond_amount_microusdc=MicroUsdc(50 * USDC),
    cooldown_seconds=30 * DAY,
    dispute_seconds=7 * DAY,
    decision_seconds=14 * DAY,
    execution_seconds=14 * DAY,
    payout_single_cap_microusdc=MicroUsdc(100 * USDC),
    payout_window_cap_microusdc=MicroUsdc(1_000 * USDC),
)
# As the page states them: floor, ceiling, and in which direction a value gets looser.
FIELDS = {
    "bond_amount_microusdc": (1 * USDC, 10_000 * USDC, 1),
    "cooldown_seconds": (7 * DAY, 90 * DAY, 1),
    "dispute_seconds": (3 * DAY, 14 * DAY, -1),
    "decision_seconds": (7 * DAY, 21 * DAY, -1),
    "execution_seconds": (7 * DAY, 21 * DAY, 1),
    "payout_single_cap_microusdc": (0, NO_CAP, 1),
    "payout_window_cap_microusdc": (0, NO_CAP, 1),
}
CAPS = [name for name in FIELDS if "cap" in name]
PAIRS = list(permutations(FIELDS, 2))
BOUNDED = [name for name in FIELDS if "cap" not in name]
TIMES = [name for name in FIELDS if name.endswith("_seconds")]
WAIT = 7 * DAY
NONE_WAIT = Parameters(
    bond_amount_microusdc=MicroUsdc(0),
    cooldown_seconds=0,
    dispute_seconds=0,
    decision_seconds=0,
    execution_seconds=0,
    payout_single_cap_microusdc=MicroUsdc(0),
    payout_window_cap_microusdc=MicroUsdc(0),
)


def put(name: str, value: int, start: Parameters = MIDDLE) -> Parameters:
    changed: dict[str, Any] = {name: value}
    return replace(start, **changed)


def value(name: str, of: Parameters = MIDDLE) -> int:
    return getattr(of, name)


def looser(name: str, by: int = 1, start: Parameters = MIDDLE) -> Parameters:
    return put(name, value(name, start) + by * FIELDS[name][2], start)


def tighter(name: str, by: int = 1, start: Parameters = MIDDLE) -> Parameters:
    return looser(name, -by, start)


def loosest(name: str) -> int:
    floor, ceiling, direction = FIELDS[name]
    return ceiling if direction > 0 else floor


def tightest(name: str) -> int:
    floor, ceiling, direction = FIELDS[name]
    return floor if direction > 0 else ceiling


def holding(office: Office) -> tuple[Parameters, Parameters, int]:
    """In force, waiting, and from when."""
    config = office.config
    return config.parameters, config.pending_parameters, config.pending_parameters_ready_at


@pytest.fixture
def middle() -> Office:
    """Set up with room on both sides of every parameter, nothing waiting."""
    office = new_office()
    office.send(office.set_params(MIDDLE))  # from the real ones it only gets tighter
    assert holding(office) == (MIDDLE, NONE_WAIT, 0)
    return office


@pytest.mark.parametrize("name", FIELDS)
def test_tighter_holds_at_once(middle: Office, name: str) -> None:
    before = middle.config
    for wanted in (tighter(name), put(name, tightest(name))):
        middle.send(middle.set_params(wanted))
        assert middle.config == replace(before, parameters=wanted)


@pytest.mark.parametrize("name", FIELDS)
def test_looser_waits_seven_days_to_the_second(middle: Office, name: str) -> None:
    before = middle.config
    wanted = looser(name)
    middle.send(middle.set_params(wanted))
    ready_at = middle.world.now + WAIT
    assert middle.config == replace(
        before, pending_parameters=wanted, pending_parameters_ready_at=ready_at
    )
    middle.world.advance(WAIT - 1)
    assert middle.refuse(middle.apply_params()) == "PolicyPending"
    middle.world.advance(1)
    middle.send(middle.apply_params())
    assert middle.config == replace(before, parameters=wanted)


@pytest.mark.parametrize("name", FIELDS)
def test_as_loose_as_can_be_waits_too(middle: Office, name: str) -> None:
    wanted = put(name, loosest(name))
    middle.send(middle.set_params(wanted))
    assert holding(middle) == (MIDDLE, wanted, middle.world.now + WAIT)
    middle.world.advance(WAIT)
    middle.send(middle.apply_params())
    assert holding(middle) == (wanted, NONE_WAIT, 0)


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("side", ["floor", "ceiling"])
def test_nothing_outside_its_bounds(middle: Office, name: str, side: str) -> None:
    floor, ceiling, _ = FIELDS[name]
    edge, outside = (floor, floor - 1) if side == "floor" else (ceiling, ceiling + 1)
    assert middle.refuse(middle.set_params(put(name, outside))) == "ParamOutOfBounds"
    middle.send(middle.set_params(put(name, edge)))


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("strange", [0, -1, -(2**63), 2**63 - 1])
def test_no_strange_times(middle: Office, name: str, strange: int) -> None:
    assert middle.refuse(middle.set_params(put(name, strange))) == "ParamOutOfBounds"


@pytest.mark.parametrize("strange", [0, 2**64 - 1])
def test_no_strange_bond_amount(middle: Office, strange: int) -> None:
    wanted = put("bond_amount_microusdc", strange)
    assert middle.refuse(middle.set_params(wanted)) == "ParamOutOfBounds"


@pytest.mark.parametrize("name", BOUNDED)
def test_one_value_outside_stops_the_others_too(middle: Office, name: str) -> None:
    tight = tighter("payout_single_cap_microusdc")
    floor, ceiling, _ = FIELDS[name]
    for outside in (floor - 1, ceiling + 1):
        wanted = put(name, outside, tight)
        assert middle.refuse(middle.set_params(wanted)) == "ParamOutOfBounds"


@pytest.mark.parametrize("second", FIELDS)
@pytest.mark.parametrize("first", FIELDS)
def test_nothing_looser_while_something_waits(middle: Office, first: str, second: str) -> None:
    middle.send(middle.set_params(looser(first)))
    again = looser(second, 2)
    assert middle.refuse(middle.set_params(again)) == "PolicyPending"
    # Not even together with something tighter, and not when it is due.
    other = next(name for name in FIELDS if name != second)
    assert middle.refuse(middle.set_params(tighter(other, 1, again))) == "PolicyPending"
    middle.world.advance(WAIT)
    assert middle.refuse(middle.set_params(again)) == "PolicyPending"


@pytest.mark.parametrize(("loose", "tight"), PAIRS)
def test_one_call_may_tighten_and_announce(middle: Office, loose: str, tight: str) -> None:
    both = tighter(tight, 1, looser(loose))
    middle.send(middle.set_params(both))
    assert holding(middle) == (tighter(tight), both, middle.world.now + WAIT)
    middle.world.advance(WAIT)
    middle.send(middle.apply_params())
    assert holding(middle) == (both, NONE_WAIT, 0)


@pytest.mark.parametrize(("loose", "tight"), PAIRS)
def test_a_tightening_is_not_undone_by_what_waited(middle: Office, loose: str, tight: str) -> None:
    """It takes its own field out of what waits and leaves the others in it."""
    middle.send(middle.set_params(looser(loose, 2, looser(tight, 2))))
    ready_at = middle.world.now + WAIT
    middle.world.advance(DAY)
    middle.send(middle.set_params(tighter(tight)))
    left = looser(loose, 2, tighter(tight))
    assert holding(middle) == (tighter(tight), left, ready_at)
    middle.until(ready_at)
    middle.send(middle.apply_params())
    assert holding(middle) == (left, NONE_WAIT, 0)


@pytest.mark.parametrize("name", FIELDS)
def test_nothing_is_left_waiting_once_a_tightening_took_it_all(middle: Office, name: str) -> None:
    middle.send(middle.set_params(looser(name, 2)))
    middle.send(middle.set_params(tighter(name)))
    assert holding(middle) == (tighter(name), NONE_WAIT, 0)
    assert middle.refuse(middle.apply_params()) == "NothingPending"


def test_the_first_announcement_does_not_wait_longer_for_a_tightening(middle: Office) -> None:
    middle.send(middle.set_params(looser("cooldown_seconds")))
    ready_at = middle.world.now + WAIT
    middle.world.advance(WAIT - 1)
    middle.send(middle.set_params(tighter("dispute_seconds")))
    assert middle.config.pending_parameters_ready_at == ready_at


def test_tightened_after_it_was_due_it_holds_what_was_tightened(middle: Office) -> None:
    middle.send(middle.set_params(looser("payout_single_cap_microusdc", 50 * USDC)))
    middle.world.advance(30 * DAY)
    tight = put("payout_single_cap_microusdc", 0)
    middle.send(middle.set_params(tight))
    assert holding(middle) == (tight, NONE_WAIT, 0)


def test_saying_the_same_again_changes_nothing(middle: Office) -> None:
    before = middle.config
    middle.send(middle.set_params(MIDDLE))
    assert middle.config == before
    middle.send(middle.set_params(looser("cooldown_seconds")))
    announced = middle.config
    middle.send(middle.set_params(MIDDLE))
    assert middle.config == announced


@pytest.mark.parametrize("by", ["admin", "guardian"])
def test_admin_and_guardian_drop_what_waits(middle: Office, by: str) -> None:
    before = middle.config
    person = middle.person(by)
    assert middle.refuse(middle.cancel_params(person)) == "NothingPending"
    middle.send(middle.set_params(looser("cooldown_seconds")))
    middle.world.advance(WAIT)
    middle.send(middle.cancel_params(person))
    assert middle.config == before
    assert middle.refuse(middle.apply_params()) == "NothingPending"
    assert middle.refuse(middle.cancel_params(person)) == "NothingPending"


def test_dropping_what_waits_keeps_what_was_tightened_with_it(middle: Office) -> None:
    both = tighter("dispute_seconds", 1, looser("cooldown_seconds"))
    middle.send(middle.set_params(both), middle.cancel_params())
    assert holding(middle) == (tighter("dispute_seconds"), NONE_WAIT, 0)


def test_nothing_is_applied_twice_or_without_being_announced(middle: Office) -> None:
    assert middle.refuse(middle.apply_params()) == "NothingPending"
    middle.send(middle.set_params(looser("cooldown_seconds")))
    middle.world.advance(WAIT)
    assert middle.refuse(middle.apply_params(), middle.apply_params()) == "NothingPending"
    middle.send(middle.apply_params())
    assert middle.refuse(middle.apply_params()) == "NothingPending"


@pytest.mark.parametrize("time", [-(2**63), -1, 0, 1])
def test_nothing_announced_is_nothing_to_apply_whatever_the_clock_says(
    middle: Office, time: int
) -> None:
    middle.until(time)
    assert middle.refuse(middle.apply_params()) == "NothingPending"


def test_after_it_was_dropped_the_delay_begins_anew(middle: Office) -> None:
    announce = middle.set_params(looser("cooldown_seconds"))
    middle.send(announce)
    middle.world.advance(WAIT - 1)
    middle.send(middle.cancel_params(), announce)
    middle.world.advance(WAIT - 1)
    assert middle.refuse(middle.apply_params()) == "PolicyPending"
    middle.world.advance(1)
    middle.send(middle.apply_params())


@pytest.mark.parametrize("by", ["guardian", "proposer", "arbiter", "payer", "upgrade_authority"])
def test_nobody_else_sets_them_not_even_tighter(middle: Office, by: str) -> None:
    for wanted in (MIDDLE, tighter("cooldown_seconds"), looser("cooldown_seconds")):
        assert middle.refuse(middle.set_params(wanted, middle.person(by))) == "Unauthorized"


@pytest.mark.parametrize("by", ["proposer", "arbiter", "payer", "upgrade_authority", "nominee"])
def test_nobody_else_drops_them(middle: Office, by: str) -> None:
    middle.send(middle.set_params(looser("cooldown_seconds")))
    assert middle.refuse(middle.cancel_params(middle.person(by))) == "Unauthorized"


def test_a_new_admin_may_drop_what_the_old_one_announced(middle: Office) -> None:
    middle.send(middle.set_params(looser("cooldown_seconds")), middle.nominate())
    middle.world.advance(2 * DAY)
    middle.send(middle.accept())
    assert middle.refuse(middle.cancel_params(middle.world.admin)) == "Unauthorized"
    middle.send(middle.cancel_params(middle.world.nominee))


def test_a_clock_that_steps_back_changes_nothing(middle: Office) -> None:
    middle.send(middle.set_params(looser("cooldown_seconds")))
    middle.world.advance(WAIT)
    middle.world.advance(-1)
    assert middle.refuse(middle.apply_params()) == "PolicyPending"


def test_at_the_end_of_time_nothing_looser_can_be_announced(middle: Office) -> None:
    middle.until(LARGEST_TIME - WAIT + 1)
    announce = middle.set_params(looser("cooldown_seconds"))
    assert middle.refuse(announce) == "Overflow"
    middle.send(middle.set_params(tighter("cooldown_seconds")))
    middle.world.advance(-1)
    middle.send(announce)


def test_a_cap_cut_stops_the_next_payment(office: Office) -> None:
    case = pay_case(amount_microusdc=5 * USDC)
    there = Office(world=case.world)
    cut = put("payout_single_cap_microusdc", 5 * USDC - 1, Parameters())
    there.send(there.set_params(cut))
    assert case.refuse(case.instruction) == "CapExceeded"
    raised = put("payout_single_cap_microusdc", 5 * USDC, cut)
    there.send(there.set_params(raised))
    assert case.refuse(case.instruction) == "CapExceeded"
    case.world.advance(WAIT)
    there.send(there.apply_params())
    case.send()


@pytest.mark.parametrize("amount", [1 * USDC, 49 * USDC])
def test_a_new_bond_is_of_the_new_amount_with_the_new_terms(amount: int) -> None:
    case = post_case()
    office = Office(world=case.world)
    terms = put("bond_amount_microusdc", amount)
    office.send(office.set_params(terms))
    case.send()
    bond = case.world.bond(b"Enroll01", case.signers[0].pubkey())
    assert (bond.amount_microusdc, case.world.held) == (amount, amount)
    assert bond.cooldown_seconds == terms.cooldown_seconds
    assert bond.dispute_seconds == terms.dispute_seconds
    assert bond.decision_seconds == terms.decision_seconds
    assert bond.execution_seconds == terms.execution_seconds


def test_no_parameters_ever_hold_a_bond_longer_than_the_ceilings() -> None:
    """The loosest that can be reached, whatever is announced: 90 + (14 + 21 + 21) + 3 days."""
    office = new_office()
    slowest = replace(
        Parameters(),
        cooldown_seconds=FIELDS["cooldown_seconds"][1],
        dispute_seconds=FIELDS["dispute_seconds"][1],
        decision_seconds=FIELDS["decision_seconds"][1],
        execution_seconds=FIELDS["execution_seconds"][1],
    )
    office.send(office.set_params(slowest))
    office.world.advance(WAIT)
    office.send(office.apply_params())
    now = office.config.parameters
    longest = sum(value(name, now) for name in TIMES) + 3 * DAY
    assert longest == (90 + 14 + 21 + 21 + 3) * DAY
    for name in TIMES:
        slower = put(name, value(name, now) + 1, now)
        assert office.refuse(office.set_params(slower)) == "ParamOutOfBounds"
