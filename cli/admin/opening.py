"""`pod admin initialize`: set a fresh deployment up, once, by the program's upgrade authority."""

from typing import Annotated

import typer
from solders.pubkey import Pubkey

from cli.admin.overview import upgrade_authority
from cli.admin.params import (
    BondAmount,
    Cooldown,
    Decision,
    Dispute,
    Execution,
    SingleCap,
    WindowCap,
    named,
)
from cli.admin.plans import opening as plans
from cli.admin.plans.parameters import changed_by
from cli.transaction.options import address
from cli.transaction.proposal import NothingToDo, Proposal
from cli.transaction.request import Request, Road, run, takes_request
from cli.transaction.target import Place, Target
from settlement.chain.layouts import VACANT, Parameters
from settlement.chain.program import Deployment, InitialRoles
from settlement.chain.rpc import Commitment, RpcClient
from settlement.errors import NotFound, Refused

opening = typer.Typer()
_PANEL = "Who holds which place"
Admin = Annotated[
    Pubkey,
    typer.Option(metavar="ADDRESS", parser=address, help="The admin.", rich_help_panel=_PANEL),
]
Holder = Annotated[
    Pubkey | None,
    typer.Option(
        metavar="ADDRESS", parser=address, help="Vacant if not given.", rich_help_panel=_PANEL
    ),
]


class MintMissing(Refused):
    """A deployment that is not set up does not say its mint: name it with --mint ADDRESS."""


class NoProgram(NotFound):
    """There is no upgradeable program at this address of this chain."""


@opening.command()
@takes_request
def initialize(
    request: Request,
    admin: Admin,
    proposer: Holder = None,
    arbiter: Holder = None,
    guardian: Holder = None,
    payer: Holder = None,
    bond_amount: BondAmount = None,
    cooldown: Cooldown = None,
    dispute: Dispute = None,
    decision: Decision = None,
    execution: Execution = None,
    single_cap: SingleCap = None,
    window_cap: WindowCap = None,
) -> None:
    """Set the program up: roles, parameters, vaults; the upgrade authority, once."""
    roles = InitialRoles(
        admin=admin,
        proposer=proposer or VACANT,
        arbiter=arbiter or VACANT,
        guardian=guardian or VACANT,
        payer=payer or VACANT,
    )
    changed = named(
        bond_amount_microusdc=bond_amount,
        cooldown_seconds=cooldown,
        dispute_seconds=dispute,
        decision_seconds=decision,
        execution_seconds=execution,
        payout_single_cap_microusdc=single_cap,
        payout_window_cap_microusdc=window_cap,
    )
    parameters = changed_by(Parameters(), changed)

    async def find(rpc: RpcClient, place: Place) -> Target:
        if place.mint is None:
            raise MintMissing()
        deployment = Deployment(place.program_id, place.mint)
        config = plans.config_to_be(deployment, roles, parameters)
        return Target(rpc=rpc, deployment=deployment, config=config, coordinator=None)

    async def prepare(road: Road) -> Proposal | NothingToDo:
        deployment = road.target.deployment
        asked = (deployment.program_data, deployment.config)
        data, config = await road.target.rpc.accounts(asked, commitment=Commitment.CONFIRMED)
        if config.account is not None and config.account.owner == deployment.program_id:
            why = f"the program is set up: {deployment.config}"
            return NothingToDo(name="initialize", why=why)
        if data.account is None:
            raise NoProgram(program=str(deployment.program_id))
        return plans.initialize(
            deployment,
            upgrade_authority=upgrade_authority(data),
            wallet=road.wallet,
            payer=road.payer,
            roles=roles,
            parameters=parameters,
        )

    run(request, prepare, find)
