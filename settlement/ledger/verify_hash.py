"""The hashes of the books, made a second time without the database's functions. Pure.

What `settlement.leaf_v1`, `batch_root_v2`, `batch_hash_v2` and `first_link_v2` do in SQL is done
here in Python from the same rows. Two implementations have to agree on every byte, so a mistake in
either, or a changed function, shows as a hash that does not fit.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000


def epoch_text(moment: datetime) -> str:
    """Seconds since 1970 with six places, as `extract(epoch from …)` is written."""
    micros = (moment - _EPOCH) // _MICROSECOND
    sign = "-" if micros < 0 else ""
    return f"{sign}{abs(micros) // _SECOND}.{abs(micros) % _SECOND:06d}"


def json_text(value: object) -> str:
    """A value as `to_json` and `jsonb` write it; ids are written as texts."""
    plain = str(value) if isinstance(value, UUID) else value
    return json.dumps(plain, ensure_ascii=False)


def barred(*values: object) -> str:
    """Values parted by bars; what is null is left out, as `concat_ws` does."""
    return "|".join(str(value) for value in values if value is not None)


def leaf(text: str) -> bytes:
    """What one row contributes to its batch's root, and to the tree of the seals."""
    return sha256(b"\x00" + text.encode()).digest()


def batch_root(leaves: Iterable[bytes]) -> bytes:
    """The root of a batch: a tree of one level over its rows."""
    return sha256(b"\x02" + b"".join(leaves)).digest()


def batch_hash(  # one parameter per thing that is hashed
    *,
    writer_id: int,
    epoch: int,
    seq: int,
    n: int,
    rows_before: int,
    created_at: datetime,
    prev_hash: bytes,
    root: bytes,
) -> bytes:
    """The link of a writer's chain that this batch is."""
    moment = epoch_text(created_at)
    header = barred("batch/2", writer_id, epoch, seq, n, rows_before, moment).encode()
    return sha256(header + prev_hash + root).digest()


def first_link(writer_name: str, era: int) -> bytes:
    """What the first batch of a writer follows; in a new era its name begins a new chain."""
    return sha256(f"writer/2|{era}|{writer_name}".encode()).digest()
