"""The chain on disk: one directory with a journal, a snapshot, a slot mark and a lock.

    journal    every transaction and clock change, for ever; the history is read from it
    snapshot   all accounts as of some record, so that starting need not replay everything
    slot       the newest slot, rewritten each slot without waiting for the disk
    lock       held while a process uses the directory

Rebuilding: index the whole journal, load the accounts of the snapshot, and apply the writes of the
records behind it. The slot mark survives the process; after a crash of the machine the chain jumps
over as many slots as the mark may have missed, so that a slot is never used twice.
"""

import fcntl
import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from solders.pubkey import Pubkey

from localnet.accounts import AccountVersions
from localnet.engine import Engine, decode_transaction
from localnet.history import Entry, History
from localnet.journal import Journal, JournalDamaged, write_atomically
from localnet.records import (
    Alpenglow,
    Anchor,
    Genesis,
    Landed,
    Record,
    Replaced,
    Skipped,
    Snapshot,
    load,
    pack,
    store,
    unpack_record,
    unpack_snapshot,
)
from localnet.timeline import Timeline

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MARK: Final = struct.Struct("<Q36s")
_UNFLUSHED_MS: Final = 60_000  # how old the mark on the disk may be when the machine dies
_SNAPSHOT_HEAD: Final = struct.Struct("<4sI")
_SNAPSHOT_MAGIC: Final = b"PLS1"


class DirectoryLocked(Exception):
    """Another process uses this chain directory."""


@dataclass(kw_only=True)
class ChainState:
    """A chain as read from its directory; `slot` is the newest that may have been used."""

    directory: Path
    journal: Journal
    engine: Engine
    accounts: AccountVersions
    timeline: Timeline
    history: History
    slot: int
    records_since_snapshot: int
    is_alpenglow: bool = False

    def landed(self, entry: Entry) -> Landed:
        """The record of a transaction."""
        record = unpack_record(self.journal.read(entry.journal_offset))
        assert isinstance(record, Landed)
        return record

    def drop(self, fork: Skipped | Replaced) -> list[Landed]:
        """Take the blocks of these slots, and what landed in them, out of the chain.

        The accounts are another matter: a snapshot may already be without those writes.
        """
        match fork:
            case Skipped():
                self.timeline.skip(fork.first, fork.last)
            case Replaced():
                self.timeline.replace(fork.first, fork.last)
        return self.history.drop_after(fork.first - 1, self.landed)


class Directory:
    """The lock and the small files of one chain directory."""

    def __init__(self, path: Path) -> None:
        """Create the directory if missing and lock it; raises `DirectoryLocked`."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise DirectoryLocked(f"{path}: used by another localnet") from None
        self._mark = os.open(path / "slot", os.O_RDWR | os.O_CREAT, 0o600)

    def mark_slot(self, slot: int) -> None:
        """Remember that this slot is in use."""
        os.pwrite(self._mark, _MARK.pack(slot, _boot_id()), 0)

    def marked_slot(self, slot_ms: int) -> int:
        """The newest slot that may have been used; 0 on a new chain."""
        raw = os.pread(self._mark, _MARK.size, 0)
        if len(raw) < _MARK.size:
            return 0
        slot, boot_id = _MARK.unpack(raw)
        return slot if boot_id == _boot_id() else slot + _UNFLUSHED_MS // slot_ms

    def close(self) -> None:
        """Unlock."""
        os.close(self._mark)
        os.close(self._lock)


def _boot_id() -> bytes:
    try:
        return _BOOT_ID.read_bytes().strip()[:36].ljust(36)
    except OSError:
        return b"unknown".ljust(36)


def recover(
    directory: Directory, new_genesis: Callable[[], Genesis], slot_ms: int, first_slot: int
) -> ChainState:
    """Read the chain, or start one. Raises `JournalDamaged` when it cannot be read whole."""
    journal = Journal(directory.path / "journal")
    if next(journal.records(), None) is None:
        genesis = new_genesis()
        start = genesis.created_ms - first_slot * slot_ms
        anchor = Anchor(slot=0, time_ms=start, slot_ms=slot_ms, offset_ms=0)
        (directory.path / "snapshot").unlink(missing_ok=True)
        journal.append(pack(genesis))
        journal.append(pack(anchor))
    state = _rebuild(directory.path, journal)
    quickest_ms = min(slot_ms, state.timeline.last_anchor.slot_ms)
    newest = max(state.slot, directory.marked_slot(quickest_ms), first_slot)
    state.slot = state.timeline.at_or_before(newest)
    return state


def _read_records(journal: Journal) -> Iterator[tuple[int, Record]]:
    for offset, payload in journal.records():
        try:
            yield offset, unpack_record(payload)
        except msgspec.DecodeError as error:
            raise JournalDamaged(f"{journal.path}: byte {offset}: {error}") from None


def _rebuild(directory: Path, journal: Journal) -> ChainState:
    records = _read_records(journal)
    _, genesis = next(records)
    if not isinstance(genesis, Genesis):
        raise JournalDamaged(f"{journal.path}: does not begin with a genesis record")
    engine = Engine()
    genesis_hash = hashlib.sha256(genesis.seed).digest()
    state = ChainState(
        directory=directory,
        journal=journal,
        engine=engine,
        accounts=AccountVersions(engine.account),
        timeline=Timeline(genesis_hash, genesis.skipped_slot_every),
        history=History(),
        slot=0,
        records_since_snapshot=0,
    )
    snapshot = read_snapshot(directory, genesis_hash, journal.end)
    if snapshot is None:
        for address, stored in genesis.accounts:
            state.accounts.put(0, Pubkey.from_bytes(address), load(stored))
    else:
        state.slot = snapshot.slot
        _load_snapshot(state, snapshot)
    for offset, record in records:
        _apply(state, offset, record, is_in_snapshot=offset < _end_of(snapshot))
    engine.restore(
        {address: versions[-1][1] for address, versions in state.accounts.all_versions()}
    )
    return state


def _end_of(snapshot: Snapshot | None) -> int:
    return snapshot.journal_end if snapshot else 0


def _load_snapshot(state: ChainState, snapshot: Snapshot) -> None:
    for address, versions in snapshot.accounts:
        for slot, stored in versions:
            state.accounts.put(slot, Pubkey.from_bytes(address), load(stored))


def _apply(state: ChainState, offset: int, record: Record, *, is_in_snapshot: bool) -> None:
    match record:
        case Genesis():
            return
        case Anchor():
            state.timeline.add(record)
            state.slot = max(state.slot, record.slot)
        case Landed():
            state.history.add(record, decode_transaction(record.transaction), offset)
            state.slot = max(state.slot, record.slot)
            if not is_in_snapshot:
                _write_accounts(state, record)
        case Skipped() | Replaced():
            state.drop(record)
            state.slot = max(state.slot, record.last)
            if not is_in_snapshot:
                state.accounts.undo(record.first - 1)
        case Alpenglow():
            state.is_alpenglow = True
            state.slot = max(state.slot, record.slot)


def _write_accounts(state: ChainState, landed: Landed) -> None:
    state.records_since_snapshot += 1
    for raw, stored in landed.writes:
        address = Pubkey.from_bytes(raw)
        untouched = state.engine.account(address)  # used where nobody wrote so far
        state.accounts.put(landed.slot, address, load(stored), untouched)


def encode_snapshot(state: ChainState, slot: int) -> bytes:
    """The accounts as of now, as a file."""
    payload = pack(
        Snapshot(
            genesis_hash=state.timeline.genesis_hash,
            journal_end=state.journal.end,
            slot=slot,
            accounts=[
                (bytes(address), [(version, store(account)) for version, account in versions])
                for address, versions in state.accounts.all_versions()
            ],
        )
    )
    return _SNAPSHOT_HEAD.pack(_SNAPSHOT_MAGIC, zlib.crc32(payload)) + payload


def write_snapshot(directory: Path, content: bytes) -> None:
    """Replace the snapshot. The journal must be synced up to what the snapshot contains."""
    write_atomically(directory / "snapshot", content)


def read_snapshot(directory: Path, genesis_hash: bytes, journal_end: int) -> Snapshot | None:
    """The snapshot, if there is one. Raises `JournalDamaged` when it does not fit the journal."""
    path = directory / "snapshot"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    head, payload = raw[: _SNAPSHOT_HEAD.size], raw[_SNAPSHOT_HEAD.size :]
    remedy = "delete it to rebuild the state from the journal"
    if head != _SNAPSHOT_HEAD.pack(_SNAPSHOT_MAGIC, zlib.crc32(payload)):
        raise JournalDamaged(f"{path}: damaged; {remedy}")
    try:
        snapshot = unpack_snapshot(payload)
    except msgspec.DecodeError as error:
        raise JournalDamaged(f"{path}: {error}; {remedy}") from None
    if snapshot.genesis_hash != genesis_hash:
        raise JournalDamaged(f"{path}: belongs to another chain; {remedy}")
    if snapshot.journal_end > journal_end:
        raise JournalDamaged(
            f"{directory / 'journal'}: ends at byte {journal_end}, but the snapshot has seen byte"
            f" {snapshot.journal_end}: records are missing"
        )
    return snapshot
