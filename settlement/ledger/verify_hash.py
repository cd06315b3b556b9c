"""The hashes of the books, made a second time without the database's functions. Pure.

What `settlement.leaf_v1`, `batch_leaves_v1`, `merkle_root_v1` and `batch_hash_v1` do in SQL is done
here in Python from the same rows. Two implementations have to agree on every byte, so a mistake in
either, or a changed function, shows as a hash that does not fit.
"""

import json
from collections.abc import Sequence
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
    """What one row contributes to its batch's root."""
    return sha256(b"\x00" + text.encode()).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962's root of at least one leaf: split at the largest power of two below the count."""
    assert leaves, "a batch has a row"
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + merkle_root(leaves[:split]) + merkle_root(leaves[split:])).digest()


def batch_hash(  # one parameter per thing that is hashed
    *, writer_id: int, epoch: int, seq: int, n: int, prev_hash: bytes, root: bytes
) -> bytes:
    """The link of a writer's chain that this batch is."""
    header = barred("batch/1", writer_id, epoch, seq, n).encode()
    return sha256(header + prev_hash + root).digest()


def first_link(writer_name: str) -> bytes:
    """What the first batch of a writer follows."""
    return sha256(f"writer/1|{writer_name}".encode()).digest()
