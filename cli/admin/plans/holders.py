"""Who holds which place, and whether a wallet may do what it is about to sign. Pure.

The program decides; this only says it sooner and in words, before anything is signed.
"""

from collections.abc import Mapping
from typing import Final

from solders.pubkey import Pubkey

from cli.admin.overview import Overview
from settlement.chain.abi import Role
from settlement.chain.layouts import VACANT, Config
from settlement.errors import Conflict, Refused

ADMIN: Final = "admin"
GUARDIAN: Final = "guardian"


class NotTheHolder(Refused):
    """This wallet does not hold the place that may do this."""


class AlreadyHolds(Conflict):
    """One key holds one place only: this one holds another already."""


class NoPlaceForIt(Refused):
    """Nobody could ever sign for this address: it belongs to the program, or is the zero key."""


def holders(config: Config) -> Mapping[str, Pubkey]:
    """Every place and its holder; a vacant one is the zero key."""
    roles = {role.name.lower(): holder_of(config, role) for role in Role}
    return {ADMIN: config.admin, **roles}


def holder_of(config: Config, role: Role) -> Pubkey:
    """Who holds a role; the zero key when nobody does."""
    held: Pubkey = getattr(config, role.name.lower())
    return held


def named(address: Pubkey) -> str:
    """An address, or that the place is vacant."""
    return "vacant" if address == VACANT else str(address)


def place_of(config: Config, wallet: Pubkey) -> str | None:
    """The place this wallet holds, if any."""
    return next((place for place, held in holders(config).items() if held == wallet), None)


def require(overview: Overview, wallet: Pubkey, *places: str) -> str:
    """The one of these places that the wallet holds. Raises `NotTheHolder`."""
    holding = holders(overview.config)
    for place in places:
        if wallet == holding[place] != VACANT:
            return place
    needed = {place: named(holding[place]) for place in places}
    raise NotTheHolder(wallet=str(wallet), **needed)


def require_free(overview: Overview, newcomer: Pubkey) -> None:
    """The newcomer could sign and holds no place yet. Raises `NoPlaceForIt` or `AlreadyHolds`."""
    deployment = overview.deployment
    if newcomer in (VACANT, deployment.till_authority, deployment.escrow):
        raise NoPlaceForIt(address=str(newcomer))
    if (held := place_of(overview.config, newcomer)) is not None:
        raise AlreadyHolds(address=str(newcomer), place=held)
