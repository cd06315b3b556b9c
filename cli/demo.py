"""`pod demo`: tell the whole story against the running system, or against one of its own."""

import asyncio
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.text import Text

from cli import down
from cli.options import (
    DEFAULT_DIRECTORY,
    DEFAULT_LOCALNET,
    AsJson,
    Directory,
    LocalnetFile,
    give_up,
    workspace_at,
)
from cli.story.api import Api
from cli.story.books import open_books
from cli.story.people import deployment_of, people_of
from cli.story.report import Report, Step, StoryFailed, line_of
from cli.story.stage import Stage
from cli.up import start_in_background, wait_until_healthy
from cli.wallet import ChainFailed, patient_rpc
from cli.workspace import Running, Workspace
from localnet.settings import SettingsError, load_settings
from settlement.errors import PodError


def demo(
    directory: Directory = DEFAULT_DIRECTORY,
    localnet: LocalnetFile = DEFAULT_LOCALNET,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story: register, deposit, bond, ten requests, withdraw, bond back, reconcile.

    Real transactions and real HTTP; about half a minute. Starts a system of its own when none runs.
    """
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    started = time.monotonic()

    def told(step: Step) -> None:
        console.print(Text(f"{time.monotonic() - started:5.1f} s  {line_of(step)}"))

    report = Report(told=told)
    try:
        with _some_system(workspace_at(directory), localnet) as running:
            started = time.monotonic()
            asyncio.run(_tell(running, localnet, report))
    except (StoryFailed, ChainFailed, PodError, SettingsError) as error:
        give_up(f"the demo failed: {error}")
    if as_json:
        print(report.as_json())
    elif report.stopped_because:
        console.print(Text(report.stopped_because))
    sys.stdout.flush()


@contextmanager
def _some_system(workspace: Workspace, localnet: Path) -> Generator[Running]:
    """The running system, or one of our own that is stopped afterwards."""
    if workspace.owner() is not None:
        yield wait_until_healthy(workspace, None)
        return
    running = start_in_background(workspace, localnet)
    try:
        yield running
    finally:
        down.stop(workspace)


async def _tell(running: Running, localnet: Path, report: Report) -> None:
    # The openai SDK takes more than a second to import, and no other command needs it.
    from cli.story.story import tell

    async with (
        aiohttp.ClientSession() as http,
        patient_rpc(running.rpc) as rpc,
        open_books(running.database) as books,
    ):
        stage = Stage(
            running=running,
            settings=load_settings(localnet),
            people=people_of(running),
            deployment=deployment_of(running),
            rpc=rpc,
            coordinator=Api(http, running.coordinator),
            provider=Api(http, running.provider),
            books=books,
            report=report,
        )
        await tell(stage)
