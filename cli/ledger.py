"""`pod ledger verify`: are the books still what their history says?

The check reads as the role that may only read, beside the running system. Where it stands is kept
in a file, rewritten every few seconds and when it is stopped, so that the next run goes on; a run
that comes to an answer removes it.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.ledger_archive import archive, verify_archive
from cli.ledger_export import export
from cli.ledger_restored import restored
from cli.ledger_seal import check_proof, proof, seal
from cli.ledger_statement import balance, statement
from cli.ledger_trial import trial_balance
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, give_up, workspace_at
from settlement.db.pool import TRANSIENT, open_pool
from settlement.errors import PodError
from settlement.ledger import verify_read, verify_state
from settlement.ledger.verify import Pass, Step, Verdict
from settlement.ledger.verify import verify as check_books

_SAVE_SECONDS: Final = 3.0
_NO_ANSWER: Final = 2
_STOPPED: Final = 130

ledger = typer.Typer(
    no_args_is_help=True,
    help="The books: what they say, and whether it is what their history says.",
)


@ledger.callback()
def books() -> None:
    """The books: what they say, and whether it is what their history says."""


ledger.command("export")(export)
ledger.command("trial-balance")(trial_balance)
ledger.command("statement")(statement)
ledger.command("balance")(balance)
ledger.command("seal")(seal)
ledger.command("proof")(proof)
ledger.command("check-proof")(check_proof)
ledger.command("restored")(restored)
ledger.command("archive")(archive)
ledger.command("verify-archive")(verify_archive)


@ledger.command()
def verify(
    directory: Directory = DEFAULT_DIRECTORY,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="POD_DATABASE",
            help="Which database, when it is not that of the system running in the directory.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Where a stopped check is kept.", show_default="in the directory"),
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin anew, whatever a stopped check has seen.")
    ] = False,
    from_seal: Annotated[
        int,
        typer.Option(
            min=0, help="Take what this seal has from the seal, and check only what came since."
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Re-derive balances, re-hash the chains, check holds and sums, name the first wrong row.

    Runs beside the live system. Stopped, it goes on from there next time; what was seen by then is
    not looked at again. Days that are archived are not there to be read: then it begins at the
    first seal that has all of them. Exits 0 when the books are right, 1 when something is wrong,
    2 when there was no answer.

    Example: pod ledger verify --json
    """
    workspace = workspace_at(directory)
    running = workspace.running()
    dsn = database or (running.database if running else None)
    if dsn is None:
        give_up("nothing is running; name a database with POD_DATABASE", _NO_ANSWER)
    keeper = _Keeper(state or workspace.directory / "ledger-verify.json")
    try:
        verdict = asyncio.run(_run(dsn, keeper, from_start, from_seal))
    except (PodError, *TRANSIENT) as error:
        give_up(f"the books could not be checked: {error}", _NO_ANSWER)
    except (KeyboardInterrupt, asyncio.CancelledError):
        give_up(f"stopped; {keeper.file} keeps how far it was", _STOPPED)
    print(json.dumps(verdict.as_json(), indent=2) if as_json else _words(verdict))
    sys.exit(0 if verdict.wrong is None else 1)


class _Keeper:
    """Keeps how far the check is in a file, and shows it on a terminal."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.progress: verify_state.Progress | None = None
        self._saved = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed} of {task.fields[of]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._tasks: dict[Pass, TaskID] = {}

    def begin(self, books: str, *, from_start: bool) -> verify_state.Progress:
        """Where to go on. Raises what `verify_state.load` raises."""
        kept = None if from_start or not self.file.exists() else self.file.read_text()
        fresh = verify_state.Progress(books=books)
        self.progress = fresh if kept is None else verify_state.load(kept, books=books)
        self._bar.start()
        return self.progress

    def told(self, step: Step) -> None:
        """Show a step, and save it when the last time was long ago."""
        if step.pass_ not in self._tasks:
            self._tasks[step.pass_] = self._bar.add_task(step.pass_.value, total=None, of="?")
        of = "?" if step.total is None else step.total
        self._bar.update(self._tasks[step.pass_], completed=step.done, total=step.total, of=str(of))
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the state in one step: a reader sees the old text or the new one."""
        if self.progress is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.file.with_name(f"{self.file.name}.new")
            fresh.write_text(verify_state.dump(self.progress))
            fresh.replace(self.file)
        self._saved = time.monotonic()

    def end(self) -> None:
        """The terminal is given back."""
        self._bar.stop()

    def forget(self) -> None:
        """The check came to an answer: the next one begins anew."""
        self.file.unlink(missing_ok=True)


async def _run(dsn: str, keeper: _Keeper, from_start: bool, from_seal: int) -> Verdict:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run has a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    pool = await open_pool(dsn, role="pod_finance", application="ledger-verify", size=2)
    try:
        books = await verify_read.read_books(pool)
        progress = keeper.begin(books, from_start=from_start)
        verdict = await check_books(pool, progress, keeper.told, from_seal=from_seal)
        keeper.forget()
    except (PodError, *TRANSIENT, asyncio.CancelledError):
        keeper.save()  # between two steps; after a crash of ours that would not be sure
        raise
    finally:
        keeper.end()
        await pool.close()
    return verdict


def _words(verdict: Verdict) -> str:
    seen = (
        f"{verdict.batches} batches, {verdict.rows} rows, {verdict.seals} seals,"
        f" {verdict.holds} holds, {verdict.accounts} accounts"
    )
    if verdict.from_seal:
        seen += f", from seal {verdict.from_seal} on"
    wrong = verdict.wrong
    if wrong is None:
        return f"the books are right: {seen}"
    named = (
        ("writer", wrong.writer),
        ("batch", wrong.batch),
        ("row", wrong.ord),
        ("id", wrong.row_id),
        ("account", wrong.account),
        ("seal", wrong.seal),
    )
    place = ", ".join(f"{word} {value}" for word, value in named if value is not None)
    return f"the books are wrong: {wrong.rule}: {wrong.detail}\n  {place}\n  after {seen}"
