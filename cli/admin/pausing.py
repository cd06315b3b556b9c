"""`pod admin pause` and `pod admin unpause`: one thing stops for 72 hours, or works again."""

import typer

from cli.admin.plans import pauses
from cli.admin.road import follow
from cli.admin.words import PauseArgument
from cli.transaction.request import Request, takes_request

pausing = typer.Typer()


@pausing.command()
@takes_request
def pause(request: Request, what: PauseArgument) -> None:
    """Stop one thing for 72 hours; guardian or admin."""
    follow(request, lambda overview, wallet: pauses.pause(overview, wallet, what.bit))


@pausing.command()
@takes_request
def unpause(request: Request, what: PauseArgument) -> None:
    """End a pause early; the admin."""
    follow(request, lambda overview, wallet: pauses.unpause(overview, wallet, what.bit))
