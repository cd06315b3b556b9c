"""What the journal and the snapshot hold: plain structs, packed as MessagePack.

A transaction is stored with the accounts it wrote, so that rebuilding the state copies accounts
instead of executing again: it is quick and does not depend on the version of the engine.
"""

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey


class StoredAccount(msgspec.Struct, frozen=True, array_like=True):
    """One account as written to disk."""

    lamports: int
    data: bytes
    owner: bytes
    executable: bool
    rent_epoch: int


Write = tuple[bytes, StoredAccount | None]
"""An address and what is there afterwards; None: the account is gone."""


class Genesis(msgspec.Struct, frozen=True, tag="genesis"):
    """The first record: what the chain starts with. `created_ms` is Unix time in milliseconds."""

    seed: bytes
    created_ms: int
    skipped_slot_every: int
    accounts: list[Write]


class Anchor(msgspec.Struct, frozen=True, tag="anchor"):
    """From `slot` on, slot n begins at time_ms + (n − slot) × slot_ms (Unix milliseconds).

    `offset_ms` is how far chain time has been moved ahead of wall time in all.
    """

    slot: int
    time_ms: int
    slot_ms: int
    offset_ms: int


class Landed(msgspec.Struct, frozen=True, tag="landed"):
    """A transaction in a block: the bytes sent, its error and meta as JSON, and what it wrote."""

    slot: int
    transaction: bytes
    account_keys: list[bytes]
    err: bytes
    meta: bytes
    writes: list[Write]


class Skipped(msgspec.Struct, frozen=True, tag="skipped"):
    """The slots from `first` to `last` have no block. What was in them is undone: a fork."""

    first: int
    last: int


class Replaced(msgspec.Struct, frozen=True, tag="replaced"):
    """The slots from `first` to `last` have other blocks than before: a fork in the same slots."""

    first: int
    last: int


class Alpenglow(msgspec.Struct, frozen=True, tag="alpenglow"):
    """After `slot`, what is confirmed is finalized."""

    slot: int


Record = Genesis | Anchor | Landed | Skipped | Replaced | Alpenglow


class Snapshot(msgspec.Struct, frozen=True):
    """All accounts that differ from the engine's own, with their versions, as of a record."""

    genesis_hash: bytes
    journal_end: int
    slot: int
    accounts: list[tuple[bytes, list[tuple[int, StoredAccount | None]]]]


def store(account: Account | None) -> StoredAccount | None:
    """Pack an account for the disk."""
    if account is None:
        return None
    return StoredAccount(
        account.lamports,
        bytes(account.data),
        bytes(account.owner),
        account.executable,
        account.rent_epoch,
    )


def load(stored: StoredAccount | None) -> Account | None:
    """The account that `store` packed."""
    if stored is None:
        return None
    return Account(
        stored.lamports,
        stored.data,
        Pubkey.from_bytes(stored.owner),
        stored.executable,
        stored.rent_epoch,
    )


_encoder = msgspec.msgpack.Encoder()
_record_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_snapshot_decoder: msgspec.msgpack.Decoder[Snapshot] = msgspec.msgpack.Decoder(Snapshot)


def pack(record: Record | Snapshot) -> bytes:
    """A record as bytes."""
    return _encoder.encode(record)


def unpack_record(payload: bytes) -> Record:
    """The record in a journal entry; raises `msgspec.DecodeError` on foreign bytes."""
    return _record_decoder.decode(payload)


def unpack_snapshot(payload: bytes) -> Snapshot:
    """The snapshot in a file; raises `msgspec.DecodeError` on foreign bytes."""
    return _snapshot_decoder.decode(payload)
