"""`pod reconcile`: what the books say each vault holds, against the chain, at one slot."""

import asyncio
import sys

from rich.console import Console
from rich.table import Table

from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, give_up, workspace_at
from cli.story.report import Reconciled
from cli.workspace import Running
from settlement.errors import PodError


def reconcile(directory: Directory = DEFAULT_DIRECTORY, as_json: AsJson = False) -> None:
    """Compare books and chain; exits 1 when they differ."""


async def reconcile_now(running: Running) -> Reconciled:
    """One pass, now."""
    raise NotImplementedError
