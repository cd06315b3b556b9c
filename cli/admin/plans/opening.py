"""The opening of a deployment: what `initialize` creates, and for whom. Pure.

There is no Config to read yet, so its place is taken by the one this will write.
"""

from typing import Final

from solders.pubkey import Pubkey

from cli.admin.plans.holders import NoPlaceForIt, NotTheHolder, named
from cli.admin.plans.parameters import label
from cli.admin.plans.policy import BOUNDS, require_bounds, value_of, written
from cli.transaction.proposal import Line, Opened, Proposal
from settlement.chain import program
from settlement.chain.layouts import (
    CONFIG_SIZE,
    ESCROW_SIZE,
    PAYOUTS_SIZE,
    VACANT,
    Config,
    Parameters,
    PauseRecord,
    PauseRecords,
)
from settlement.chain.program import Deployment, InitialRoles
from settlement.chain.tokens import TOKEN_ACCOUNT_SIZE
from settlement.errors import Conflict
from settlement.money import MicroUsdc

_NEVER: Final = PauseRecord(paused_until=0, not_before=0, by=VACANT)
_NOTHING_WAITS: Final = Parameters(
    bond_amount_microusdc=MicroUsdc(0),
    cooldown_seconds=0,
    dispute_seconds=0,
    decision_seconds=0,
    execution_seconds=0,
    payout_single_cap_microusdc=MicroUsdc(0),
    payout_window_cap_microusdc=MicroUsdc(0),
)


class HeldTwice(Conflict):
    """Two places would be held by one key: every place has a key of its own, or is vacant."""


def initialize(
    deployment: Deployment,
    *,
    upgrade_authority: Pubkey | None,
    wallet: Pubkey,
    payer: Pubkey,
    roles: InitialRoles,
    parameters: Parameters,
) -> Proposal:
    """Set a deployment up, once.

    Raises `NotTheHolder`, `OutOfBounds`, `NoPlaceForIt` or `HeldTwice`.
    """
    if wallet != upgrade_authority:
        raise NotTheHolder(
            wallet=str(wallet),
            upgrade_authority="nobody" if upgrade_authority is None else str(upgrade_authority),
        )
    require_bounds(parameters)
    places = _places(roles)
    _check_roles(deployment, places)
    opens = {
        "Config": CONFIG_SIZE,
        "Escrow": ESCROW_SIZE,
        "Payouts": PAYOUTS_SIZE,
        "the till vault": TOKEN_ACCOUNT_SIZE,
        "the bond vault": TOKEN_ACCOUNT_SIZE,
    }
    return Proposal(
        name="initialize",
        title="Set the program up",
        lines=(
            Line(label="mint", text=str(deployment.mint)),
            Line(label="till vault", text=str(deployment.till_vault)),
            Line(label="bond vault", text=str(deployment.bond_vault)),
            *(Line(label=place, text=named(key)) for place, key in places.items()),
            *(
                Line(label=label(one), text=written(one, value_of(parameters, one)))
                for one in BOUNDS
            ),
        ),
        instructions=(
            program.initialize(
                deployment,
                upgrade_authority=wallet,
                funder=payer,
                roles=roles,
                parameters=parameters,
            ),
        ),
        payer=payer,
        irreversible="It is done once: the mint and the vaults can never be changed.",
        opens=tuple(Opened(what=what, size_bytes=size) for what, size in opens.items()),
        facts={
            "till_vault": str(deployment.till_vault),
            "bond_vault": str(deployment.bond_vault),
            "roles": {place: None if key == VACANT else str(key) for place, key in places.items()},
        },
    )


def config_to_be(deployment: Deployment, roles: InitialRoles, parameters: Parameters) -> Config:
    """Config as `initialize` will write it."""

    def bump(seed: bytes) -> int:
        return Pubkey.find_program_address([seed], deployment.program_id)[1]

    return Config(
        ops_wallet=deployment.till_authority,
        config_bump=bump(b"config"),
        payouts_bump=bump(b"payouts"),
        till_bump=bump(b"till"),
        escrow_bump=bump(b"escrow"),
        mint=deployment.mint,
        till_vault=deployment.till_vault,
        bond_vault=deployment.bond_vault,
        escrow=deployment.escrow,
        payouts=deployment.payouts,
        admin=roles.admin,
        pending_admin=VACANT,
        pending_admin_ready_at=0,
        pending_admin_expires_at=0,
        proposer=roles.proposer,
        arbiter=roles.arbiter,
        guardian=roles.guardian,
        payer=roles.payer,
        pending_role=0,
        pending_role_key=VACANT,
        pending_role_ready_at=0,
        parameters=parameters,
        pending_parameters=_NOTHING_WAITS,
        pending_parameters_ready_at=0,
        pauses=PauseRecords(deposits=_NEVER, payouts=_NEVER, seizures=_NEVER, releases=_NEVER),
    )


def _places(roles: InitialRoles) -> dict[str, Pubkey]:
    return {
        "admin": roles.admin,
        "proposer": roles.proposer,
        "arbiter": roles.arbiter,
        "guardian": roles.guardian,
        "payer": roles.payer,
    }


def _check_roles(deployment: Deployment, places: dict[str, Pubkey]) -> None:
    ours = (deployment.till_authority, deployment.escrow)
    seen: dict[Pubkey, str] = {}
    for place, key in places.items():
        if key in ours or (place == "admin" and key == VACANT):
            raise NoPlaceForIt(address=str(key), place=place)
        if key != VACANT and key in seen:
            raise HeldTwice(address=str(key), places=f"{seen[key]}, {place}")
        seen[key] = place
