"""Options that several commands share, and how a command ends when it cannot go on."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from cli.workspace import ROOT, Running, Workspace

Directory = Annotated[
    Path,
    typer.Option(
        "--directory",
        envvar="POD_DIRECTORY",
        help="Where the system keeps its state, logs and keys.",
        show_default=".pod in the checkout",
    ),
]
LocalnetFile = Annotated[
    Path,
    typer.Option(
        "--localnet",
        envvar="POD_LOCALNET",
        help="Which chain to use, and what it starts with.",
        show_default="localnet.toml in the checkout",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Which cluster, when the database knows several.", show_default="the one"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

DEFAULT_DIRECTORY = ROOT / ".pod"
DEFAULT_LOCALNET = ROOT / "localnet.toml"


def workspace_at(directory: Path) -> Workspace:
    """The workspace at this directory, by its absolute path."""
    return Workspace(directory=directory.absolute())


def give_up(message: str, code: int = 1) -> NoReturn:
    """Say why on stderr and end."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, style="red", markup=False)
    sys.exit(code)


def summary(running: Running) -> str:
    """Where to point a client, in three lines."""
    return "\n".join(
        [
            f"coordinator  {running.coordinator}   (clients; /docs, /health, /metrics)",
            f"rpc          {running.rpc}   ws {running.ws}",
            f"database     {running.database}",
        ]
    )
