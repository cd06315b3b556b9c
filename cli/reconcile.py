"""`pod reconcile`: what the books say each vault holds, against the chain, at one slot."""

import asyncio
import json
import sys
import time

from rich.console import Console
from rich.table import Table
from solders.pubkey import Pubkey

from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, give_up, workspace_at
from cli.wallet import patient_rpc
from cli.workspace import Running
from settlement.chain.program import Deployment
from settlement.clock import SystemClock
from settlement.db.pool import TRANSIENT, open_pool
from settlement.errors import PodError, Unavailable
from settlement.money import format_usdc
from settlement.reconcile.compare import Reconciliation, Verdict, compare

_PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.5


def reconcile(directory: Directory = DEFAULT_DIRECTORY, as_json: AsJson = False) -> None:
    """Compare books and chain at a slot; exits 1 when they differ or cannot be compared."""
    running = workspace_at(directory).running()
    if running is None:
        give_up("nothing is running")
    try:
        found = asyncio.run(reconcile_now(running))
    except PodError as error:
        give_up(f"books and chain could not be compared: {error}")
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        Console(soft_wrap=True).print(_table(found))
    sys.exit(0 if found.verdict is Verdict.EQUAL else 1)


async def reconcile_now(running: Running) -> Reconciliation:
    """One comparison; processes that are being restarted are waited for.

    Raises `PodError` when it was not possible within minutes.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await _once(running)
        except (Unavailable, *TRANSIENT):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def _once(running: Running) -> Reconciliation:
    pool = await open_pool(running.database, role="pod_finance", application="reconcile", size=2)
    try:
        async with patient_rpc(running.rpc) as rpc:
            return await compare(
                pool,
                rpc,
                cluster=running.cluster,
                deployment=Deployment(
                    Pubkey.from_string(running.program_id), Pubkey.from_string(running.usdc_mint)
                ),
                clock=SystemClock(),
            )
    finally:
        await pool.close()


def _table(found: Reconciliation) -> Table:
    table = Table(box=None, pad_edge=False, title=f"slot {found.slot}", title_justify="left")
    for heading in ("vault", "books", "chain", "difference"):
        table.add_column(heading, justify="left" if heading == "vault" else "right")
    for line in found.lines:
        amounts = (line.books_microusdc, line.chain_microusdc, line.difference_microusdc)
        table.add_row(line.vault.value, *(format_usdc(amount) for amount in amounts))
    return table
