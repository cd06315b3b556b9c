"""`pod admin show`: roles, parameters, pauses, vaults and payouts of a deployment, as they are."""

import asyncio
import json

import typer
from rich.console import Console
from rich.table import Table

from cli.admin.facts import as_json as facts
from cli.admin.overview import Overview, read_overview
from cli.admin.tables import sections
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, workspace_at
from cli.transaction.options import Mint, ProgramId, RpcUrl
from cli.transaction.request import fail, open_target
from cli.transaction.target import Place, place_of
from settlement.errors import PodError

showing = typer.Typer()
_WIDEST = 400


@showing.command()
def show(
    directory: Directory = DEFAULT_DIRECTORY,
    rpc: RpcUrl = None,
    program: ProgramId = None,
    mint: Mint = None,
    as_json: AsJson = False,
) -> None:
    """Show everything the owners govern, and what waits; needs no key."""
    try:
        place = place_of(workspace_at(directory), rpc=rpc, program_id=program, mint=mint)
        overview = asyncio.run(_read(place))
    except PodError as error:
        fail(error, as_json=as_json)
    if as_json:
        print(json.dumps(facts(overview), indent=2))
        return
    # An address is never shortened: a line longer than the screen goes on in the next.
    console = Console(width=_WIDEST, soft_wrap=True, highlight=False)
    for section in sections(overview):
        table = Table(
            box=None,
            pad_edge=False,
            title=section.title,
            title_justify="left",
            show_header=any(section.headings),
        )
        for heading in section.headings:
            table.add_column(heading, no_wrap=True)
        for row in section.rows:
            table.add_row(*row)
        with console.capture() as captured:
            console.print(table)
        told = captured.get().splitlines()
        print("\n".join(line.rstrip() for line in told), end="\n\n")


async def _read(place: Place) -> Overview:
    async with open_target(place) as target:
        return await read_overview(target.rpc, target.deployment)
