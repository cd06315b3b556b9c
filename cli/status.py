"""`pod status`: what runs, where it listens, and what each role says about itself."""

import asyncio
import sys

import aiohttp
from rich.console import Console
from rich.table import Table

from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, workspace_at
from cli.supervisor.child import Finding
from cli.supervisor.probe import Probe, chain_at, database_at, health_of
from cli.workspace import Running


def status(directory: Directory = DEFAULT_DIRECTORY, as_json: AsJson = False) -> None:
    """Show the running system; exits 1 when none runs or a role is not well."""
    running = workspace_at(directory).running()
    if running is None:
        print("nothing is running", file=sys.stderr)
        sys.exit(1)
    if as_json:
        print(running.as_json(), end="")
        return
    findings = asyncio.run(_look(running))
    table = Table(box=None, pad_edge=False)
    for heading in ("role", "pid", "", "address", "says"):
        table.add_column(heading, no_wrap=True)
    for name, role in running.roles.items():
        found = findings[name]
        table.add_row(
            name,
            str(role.pid or "-"),
            "well" if found.well else "not well",
            (role.url or "-").split("?")[0],
            found.line,
        )
    Console(soft_wrap=True).print(table)
    sys.exit(0 if all(found.well for found in findings.values()) else 1)


async def _look(running: Running) -> dict[str, Finding]:
    async with aiohttp.ClientSession() as http:
        probes: dict[str, Probe] = {
            name: health_of(http, f"{role.url}/health") for name, role in running.roles.items()
        }
        if "postgres" in probes:
            probes["postgres"] = database_at(running.database)
        if "localnet" in probes:
            probes["localnet"] = chain_at(http, running.rpc)
        found = await asyncio.gather(*(probe() for probe in probes.values()))
    return dict(zip(probes, found, strict=True))
