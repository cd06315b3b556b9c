"""The hand-over of the admin's place in two steps, as proposals. Pure.

Nominated by the admin, it can be accepted between 48 hours and 14 days later. The upgrade authority
may nominate too, for an admin whose key is lost: accepted between 14 and 28 days later.
"""

from typing import Final

from solders.pubkey import Pubkey

from cli.admin.overview import Overview
from cli.admin.plans.holders import ADMIN, NotTheHolder, require, require_free
from cli.admin.plans.lengths import DAY_SECONDS
from cli.admin.plans.waiting import NothingWaits, TooEarly
from cli.transaction.moments import moment
from cli.transaction.proposal import Line, Proposal
from settlement.chain import program
from settlement.chain.layouts import VACANT
from settlement.errors import Conflict

NOMINATION_SECONDS: Final = (2 * DAY_SECONDS, 14 * DAY_SECONDS)
RESCUE_SECONDS: Final = (14 * DAY_SECONDS, 28 * DAY_SECONDS)
_WHAT: Final = "nomination"


class NominationOver(Conflict):
    """The nomination was not accepted in time: it takes a new one."""


def nominate(overview: Overview, wallet: Pubkey, nominee: Pubkey) -> Proposal:
    """Name the next admin. Raises `NotTheHolder`, `NoPlaceForIt`, `AlreadyHolds`."""
    config, now = overview.config, overview.now
    by, (wait, life) = _nominator(overview, wallet)
    require_free(overview, nominee)
    ready_at, expires_at = now + wait, now + life
    replaced = (
        ()
        if config.pending_admin == VACANT
        else (Line(label="replaces", text=str(config.pending_admin)),)
    )
    nominate = program.NominateAdmin(signer=wallet, nominee=nominee)
    return Proposal(
        name="nominate_admin",
        title="Nominate the next admin",
        lines=(
            Line(label="admin", text=f"{config.admin} → {nominee}"),
            Line(label="nominated by", text=by),
            Line(label="accepted from", text=moment(ready_at, now)),
            Line(label="and before", text=moment(expires_at, now)),
            *replaced,
        ),
        instructions=(program.build(overview.deployment, nominate),),
        payer=wallet,
        facts={
            "nominee": str(nominee),
            "can_be_accepted_at": ready_at,
            "expires_at": expires_at,
        },
    )


def accept(overview: Overview, wallet: Pubkey) -> Proposal:
    """Become admin. Raises `NothingWaits`, `NotTheHolder`, `TooEarly`, `NominationOver`."""
    config, now = overview.config, overview.now
    if config.pending_admin == VACANT:
        raise NothingWaits(what=_WHAT)
    if wallet != config.pending_admin:
        raise NotTheHolder(wallet=str(wallet), nominee=str(config.pending_admin))
    if now < config.pending_admin_ready_at:
        raise TooEarly(what=_WHAT, possible=moment(config.pending_admin_ready_at, now))
    if now >= config.pending_admin_expires_at:
        raise NominationOver(ended=moment(config.pending_admin_expires_at, now))
    accept = program.AcceptAdmin(nominee=wallet)
    return Proposal(
        name="accept_admin",
        title="Become the admin",
        lines=(
            Line(label="admin", text=f"{config.admin} → {wallet}"),
            Line(label="holds", text="at once"),
        ),
        instructions=(program.build(overview.deployment, accept),),
        payer=wallet,
        irreversible="The present admin has no say any more.",
        facts={"admin": str(wallet), "was": str(config.admin)},
    )


def cancel(overview: Overview, wallet: Pubkey) -> Proposal:
    """Take the nomination back. Raises `NothingWaits` or `NotTheHolder`."""
    config = overview.config
    if config.pending_admin == VACANT:
        raise NothingWaits(what=_WHAT)
    require(overview, wallet, ADMIN)
    cancel = program.CancelNomination(admin=wallet)
    return Proposal(
        name="cancel_nomination",
        title="Take the nomination back",
        lines=(
            Line(label="nominated", text=str(config.pending_admin)),
            Line(label="admin", text=f"stays {config.admin}"),
        ),
        instructions=(program.build(overview.deployment, cancel),),
        payer=wallet,
        facts={"nominee": str(config.pending_admin)},
    )


def _nominator(overview: Overview, wallet: Pubkey) -> tuple[str, tuple[int, int]]:
    """Who nominates, and from when to when it can be accepted. Raises `NotTheHolder`."""
    if wallet == overview.config.admin:
        return ADMIN, NOMINATION_SECONDS
    if wallet == overview.upgrade_authority:
        return "upgrade authority", RESCUE_SECONDS
    authority = overview.upgrade_authority
    raise NotTheHolder(
        wallet=str(wallet),
        admin=str(overview.config.admin),
        upgrade_authority="nobody" if authority is None else str(authority),
    )
