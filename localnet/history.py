"""Where every transaction is: by signature, by block, by address. The bytes stay in the journal."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from localnet.records import Landed

_MEMO_PROGRAMS: Final = {
    Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One transaction. `ordinal` counts all transactions, `index` those of its block."""

    ordinal: int
    slot: int
    index: int
    signature: Signature
    err: Any
    memo: str | None
    journal_offset: int


class History:
    """An index over the journal, in the order of execution."""

    def __init__(self) -> None:
        """No transactions yet."""
        self._entries: list[Entry] = []
        self._by_signature: dict[Signature, Entry] = {}
        self._by_address: defaultdict[bytes, list[int]] = defaultdict(list)
        self._by_slot: defaultdict[int, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        """How many transactions there are."""
        return len(self._entries)

    def add(self, landed: Landed, transaction: VersionedTransaction, offset: int) -> Entry:
        """Index a transaction that is in the journal at `offset`."""
        in_block = self._by_slot[landed.slot]
        entry = Entry(
            ordinal=len(self._entries),
            slot=landed.slot,
            index=len(in_block),
            signature=transaction.signatures[0],
            err=msgspec.json.decode(landed.err),
            memo=memo_of(transaction),
            journal_offset=offset,
        )
        assert entry.signature not in self._by_signature, f"{entry.signature} executed twice"
        self._entries.append(entry)
        self._by_signature[entry.signature] = entry
        in_block.append(entry.ordinal)
        for key in set(landed.account_keys):
            self._by_address[key].append(entry.ordinal)
        return entry

    def drop_after(self, slot: int, record_of: Callable[[Entry], Landed]) -> list[Landed]:
        """Forget the transactions of all blocks above this slot; they are returned in order.

        Their ordinals are given to others, and to each that lands again.
        """
        dropped: list[Landed] = []
        while self._entries and self._entries[-1].slot > slot:
            entry = self._entries.pop()
            record = record_of(entry)
            del self._by_signature[entry.signature]
            self._by_slot.pop(entry.slot, None)
            for key in set(record.account_keys):
                named = self._by_address[key]
                named.pop()
                if not named:
                    del self._by_address[key]
            dropped.append(record)
        return dropped[::-1]

    def get(self, signature: Signature) -> Entry | None:
        """The transaction with this first signature."""
        return self._by_signature.get(signature)

    def in_slot(self, slot: int) -> list[Entry]:
        """The transactions of one block, in order."""
        return [self._entries[ordinal] for ordinal in self._by_slot.get(slot, ())]

    def for_address(
        self, address: Pubkey, *, up_to_slot: int, before: int | None, after: int | None
    ) -> Iterator[Entry]:
        """Transactions that name an address, newest first, between two ordinals (exclusive)."""
        for ordinal in reversed(self._by_address.get(bytes(address), ())):
            if after is not None and ordinal <= after:
                return
            entry = self._entries[ordinal]
            if entry.slot <= up_to_slot and (before is None or ordinal < before):
                yield entry

    def count_up_to(self, slot: int) -> int:
        """How many transactions are in blocks up to this slot."""
        newer = itertools.takewhile(lambda entry: entry.slot > slot, reversed(self._entries))
        return len(self._entries) - sum(1 for _ in newer)


def memo_of(transaction: VersionedTransaction) -> str | None:
    """The memos of the top-level instructions, written as a node writes them."""
    keys = transaction.message.account_keys
    memos: list[str] = []
    for instruction in transaction.message.instructions:
        index = instruction.program_id_index
        if index < len(keys) and keys[index] in _MEMO_PROGRAMS:
            data = bytes(instruction.data)
            try:
                memos.append(f"[{len(data)}] {data.decode()}")
            except UnicodeDecodeError:
                memos.append("(unparseable)")
    return "; ".join(memos) or None
