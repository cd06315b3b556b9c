"""`pod ledger restored`: the books came back from a backup, so new chains begin.

Exit codes: 0 done; 1 refused, or no answer; 2 typed wrongly.
"""

import asyncio
import json
from typing import Annotated

import typer

from cli.ledger_reading import Database, database_of, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.db.pool import open_pool
from settlement.ledger.store import begin_era


def restored(
    actor: Annotated[str, typer.Option(metavar="NAME", help="Who restored the books.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="From which backup, and why.")],
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Say that the books were restored from a backup, before any service is started on them.

    Every writer is fenced, and its next life begins a new chain: what was booked before the restore
    and is not in the backup can then never be taken for what is booked after it.

    Example: pod ledger restored --actor ann --reason "disk lost; backup of 02:00"
    """
    with told_plainly(as_json=as_json):
        era = asyncio.run(_begun(database_of(directory, database), actor, reason))
    print(json.dumps({"era": era}) if as_json else f"era {era} has begun; all writers are fenced")


async def _begun(dsn: str, actor: str, reason: str) -> int:
    pool = await open_pool(dsn, role="pod_settlement", application="pod", size=1)
    try:
        return await begin_era(pool, actor=actor, reason=reason)
    finally:
        await pool.close()
