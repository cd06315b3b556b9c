"""Roles as proposals: granted late, taken away at once. Pure.

A promised role waits 48 hours (the arbiter's 21 days, longer than any open case), and admin or
guardian can take the promise back until it is taken up; anybody may take it up once its time came.
"""

from typing import Final

from solders.pubkey import Pubkey

from cli.admin.overview import Overview
from cli.admin.plans.holders import ADMIN, GUARDIAN, holder_of, named, require, require_free
from cli.admin.plans.lengths import DAY_SECONDS, length
from cli.admin.plans.waiting import require_none_waiting, require_ready, require_waiting
from cli.transaction.moments import moment
from cli.transaction.proposal import Line, NothingToDo, Proposal
from settlement.chain import program
from settlement.chain.abi import Role
from settlement.chain.layouts import VACANT

GRANT_SECONDS: Final = 2 * DAY_SECONDS
ARBITER_SECONDS: Final = 21 * DAY_SECONDS
_WHAT: Final = "role"
_GUARDIAN_REVOKES: Final = (Role.PAYER, Role.PROPOSER)


def wait_of(role: Role) -> int:
    """How long a new holder waits, in seconds."""
    return ARBITER_SECONDS if role is Role.ARBITER else GRANT_SECONDS


def grant(overview: Overview, wallet: Pubkey, role: Role, holder: Pubkey) -> Proposal:
    """Promise a role. Raises `NotTheHolder`, `ChangeWaits`, `NoPlaceForIt`, `AlreadyHolds`."""
    require(overview, wallet, ADMIN)
    config, now = overview.config, overview.now
    require_none_waiting(config.pending_role_ready_at, now, _WHAT)
    require_free(overview, holder)
    ready_at = now + wait_of(role)
    grant = program.GrantRole(admin=wallet, role=role, holder=holder)
    return Proposal(
        name="grant_role",
        title=f"Promise the role of {role.name.lower()}",
        lines=(
            _line(role, holder_of(config, role), holder),
            Line(label="can be taken up", text=f"{moment(ready_at, now)}, by anybody"),
            Line(label="until then", text="admin or guardian can take the promise back"),
        ),
        instructions=(program.build(overview.deployment, grant),),
        payer=wallet,
        facts={"role": role.name.lower(), "holder": str(holder), "can_be_applied_at": ready_at},
    )


def apply(overview: Overview, wallet: Pubkey) -> Proposal:
    """Take up the promised role. Raises `NothingWaits` or `TooEarly`."""
    config = overview.config
    require_ready(config.pending_role_ready_at, overview.now, _WHAT)
    role, holder = Role(config.pending_role), config.pending_role_key
    return Proposal(
        name="apply_role",
        title=f"The promised {role.name.lower()} takes up the role",
        lines=(_line(role, holder_of(config, role), holder), Line(label="holds", text="at once")),
        instructions=(program.build(overview.deployment, program.ApplyRole()),),
        payer=wallet,
        facts={"role": role.name.lower(), "holder": str(holder)},
    )


def cancel(overview: Overview, wallet: Pubkey) -> Proposal:
    """Take the promise back. Raises `NotTheHolder` or `NothingWaits`."""
    config = overview.config
    require_waiting(config.pending_role_ready_at, _WHAT)
    by = require(overview, wallet, ADMIN, GUARDIAN)
    role = Role(config.pending_role)
    return Proposal(
        name="cancel_role",
        title=f"Take the promised role of {role.name.lower()} back",
        lines=(
            Line(label="promised to", text=str(config.pending_role_key)),
            Line(label=role.name.lower(), text=f"stays {named(holder_of(config, role))}"),
            Line(label="taken back by", text=by),
        ),
        instructions=(program.build(overview.deployment, program.CancelRole(signer=wallet)),),
        payer=wallet,
        facts={"role": role.name.lower(), "promised_to": str(config.pending_role_key)},
    )


def revoke(overview: Overview, wallet: Pubkey, role: Role) -> Proposal | NothingToDo:
    """Take a role away at once. Raises `NotTheHolder`."""
    name, held = role.name.lower(), holder_of(overview.config, role)
    if held == VACANT:
        return NothingToDo(name="revoke_role", why=f"the {name} is vacant", facts={"role": name})
    places = (ADMIN, GUARDIAN) if role in _GUARDIAN_REVOKES else (ADMIN,)
    by = require(overview, wallet, *places)
    return Proposal(
        name="revoke_role",
        title=f"Take the role of {name} away",
        lines=(
            _line(role, held, VACANT),
            Line(label="holds", text="at once"),
            Line(label="taken away by", text=by),
        ),
        instructions=(
            program.build(overview.deployment, program.RevokeRole(signer=wallet, role=role)),
        ),
        payer=wallet,
        irreversible=f"Giving the role to anybody again takes {length(wait_of(role))}.",
        facts={"role": name, "held_by": str(held)},
    )


def _line(role: Role, old: Pubkey, new: Pubkey) -> Line:
    return Line(label=role.name.lower(), text=f"{named(old)} → {named(new)}")
