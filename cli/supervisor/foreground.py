"""Runs a system in this process and this terminal until it is told to stop."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from cli.supervisor.child import CannotStart
from cli.supervisor.screen import screen_for
from cli.supervisor.system import Configuration, run_system
from cli.workspace import Running, Workspace
from localnet.settings import SettingsError, load_settings
from settlement.settings import SettingInvalid, SettingsReader

_COORDINATOR = "127.0.0.1:8402"


def run(
    workspace: Workspace, localnet: Path, told: Callable[[Running, Callable[[str], None]], None]
) -> None:
    """Run; the caller owns the workspace. Calls `told` once all is well, with a way to say more.

    Raises `CannotStart`.
    """
    workspace.withdraw()  # a killed supervisor may have left one behind
    screen = screen_for(Console(stderr=True))
    try:
        configuration = _configuration(workspace, localnet)
        asyncio.run(
            run_system(
                configuration, screen, os.getpid(), lambda running: told(running, screen.say)
            )
        )
    except (SettingsError, SettingInvalid) as error:
        raise CannotStart(str(error)) from error
    finally:
        screen.close()


def _configuration(workspace: Workspace, localnet: Path) -> Configuration:
    reader = SettingsReader.from_process()
    return Configuration(
        workspace=workspace,
        localnet_file=localnet,
        localnet=load_settings(localnet),
        cluster=reader.text("POD_CLUSTER", "localnet"),
        listen=reader.address("POD_COORDINATOR_LISTEN", _COORDINATOR),
        database_url=reader.optional("DATABASE_URL"),
    )
