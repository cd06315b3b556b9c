"""From a word of `pod admin` to the shared road: read everything, plan, hand the plan over."""

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from solders.pubkey import Pubkey

from cli.admin.overview import Overview, read_overview
from cli.admin.plans.seizures import BondAt, bond_at
from cli.admin.words import BondWord
from cli.bond.facts import locate
from cli.transaction.proposal import NothingToDo, Proposal
from cli.transaction.request import Request, Road, run
from settlement.chain.answers import Account, Commitment
from settlement.chain.layouts import decode_account
from settlement.chain.rpc import RpcClient

Planner = Callable[[Overview, Pubkey], Proposal | NothingToDo]
BondPlanner = Callable[[Overview, Pubkey, BondAt], Proposal]


def follow(request: Request, planner: Planner) -> NoReturn:
    """Plan with what the chain says now, and carry it out."""

    async def prepare(road: Road) -> Proposal | NothingToDo:
        overview = await overview_of(road)
        return paid_by(road, planner(overview, road.wallet))

    run(request, prepare)


def follow_bond(
    request: Request, bond: BondWord, beneficiary: Pubkey | None, planner: BondPlanner
) -> NoReturn:
    """The same about one bond, named by its address or by its code."""

    async def prepare(road: Road) -> Proposal | NothingToDo:
        address = await _address_of(road, bond, beneficiary)
        overview = await overview_of(road)
        account = await account_at(road.target.rpc, address)
        ours = account is not None and account.owner == overview.deployment.program_id
        found = decode_account(account.data) if account is not None and ours else None
        return paid_by(road, planner(overview, road.wallet, bond_at(overview, address, found)))

    run(request, prepare)


async def _address_of(road: Road, bond: BondWord, beneficiary: Pubkey | None) -> Pubkey:
    if bond.code is not None:
        return (await locate(road.target, bond.code, beneficiary, None)).address
    assert bond.address is not None, "a bond is named by one of the two"
    return bond.address


async def overview_of(road: Road) -> Overview:
    """Everything governed, of the deployment on this road."""
    return await read_overview(road.target.rpc, road.target.deployment)


async def account_at(rpc: RpcClient, address: Pubkey) -> Account | None:
    """What stands at an address, confirmed."""
    return (await rpc.account(address, commitment=Commitment.CONFIRMED)).account


def paid_by(road: Road, planned: Proposal | NothingToDo) -> Proposal | NothingToDo:
    """The plan, its fee paid by whom the options say."""
    if isinstance(planned, NothingToDo):
        return planned
    return replace(planned, payer=road.payer)
