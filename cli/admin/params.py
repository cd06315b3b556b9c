"""`pod admin params`: what is tighter holds at once, what is looser waits seven days."""

from typing import Annotated

import typer

from cli.admin.plans import parameters
from cli.admin.road import follow
from cli.admin.words import cap, time_length, usdc
from cli.transaction.request import Request, takes_request
from settlement.money import MicroUsdc

params = typer.Typer(no_args_is_help=True, help="Change the parameters.")

_PANEL = "What changes"
BondAmount = Annotated[
    MicroUsdc | None,
    typer.Option(
        parser=usdc, metavar="USDC", help="Of a new bond, 1 to 10000.", rich_help_panel=_PANEL
    ),
]
Cooldown = Annotated[
    int | None,
    typer.Option(
        parser=time_length,
        metavar="TIME",
        help="From retiring to release, 7d to 90d.",
        rich_help_panel=_PANEL,
    ),
]
Dispute = Annotated[
    int | None,
    typer.Option(
        parser=time_length,
        metavar="TIME",
        help="To contest a seizure, 3d to 14d.",
        rich_help_panel=_PANEL,
    ),
]
Decision = Annotated[
    int | None,
    typer.Option(
        parser=time_length,
        metavar="TIME",
        help="To decide a contested one, 7d to 21d.",
        rich_help_panel=_PANEL,
    ),
]
Execution = Annotated[
    int | None,
    typer.Option(
        parser=time_length,
        metavar="TIME",
        help="To execute a seizure, 7d to 21d.",
        rich_help_panel=_PANEL,
    ),
]
SingleCap = Annotated[
    MicroUsdc | None,
    typer.Option(
        parser=cap,
        metavar="USDC",
        help="Most of one payment; 0, or none for no cap.",
        rich_help_panel=_PANEL,
    ),
]
WindowCap = Annotated[
    MicroUsdc | None,
    typer.Option(
        parser=cap,
        metavar="USDC",
        help="Most in a window of 24 hours; 0, or none for no cap.",
        rich_help_panel=_PANEL,
    ),
]


def named(**values: int | None) -> dict[str, int]:
    """The parameters that were named, in their own units."""
    return {name: value for name, value in values.items() if value is not None}


@params.command("set")
@takes_request
def set_(
    request: Request,
    bond_amount: BondAmount = None,
    cooldown: Cooldown = None,
    dispute: Dispute = None,
    decision: Decision = None,
    execution: Execution = None,
    single_cap: SingleCap = None,
    window_cap: WindowCap = None,
) -> None:
    """Change what is named and nothing else; the admin."""
    changed = named(
        bond_amount_microusdc=bond_amount,
        cooldown_seconds=cooldown,
        dispute_seconds=dispute,
        decision_seconds=decision,
        execution_seconds=execution,
        payout_single_cap_microusdc=single_cap,
        payout_window_cap_microusdc=window_cap,
    )
    if not changed:
        raise typer.BadParameter("name at least one parameter, for instance --cooldown 30d")
    follow(request, lambda overview, wallet: parameters.set_(overview, wallet, changed))


@params.command()
@takes_request
def apply(request: Request) -> None:
    """What waits comes into force once its time has come; anybody may."""
    follow(request, parameters.apply)


@params.command()
@takes_request
def cancel(request: Request) -> None:
    """Drop what waits; admin or guardian."""
    follow(request, parameters.cancel)
