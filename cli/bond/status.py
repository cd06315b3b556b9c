"""`pod bond status`: what the chain holds of a code, and what may happen to it from now on."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from solders.pubkey import Pubkey

from cli.bond import standing
from cli.bond.facts import Facts, NoSuchBond, all_of, locate, read_facts
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, workspace_at
from cli.transaction import options
from cli.transaction.codes import told_code
from cli.transaction.request import fail, open_target
from cli.transaction.target import Place, place_of
from settlement.errors import PodError


def status(
    code: Annotated[str, typer.Argument(metavar="CODE", help="POD-BOND-XXXXXXXX, or the last 8.")],
    beneficiary: Annotated[
        Pubkey | None,
        typer.Option(
            "--beneficiary",
            metavar="ADDRESS",
            parser=options.address,
            help="Only this one's, where several people bonded the code.",
        ),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    rpc: options.RpcUrl = None,
    program: options.ProgramId = None,
    mint: options.Mint = None,
    as_json: AsJson = False,
) -> None:
    """Show every bond of a code: state, times, seizure, and what may be done now and when.

    Reads the chain only; needs no key. Exits 1 where no bond was ever posted.
    """
    wanted = options.typed_bond_code(code)
    try:
        place = place_of(workspace_at(directory), rpc=rpc, program_id=program, mint=mint)
        found = asyncio.run(_read(place, wanted, beneficiary))
    except PodError as error:
        fail(error, as_json=as_json)
    if as_json:
        bonds = [standing.as_json(facts, facts.bond) for facts in found if facts.bond is not None]
        print(json.dumps({"code": told_code(wanted), "bonds": bonds}, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for at, facts in enumerate(found):
        if at:
            console.print()
        _show(console, facts)


async def _read(place: Place, code: bytes, beneficiary: Pubkey | None) -> list[Facts]:
    async with open_target(place) as target:
        if beneficiary is not None:
            found = [await locate(target, code, beneficiary, None)]
        else:
            found = list(await all_of(target, code))
        if not found:
            raise NoSuchBond(code=told_code(code))
        return [await read_facts(target, code, one.address, one.bond.beneficiary) for one in found]


def _show(console: Console, facts: Facts) -> None:
    if facts.bond is None:  # it was there a moment ago: nothing to tell of it
        return
    for label, text in standing.lines(facts, facts.bond):
        console.print(Text(f"{label:<18} {text}"))
    told = standing.steps(facts)
    if not told:
        return
    console.print(Text("what may happen", style="bold"))
    for step in told:
        style = "green" if step.is_open(facts.now) else ""
        who = f"{step.verb:<10} {step.who:<24} "
        console.print(Text(f"  {who}") + Text(step.when(facts.now), style=style))
