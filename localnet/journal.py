"""An append-only file of checksummed records: what is in it happened.

A record is written at once (so it outlives the process) and `sync` waits for the disk (so it
outlives the machine); one `fsync` serves everybody waiting. On opening, a torn last record, which
is what a crash leaves, is cut off; damage anywhere else is refused, because what follows it was
answered and must not be lost quietly.
"""

import asyncio
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("<4sII")  # magic · payload length · checksum of the payload
_CHECK: Final = struct.Struct("<I")  # checksum of the header
_MAGIC: Final = b"PLJ1"
PREFIX_BYTES: Final = _HEADER.size + _CHECK.size


class JournalDamaged(Exception):
    """The journal is damaged before its end: restore it from a copy or start an empty chain."""


class Journal:
    """One open journal. All methods but `sync` are immediate; use from one event loop."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; call `records` once before the first `append`."""
        self.path = path
        is_new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if is_new:
            sync_directory(path.parent)
        self._end = os.fstat(self._fd).st_size
        self._synced = self._end
        self._sync_running: asyncio.Future[None] | None = None
        self._failure: OSError | None = None
        self.sync_observed: Callable[[float], None] = lambda _seconds: None

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self._end

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Every record with its offset; cuts off a torn end, raises `JournalDamaged`."""
        offset = 0
        while offset < self._end:
            payload = self._payload_at(offset)
            if payload is None:
                self._cut(offset)
                return
            yield offset, payload
            offset += PREFIX_BYTES + len(payload)

    def append(self, payload: bytes) -> int:
        """Write one record and return its offset. It is not on the disk before `sync` returns.

        Raises `OSError`, and from then on always: what follows a half-written record is lost.
        """
        offset = self._end
        header = _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload))
        record = header + _CHECK.pack(zlib.crc32(header)) + payload
        if self._failure is not None:
            raise self._failure
        try:
            written = os.write(self._fd, record)
            while written < len(record):
                written += os.write(self._fd, record[written:])
        except OSError as error:
            self._failure = error
            raise
        self._end += len(record)
        return offset

    def read(self, offset: int) -> bytes:
        """The record at an offset that `append` or `records` gave."""
        payload = self._payload_at(offset)
        assert payload is not None, f"no record at {offset} of {self.path}"
        return payload

    async def sync(self) -> None:
        """Return when everything appended before the call is on the disk."""
        target = self._end
        while self._synced < target:
            if self._sync_running is None:
                self._sync_running = asyncio.ensure_future(self._sync_once())
            await asyncio.shield(self._sync_running)

    async def _sync_once(self) -> None:
        loop = asyncio.get_running_loop()
        reached = self._end
        started = loop.time()
        try:
            await loop.run_in_executor(None, os.fsync, self._fd)
            self._synced = max(self._synced, reached)
        except OSError as error:
            self._failure = error
            raise
        finally:
            self._sync_running = None
        self.sync_observed(loop.time() - started)

    def close(self) -> None:
        """Sync and close the file."""
        os.fsync(self._fd)
        os.close(self._fd)

    def _payload_at(self, offset: int) -> bytes | None:
        """The payload, or None when the file ends in a torn record here."""
        prefix = os.pread(self._fd, PREFIX_BYTES, offset)
        if len(prefix) < PREFIX_BYTES:
            return None
        header = prefix[: _HEADER.size]
        magic, length, checksum = _HEADER.unpack(header)
        if magic != _MAGIC or _CHECK.unpack(prefix[_HEADER.size :])[0] != zlib.crc32(header):
            return self._torn_or_damaged(offset)
        payload = os.pread(self._fd, length, offset + PREFIX_BYTES)
        if len(payload) < length:
            return None
        if zlib.crc32(payload) != checksum:
            return self._torn_or_damaged(offset, offset + PREFIX_BYTES + length)
        return payload

    def _torn_or_damaged(self, offset: int, end: int | None = None) -> None:
        """A bad last record or a tail of zeros is torn; anything else is damage."""
        if end == self._end:
            return
        if not os.pread(self._fd, self._end - offset, offset).strip(b"\0"):
            return
        raise JournalDamaged(f"{self.path}: damaged record at byte {offset} of {self._end}")

    def _cut(self, offset: int) -> None:
        os.ftruncate(self._fd, offset)
        os.fsync(self._fd)
        self._end = self._synced = offset


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a crash leaves the old or the new one, whole; mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
