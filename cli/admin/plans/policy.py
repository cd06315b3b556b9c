"""What a change of parameters will do, told before it is signed. Pure.

The program's rule, said once more: what is tighter holds at once; anything looser waits seven days,
as a whole set, and only one set can wait. A tightening also takes its fields out of the set that
waits. A test in tests/program holds `foresee` and `BOUNDS` against the program itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from cli.admin.plans.lengths import DAY_SECONDS, length
from settlement.chain.layouts import NO_CAP, Config, Parameters
from settlement.errors import Conflict, Refused
from settlement.money import MICROUSDC_PER_USDC, format_usdc

LOOSENING_SECONDS: Final = 7 * DAY_SECONDS


class OutOfBounds(Refused):
    """A parameter lies outside the floor and ceiling built into the program."""


class NothingChanges(Refused):
    """Every value given is in force already."""


class SetWaiting(Conflict):
    """A looser set waits already: apply or cancel it before announcing another."""


class Unit(Enum):
    """What a parameter counts."""

    MICROUSDC = "USDC"
    SECONDS = "seconds"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one parameter may be, and which way it gets looser."""

    unit: Unit
    floor: int
    ceiling: int
    higher_is_looser: bool = True


def _days(floor: int, ceiling: int, *, higher_is_looser: bool) -> Bounds:
    return Bounds(
        unit=Unit.SECONDS,
        floor=floor * DAY_SECONDS,
        ceiling=ceiling * DAY_SECONDS,
        higher_is_looser=higher_is_looser,
    )


_CAP: Final = Bounds(unit=Unit.MICROUSDC, floor=0, ceiling=NO_CAP)
BOUNDS: Final[Mapping[str, Bounds]] = {
    "bond_amount_microusdc": Bounds(
        unit=Unit.MICROUSDC, floor=MICROUSDC_PER_USDC, ceiling=10_000 * MICROUSDC_PER_USDC
    ),
    "cooldown_seconds": _days(7, 90, higher_is_looser=True),
    "dispute_seconds": _days(3, 14, higher_is_looser=False),
    "decision_seconds": _days(7, 21, higher_is_looser=False),
    "execution_seconds": _days(7, 21, higher_is_looser=True),
    "payout_single_cap_microusdc": _CAP,
    "payout_window_cap_microusdc": _CAP,
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One parameter, before and after; `waits` when the new value does not hold at once."""

    name: str
    old: int
    new: int
    waits: bool


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The parameters in force and, if `waiting`, the set that can be applied from `ready_at`."""

    in_force: Parameters
    waiting: Parameters | None = None
    ready_at: int = 0


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What setting parameters will do: every change, and the policy after it."""

    changes: tuple[Change, ...]
    policy: Policy


def policy_of(config: Config) -> Policy:
    """What Config says is in force and what waits."""
    if not config.pending_parameters_ready_at:
        return Policy(in_force=config.parameters)
    return Policy(
        in_force=config.parameters,
        waiting=config.pending_parameters,
        ready_at=config.pending_parameters_ready_at,
    )


def foresee(policy: Policy, wanted: Parameters, *, now: int) -> Foreseen:
    """What setting `wanted` at the chain's time `now` will do.

    Raises `OutOfBounds`, `NothingChanges`, or `SetWaiting` when something gets looser while
    another looser set waits.
    """
    require_bounds(wanted)
    found = changes(policy.in_force, wanted)
    if not found:
        raise NothingChanges()
    in_force = _with(policy.in_force, found, waits=False)
    if any(change.waits for change in found):
        if policy.waiting is not None:
            raise SetWaiting(ready_at=policy.ready_at)
        after = Policy(in_force=in_force, waiting=wanted, ready_at=now + LOOSENING_SECONDS)
        return Foreseen(changes=found, policy=after)
    waiting = None if policy.waiting is None else _with(policy.waiting, found, waits=False)
    if waiting is None or waiting == in_force:
        return Foreseen(changes=found, policy=Policy(in_force=in_force))
    after = Policy(in_force=in_force, waiting=waiting, ready_at=policy.ready_at)
    return Foreseen(changes=found, policy=after)


def changes(old: Parameters, new: Parameters) -> tuple[Change, ...]:
    """Every parameter that differs, in the program's order."""
    return tuple(
        _change(name, bounds, value_of(old, name), value_of(new, name))
        for name, bounds in BOUNDS.items()
        if value_of(old, name) != value_of(new, name)
    )


def value_of(parameters: Parameters, name: str) -> int:
    """One parameter by its name, in its own unit."""
    value: int = getattr(parameters, name)
    return value


def written(name: str, value: int) -> str:
    """A parameter for people: USDC, days and hours, or that there is no cap."""
    if BOUNDS[name].unit is Unit.SECONDS:
        return length(value)
    return "no cap" if value == NO_CAP and "cap" in name else f"{format_usdc(value)} USDC"


def _change(name: str, bounds: Bounds, old: int, new: int) -> Change:
    return Change(name=name, old=old, new=new, waits=(new > old) is bounds.higher_is_looser)


def _with(parameters: Parameters, found: tuple[Change, ...], *, waits: bool) -> Parameters:
    values: dict[str, Any] = {change.name: change.new for change in found if change.waits is waits}
    return replace(parameters, **values)


def require_bounds(wanted: Parameters) -> None:
    """Every parameter is within its floor and ceiling. Raises `OutOfBounds`."""
    for name, bounds in BOUNDS.items():
        value = value_of(wanted, name)
        if not bounds.floor <= value <= bounds.ceiling:
            raise OutOfBounds(
                parameter=name,
                got=written(name, value),
                floor=written(name, bounds.floor),
                ceiling=written(name, bounds.ceiling),
            )
