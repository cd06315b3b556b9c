"""Which request a client's attempt is: the same attempt sent again is the same request.

A client that does not hear an answer sends its request once more. What makes two attempts the same
(who asks, and a fingerprint of what is asked) is for the caller to say; the first id given to it
stands for ever, so that the books, which settle an id once, settle the attempt once.
"""

from typing import Final
from uuid import UUID

from settlement.db import sql
from settlement.db.pool import Tx
from settlement.errors import Refused

_QUERIES: Final = sql.load("settlement.ledger", "names.sql")
FINGERPRINT_BYTES: Final = 32


class InvalidFingerprint(Refused):
    """A fingerprint is a SHA-256 digest: 32 bytes."""


async def name_request(tx: Tx, *, user_id: UUID, fingerprint: bytes, fresh: UUID) -> UUID:
    """The id of this attempt: `fresh` (a version-7 UUID) the first time, the same one ever after.

    Two at once are told the same id: the later waits for the earlier to commit. Raises
    `InvalidFingerprint`.
    """
    if len(fingerprint) != FINGERPRINT_BYTES:
        raise InvalidFingerprint(field="fingerprint", got_bytes=len(fingerprint))
    named: UUID | None = await tx.fetchval(_QUERIES["name_request"], user_id, fingerprint, fresh)
    if named is None:
        named = await tx.fetchval(_QUERIES["request_named"], user_id, fingerprint)
    assert named is not None, "it was named, by us or before us"
    return named
