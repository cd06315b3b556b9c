"""The bond program's instructions for its owners: parameters, roles, the admin, pauses. Pure.

Each class is one instruction with the accounts that differ from call to call and its arguments;
`abi.SHAPES` says how it stands in bytes, `instructions` reads and writes it.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from settlement.chain.abi import InitialRoles, PauseBit, Role
from settlement.chain.layouts import Parameters


@dataclass(frozen=True, kw_only=True)
class Initialize:
    """The deployment was set up."""

    upgrade_authority: Pubkey
    funder: Pubkey
    roles: InitialRoles
    parameters: Parameters


@dataclass(frozen=True, kw_only=True)
class SetParams:
    """New parameters: what is tighter holds at once, what is looser waits seven days."""

    admin: Pubkey
    parameters: Parameters


@dataclass(frozen=True, kw_only=True)
class ApplyParams:
    """The waiting parameters came into force. Anybody may do it once their time has come."""


@dataclass(frozen=True, kw_only=True)
class CancelParams:
    """The waiting parameters were dropped, by admin or guardian."""

    signer: Pubkey


@dataclass(frozen=True, kw_only=True)
class GrantRole:
    """A role was promised to somebody: after 48 hours, the arbiter's after 21 days."""

    admin: Pubkey
    role: Role
    holder: Pubkey


@dataclass(frozen=True, kw_only=True)
class ApplyRole:
    """The promised role was taken up. Anybody may do it once its time has come."""


@dataclass(frozen=True, kw_only=True)
class CancelRole:
    """The promised role was taken back, by admin or guardian."""

    signer: Pubkey


@dataclass(frozen=True, kw_only=True)
class RevokeRole:
    """A role became vacant at once: by the admin, or by the guardian (payer and proposer only)."""

    signer: Pubkey
    role: Role


@dataclass(frozen=True, kw_only=True)
class NominateAdmin:
    """Somebody may become admin: after 48 hours, or 14 days if the upgrade authority says so."""

    signer: Pubkey
    nominee: Pubkey


@dataclass(frozen=True, kw_only=True)
class AcceptAdmin:
    """The nominee became admin."""

    nominee: Pubkey


@dataclass(frozen=True, kw_only=True)
class CancelNomination:
    """The admin took the nomination back."""

    admin: Pubkey


@dataclass(frozen=True, kw_only=True)
class Pause:
    """One thing was paused for 72 hours, by guardian or admin."""

    signer: Pubkey
    bit: PauseBit


@dataclass(frozen=True, kw_only=True)
class Unpause:
    """The admin ended a pause early."""

    admin: Pubkey
    bit: PauseBit


GovernanceInstruction = (
    Initialize
    | SetParams
    | ApplyParams
    | CancelParams
    | GrantRole
    | ApplyRole
    | CancelRole
    | RevokeRole
    | NominateAdmin
    | AcceptAdmin
    | CancelNomination
    | Pause
    | Unpause
)
