"""Parameters as proposals: only what is named changes, told as old → new and from when. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from solders.pubkey import Pubkey

from cli.admin.overview import Overview
from cli.admin.plans.holders import ADMIN, GUARDIAN, require
from cli.admin.plans.policy import Foreseen, changes, foresee, policy_of, value_of, written
from cli.admin.plans.waiting import require_ready, require_waiting
from cli.transaction.moments import moment
from cli.transaction.proposal import Line, Proposal
from settlement.chain import program
from settlement.chain.layouts import Parameters

_WHAT = "parameters"


def set_(overview: Overview, wallet: Pubkey, changed: Mapping[str, int]) -> Proposal:
    """Change the named parameters, in their own units; the others stay as they are in force.

    Raises `NotTheHolder`, `OutOfBounds`, `NothingChanges` or `SetWaiting`.
    """
    require(overview, wallet, ADMIN)
    wanted = changed_by(overview.config.parameters, changed)
    foreseen = foresee(policy_of(overview.config), wanted, now=overview.now)
    return Proposal(
        name="set_params",
        title="Change the parameters",
        lines=(*_told(foreseen, overview), *_left(foreseen, overview)),
        instructions=(
            program.build(overview.deployment, program.SetParams(admin=wallet, parameters=wanted)),
        ),
        payer=wallet,
        facts={
            "changes": [
                {
                    "parameter": change.name,
                    "old": change.old,
                    "new": change.new,
                    "holds": "later" if change.waits else "at once",
                }
                for change in foreseen.changes
            ],
            "can_be_applied_at": foreseen.policy.ready_at or None,
        },
    )


def apply(overview: Overview, wallet: Pubkey) -> Proposal:
    """What waits comes into force. Raises `NothingWaits` or `TooEarly`."""
    config = overview.config
    require_ready(config.pending_parameters_ready_at, overview.now, _WHAT)
    return Proposal(
        name="apply_params",
        title="The announced parameters come into force",
        lines=_differences(config.parameters, config.pending_parameters),
        instructions=(program.build(overview.deployment, program.ApplyParams()),),
        payer=wallet,
        facts={"changes": _facts(config.parameters, config.pending_parameters)},
    )


def cancel(overview: Overview, wallet: Pubkey) -> Proposal:
    """What waits is dropped. Raises `NothingWaits` or `NotTheHolder`."""
    config = overview.config
    require_waiting(config.pending_parameters_ready_at, _WHAT)
    by = require(overview, wallet, ADMIN, GUARDIAN)
    dropped = (
        Line(label=line.label, text=f"{line.text} is dropped")
        for line in _differences(config.parameters, config.pending_parameters)
    )
    return Proposal(
        name="cancel_params",
        title="Drop the announced parameters",
        lines=(*dropped, Line(label="dropped by", text=by)),
        instructions=(program.build(overview.deployment, program.CancelParams(signer=wallet)),),
        payer=wallet,
        facts={"changes": _facts(config.parameters, config.pending_parameters)},
    )


def changed_by(parameters: Parameters, changed: Mapping[str, int]) -> Parameters:
    """The parameters with the named ones in place."""
    values: dict[str, Any] = dict(changed)
    return replace(parameters, **values)


def label(name: str) -> str:
    """A parameter's name for people, as its option: `single cap`."""
    bare = name.removeprefix("payout_").removesuffix("_microusdc").removesuffix("_seconds")
    return bare.replace("_", " ")


def _told(foreseen: Foreseen, overview: Overview) -> tuple[Line, ...]:
    """Each change, and when it holds."""
    later = f"waits, can be applied {moment(foreseen.policy.ready_at, overview.now)}"
    return tuple(
        Line(
            label=label(change.name),
            text=f"{written(change.name, change.old)} → {written(change.name, change.new)}"
            f" ({later if change.waits else 'at once'})",
        )
        for change in foreseen.changes
    )


def _left(foreseen: Foreseen, overview: Overview) -> tuple[Line, ...]:
    """What becomes of a set that waited before, and of parameters already posted under."""
    lines = [Line(label="posted bonds", text="keep the terms they were posted under")]
    before, after = policy_of(overview.config).waiting, foreseen.policy
    if before is not None and after.waiting is None:
        lines.append(Line(label="waiting set", text="is dropped: nothing is left of it"))
    elif before is not None and after.waiting is not None and before != after.waiting:
        taken = ", ".join(label(change.name) for change in changes(before, after.waiting))
        lines.append(Line(label="waiting set", text=f"follows in: {taken}"))
    # A multisig may sign days later: the values not named are those of today.
    lines.append(
        Line(label="all seven values", text="are in the transaction; make it anew if any changes")
    )
    return tuple(lines)


def _differences(old: Parameters, new: Parameters) -> tuple[Line, ...]:
    return tuple(
        Line(
            label=label(change.name),
            text=f"{written(change.name, change.old)} → {written(change.name, change.new)}",
        )
        for change in changes(old, new)
    )


def _facts(old: Parameters, new: Parameters) -> list[dict[str, object]]:
    return [
        {"parameter": one.name, "old": value_of(old, one.name), "new": value_of(new, one.name)}
        for one in changes(old, new)
    ]
