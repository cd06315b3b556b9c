"""Where an account stood, from the newest snapshot before and the few entries since.

Every seal keeps where the accounts stood that had moved, so a sum over all of an account's history
is never needed: what is read is what it did between two seals.
"""

from typing import Final

from settlement.db import sql
from settlement.db.pool import ReadConn
from settlement.errors import NotFound

_QUERIES: Final = sql.load("settlement.ledger", "snapshots.sql")


class EntriesGone(NotFound):
    """Some of the entries that lead there are not at hand: they are archived, or yet to come."""


async def standing_at_entry(conn: ReadConn, account_id: int, entry: int) -> tuple[int, int]:
    """Debits and credits of an account after its entry of this number; (0, 0) before the first.

    Raises `EntriesGone` for an entry between two seals whose day is archived, and for one that is
    not there yet.
    """
    found = await conn.fetchrow(_QUERIES["around"], account_id, entry)
    assert found is not None, "no snapshot is one row too"
    dr: int = found["dr"]
    cr: int = found["cr"]
    after: int = found["entry"]
    if after == entry:
        return dr, cr
    since = await conn.fetchrow(_QUERIES["since"], account_id, after, entry)
    assert since is not None, "a sum is one row"
    seen = after + since["n"]
    dr, cr = dr + since["dr"], cr + since["cr"]
    if found["is_treasury"]:
        earned = await conn.fetchrow(
            _QUERIES["treasury_since"],
            account_id,
            after,
            entry,
            found["seal_no"],
            found["next_seal"],
        )
        assert earned is not None, "a sum is one row"
        seen, cr = seen + earned["n"], cr + earned["cr"]
    if seen != entry:
        raise EntriesGone(account=account_id, entry=entry, missing=entry - seen)
    return dr, cr
