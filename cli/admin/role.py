"""`pod admin role`: who may do what, granted late and taken away at once."""

import typer

from cli.admin.plans import roles
from cli.admin.road import follow
from cli.admin.words import RoleArgument
from cli.transaction.options import Address
from cli.transaction.request import Request, takes_request

role = typer.Typer(no_args_is_help=True, help="Grant and revoke roles.")


@role.command()
@takes_request
def grant(request: Request, role: RoleArgument, holder: Address) -> None:
    """Promise a role: it can be taken up after 48 hours, the arbiter's after 21 days."""
    follow(request, lambda overview, wallet: roles.grant(overview, wallet, role.role, holder))


@role.command()
@takes_request
def apply(request: Request) -> None:
    """Take up the promised role once its time has come; anybody may."""
    follow(request, roles.apply)


@role.command()
@takes_request
def cancel(request: Request) -> None:
    """Take the promised role back; admin or guardian."""
    follow(request, roles.cancel)


@role.command()
@takes_request
def revoke(request: Request, role: RoleArgument) -> None:
    """Take a role away at once; the admin, or the guardian for payer and proposer."""
    follow(request, lambda overview, wallet: roles.revoke(overview, wallet, role.role))
