"""`pod admin handover`: the admin's place goes to somebody else in two steps, days apart."""

import typer

from cli.admin.plans import handover as plans
from cli.admin.road import follow
from cli.transaction.options import Address
from cli.transaction.request import Request, takes_request

handover = typer.Typer(no_args_is_help=True, help="Hand the admin's place over.")


@handover.command()
@takes_request
def nominate(request: Request, nominee: Address) -> None:
    """Name the next admin, who accepts between 48 hours and 14 days from now."""
    follow(request, lambda overview, wallet: plans.nominate(overview, wallet, nominee))


@handover.command()
@takes_request
def accept(request: Request) -> None:
    """Become admin; the nominee."""
    follow(request, plans.accept)


@handover.command()
@takes_request
def cancel(request: Request) -> None:
    """Take the nomination back; the admin."""
    follow(request, plans.cancel)
