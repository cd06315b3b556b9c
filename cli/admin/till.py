"""The till's own words of `pod admin`: approve-pay, skip, sweep, recover."""

from typing import Annotated, Final

import typer
from solders.pubkey import Pubkey

from cli.admin.plans import till as plans
from cli.admin.road import account_at, follow, overview_of, paid_by
from cli.admin.words import usdc
from cli.transaction.options import address
from cli.transaction.proposal import NothingToDo, Proposal
from cli.transaction.request import Request, Road, fail, run, takes_request
from settlement.chain.tokens import NotATokenAccount, token_account
from settlement.errors import PodError, Refused
from settlement.money import MicroUsdc

till = typer.Typer()
_LARGEST_NUMBER: Final = 2**64 - 1

Number = Annotated[
    int, typer.Argument(min=0, max=_LARGEST_NUMBER, help="The payout's number in the books.")
]
Numbers = Annotated[
    list[int],
    typer.Argument(min=0, max=_LARGEST_NUMBER, metavar="NUMBER…", help="Up to 64 close numbers."),
]
Amount = Annotated[MicroUsdc, typer.Argument(metavar="USDC", parser=usdc, help="Exactly this.")]
TokenAccount = Annotated[
    Pubkey,
    typer.Argument(metavar="ADDRESS", parser=address, help="The token account that is paid."),
]
Reference = Annotated[
    str, typer.Argument(metavar="HEX", help="The payment's reference, 32 hexadecimal digits.")
]
StrayAccount = Annotated[
    Pubkey,
    typer.Argument(metavar="ADDRESS", parser=address, help="The token account that holds them."),
]
Destination = Annotated[
    Pubkey | None,
    typer.Option(
        "--to",
        metavar="ADDRESS",
        parser=address,
        help="A token account of the same mint; USDC goes to the till vault.",
    ),
]


class DestinationMissing(Refused):
    """Tokens of another mint go to a token account that --to names."""


@till.command("approve-pay")
@takes_request
def approve_pay(
    request: Request,
    number: Number,
    amount: Amount,
    destination: TokenAccount,
    reference: Reference,
) -> None:
    """Allow one payment above the caps, for 24 hours; the admin."""
    try:
        approval = plans.Approval(
            sequence=number,
            amount_microusdc=amount,
            destination=destination,
            reference=plans.parse_reference(reference),
        )
    except PodError as error:
        fail(error, as_json=request.manner.as_json)
    follow(request, lambda overview, wallet: plans.approve(overview, wallet, approval))


@till.command()
@takes_request
def skip(request: Request, numbers: Numbers) -> None:
    """Burn payout numbers that are not paid; payer or admin."""
    chosen = frozenset(numbers)
    follow(request, lambda overview, wallet: plans.skip(overview, wallet, chosen))


@till.command()
@takes_request
def sweep(request: Request) -> None:
    """Move what the bond vault holds above the bonds into the till; anybody may."""
    follow(request, plans.sweep)


@till.command()
@takes_request
def recover(request: Request, stray: StrayAccount, to: Destination = None) -> None:
    """Move tokens that were sent to an account of ours by mistake; the admin."""

    async def prepare(road: Road) -> Proposal | NothingToDo:
        overview = await overview_of(road)
        found = await account_at(road.target.rpc, stray)
        if found is None:
            raise NotATokenAccount(address=str(stray))
        account = token_account(found)
        usual = overview.deployment.till_vault if account.mint == overview.config.mint else None
        destination = to or usual
        if destination is None:
            raise DestinationMissing(mint=str(account.mint))
        lost = plans.Stray(address=stray, account=account, destination=destination)
        return paid_by(road, plans.recover(overview, road.wallet, lost))

    run(request, prepare)
