"""`pod index backfill`: read the chain up to now, and end.

Takes the settings of the indexer from the environment where DATABASE_URL is set, else those of the
system running in the directory, whose indexer has to be stopped. Exit codes: 0 everything is in the
books; 1 something waits, or no answer; 130 stopped, and it goes on from there next time.
"""

import asyncio
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from solders.keypair import Keypair

from cli.ledger_reading import NothingRuns, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, give_up, workspace_at
from cli.workspace import Running
from indexer import config
from indexer.backfill import Left
from indexer.backfill import backfill as catch_up
from indexer.follow import Round
from settlement.observability import configure_logging
from settlement.settings import SettingsReader

_STOPPED: Final = 130


def backfill(directory: Directory = DEFAULT_DIRECTORY, as_json: AsJson = False) -> None:
    """Book everything that is finalized now. Stop it whenever you like: it goes on from there.

    Example: pod index backfill
    """
    configure_logging("backfill", "WARNING")
    with told_plainly(as_json=as_json):
        settings = config.read(_reader(directory))
        try:
            with _shown() as bar:
                now = asyncio.run(catch_up(settings, bar.left))
        except (KeyboardInterrupt, asyncio.CancelledError):
            give_up("stopped: what is booked stays, and the next run goes on from there", _STOPPED)
    waiting = now.standing.wanted + now.standing.unreadable
    print(json.dumps(_as_json(now), indent=2) if as_json else _words(now))
    sys.exit(1 if waiting else 0)


def _reader(directory: Path) -> SettingsReader:
    """Raises `NothingRuns`, `SettingInvalid`."""
    if "DATABASE_URL" in os.environ:
        return SettingsReader.from_process()
    running = workspace_at(directory).running()
    if running is None:
        raise NothingRuns(directory=directory)
    return SettingsReader({**os.environ, **_settings_of(running)}, {})


def _settings_of(running: Running) -> dict[str, str]:
    payer = Keypair.from_json((Path(running.keys) / "payer.json").read_text())
    return {
        "DATABASE_URL": running.database,
        "POD_RPC_URLS": running.rpc,
        "POD_CLUSTER": running.cluster,
        "POD_PROGRAM_ID": running.program_id,
        "POD_USDC_MINT": running.usdc_mint,
        "POD_PAYER_ADDRESS": str(payer.pubkey()),
    }


class _Bar:
    """Signatures booked of those discovered so far, and the slot that is reached."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("signatures", total=None, slot="")
        self._booked = self._last = 0

    def left(self, now: Left) -> None:
        """What is left grows while the chain is listed, and then falls."""
        self._booked += max(0, self._last - now.signatures)
        self._last = now.signatures
        self._progress.update(
            self._task,
            completed=self._booked,
            total=self._booked + now.signatures,
            slot="" if now.slot is None else f"at slot {now.slot}",
        )


@contextmanager
def _shown() -> Generator[_Bar]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[slot]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with progress:
        yield _Bar(progress)


def _as_json(now: Round) -> dict[str, object]:
    return {
        "slot": now.slot,
        "frontier": now.frontier,
        "wanted": now.standing.wanted,
        "unreadable": now.standing.unreadable,
        "incidents": now.standing.incidents,
    }


def _words(now: Round) -> str:
    told = f"read up to slot {now.slot}; everything at or below {now.frontier} is proven"
    waiting = now.standing.wanted + now.standing.unreadable
    if waiting:
        told += f"\n{waiting} transactions wait: `pod index status` says what for"
    return told
