"""One chain with one node: slots that pass, transactions that land, banks to read from.

The newest slot is the open bank: transactions execute there at once, in the order they come. A
block closes when its slot is over. "processed" reads the open bank; "confirmed" and "finalized"
read banks a fixed number of slots, at least two, behind it. A slot ends when everything executed in
the slots before it is on the disk, so what anybody saw confirmed is there after a crash. An
adversary may decide how it ends: by a fork, for one, which undoes what is not finalized.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from solders.account import Account
from solders.clock import Clock
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from localnet.clockwork import Clockwork
from localnet.consensus import Adversary, Bank, Commitment, SlotEnd, Tip, Waiting
from localnet.engine import (
    Engine,
    InvalidTransaction,
    Outcome,
    decode_transaction,
    loaded_addresses,
    lookup_tables,
)
from localnet.history import Entry, History
from localnet.meta import status_meta, token_balances
from localnet.records import Alpenglow, Landed, Replaced, Skipped, Write, pack, store
from localnet.recovery import ChainState, Directory, encode_snapshot, write_snapshot
from localnet.settings import EmbeddedSettings
from localnet.timeline import Blockhashes, Timeline

_CALM: Final = SlotEnd()
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Counters:
    """What happened since the start, for the metrics."""

    landed: int = 0
    failed: int = 0
    dropped: int = 0
    undone: int = 0
    snapshots: int = 0


SlotListener = Callable[[Tip, Tip], None]


class Cluster:
    """The running chain. Everything but `send`, `end_slot` and `close` is immediate."""

    def __init__(self, state: ChainState, directory: Directory, settings: EmbeddedSettings) -> None:
        """Continue the chain in the slot after its last one."""
        self._state = state
        self._directory = directory
        self._settings = settings
        self._clockwork = Clockwork(state, settings.slot_time_ms)
        self._snapshotting: asyncio.Task[None] | None = None
        self._waiting = Waiting()
        self._lands_nothing = False
        self.adversary: Adversary | None = None
        self.counters = Counters()
        self.listeners: list[SlotListener] = []
        last = state.slot
        self.slot = state.timeline.next(last)
        self.blockhashes = Blockhashes(state.timeline, last)
        self._clockwork.follow_wall(self.slot, at_once=True)
        directory.mark_slot(self.slot)
        state.accounts.finalize(self.tip.finalized)

    # Reading

    @property
    def engine(self) -> Engine:
        """The executor."""
        return self._state.engine

    @property
    def timeline(self) -> Timeline:
        """Slots, times and hashes."""
        return self._state.timeline

    @property
    def history(self) -> History:
        """All transactions."""
        return self._state.history

    @property
    def tip(self) -> Tip:
        """Where each commitment is now."""
        confirmed = self._behind(self._settings.confirmed_lag_slots)
        return Tip(
            complete=self.timeline.parent(self.slot),
            confirmed=confirmed,
            finalized=confirmed
            if self._state.is_alpenglow
            else self._behind(self._settings.finalized_lag_slots),
        )

    def _behind(self, slots: int) -> int:
        return self.timeline.at_or_before(self.slot - slots)

    def bank(self, commitment: Commitment) -> Bank:
        """The bank that a reader at this commitment sees."""
        if commitment == "processed":
            return Bank(slot=self.slot, newest_block=self.timeline.parent(self.slot))
        tip = self.tip
        slot = tip.confirmed if commitment == "confirmed" else tip.finalized
        return Bank(slot=slot, newest_block=slot)

    def account(self, address: Pubkey, slot: int) -> Account | None:
        """An account in the bank of a slot that is not below the finalized one."""
        return self._state.accounts.at(address, slot)

    def accounts_of(self, owner: Pubkey, slot: int) -> list[tuple[Pubkey, Account]]:
        """All accounts of a program in the bank of a slot."""
        return list(self._state.accounts.owned_by(owner, slot))

    def is_changed(self, address: Pubkey, after: int, up_to: int) -> bool:
        """Whether an account was written in the slots (after, up_to], none of them finalized."""
        return self._state.accounts.changed_between(address, after, up_to)

    def landed(self, entry: Entry) -> Landed:
        """The record of a transaction."""
        return self._state.landed(entry)

    # Transactions

    def has_seen(self, signature: Signature) -> bool:
        """Whether a transaction has landed or waits to land."""
        return self.history.get(signature) is not None or signature in self._waiting

    def precheck(self, transaction: VersionedTransaction, bank: Bank) -> str | None:
        """Why a bank refuses to execute: an old or unknown blockhash, or a duplicate."""
        blockhash = bytes(transaction.message.recent_blockhash)
        if not self.blockhashes.is_valid(blockhash, bank.newest_block):
            return "BlockhashNotFound"
        entry = self.history.get(transaction.signatures[0])
        return "AlreadyProcessed" if entry is not None and entry.slot <= bank.slot else None

    def simulate(
        self, transaction: VersionedTransaction, slot: int, *, verify_signatures: bool
    ) -> tuple[Outcome, dict[Pubkey, Account]]:
        """Execute in the bank of a slot and keep nothing."""
        keys = self._keys(transaction, slot)[0]
        accounts = self._state.accounts
        overlay = {key: accounts.at(key, slot) for key in keys if accounts.newer_than(key, slot)}
        self._clockwork.set_sysvars(slot, self.blockhashes)
        return self.engine.simulate(transaction, overlay, verify_signatures=verify_signatures)

    def execute(self, transaction: VersionedTransaction, wire: bytes) -> Entry | None:
        """Execute in the open bank and journal it; None when no block contains it, or a later one.

        It is durable when `sync` returns: answer nobody before.
        """
        delay = 0 if self.adversary is None else self.adversary.lands_after()
        if delay == 0 and not self._lands_nothing:
            return self._land(transaction, wire)
        if delay is None or not self._waiting.add(self.slot + max(delay, 1), transaction, wire):
            self.counters.dropped += 1
        return None

    def _land(self, transaction: VersionedTransaction, wire: bytes) -> Entry | None:
        if self.precheck(transaction, self.bank("processed")) is not None:
            self.counters.dropped += 1
            return None
        self._clockwork.set_sysvars(self.slot, self.blockhashes)
        engine = self.engine
        keys, loaded = self._keys(transaction, self.slot)
        before = [engine.account(key) for key in keys]
        tokens_before = token_balances(before, engine.account)
        outcome = engine.execute(transaction)
        if not outcome.has_executed:
            self.counters.dropped += 1
            return None
        after = [engine.account(key) for key in keys]
        tokens = (tokens_before, token_balances(after, engine.account))
        meta = status_meta(outcome, before, after, loaded, tokens)
        changed = {
            key: (then, now)
            for key, then, now in zip(keys, before, after, strict=True)
            if then != now
        }
        self.counters.landed += 1
        self.counters.failed += int(outcome.err is not None)
        return self._record(transaction, wire, keys, meta, outcome.err, changed)

    def _record(
        self,
        transaction: VersionedTransaction,
        wire: bytes,
        keys: list[Pubkey],
        meta: dict[str, object],
        err: object,
        changed: dict[Pubkey, tuple[Account | None, Account | None]],
    ) -> Entry:
        writes: list[Write] = [(bytes(key), store(now)) for key, (_, now) in changed.items()]
        landed = Landed(
            slot=self.slot,
            transaction=wire,
            account_keys=[bytes(key) for key in keys],
            err=msgspec.json.encode(err),
            meta=msgspec.json.encode(meta),
            writes=writes,
        )
        offset = self._state.journal.append(pack(landed))
        for key, (then, now) in changed.items():
            self._state.accounts.put(self.slot, key, now, then)
        self._state.records_since_snapshot += 1
        return self.history.add(landed, transaction, offset)

    def _keys(
        self, transaction: VersionedTransaction, slot: int
    ) -> tuple[list[Pubkey], tuple[list[Pubkey], list[Pubkey]]]:
        tables = {key: self.account(key, slot) for key in lookup_tables(transaction)}
        writable, readonly = loaded_addresses(transaction, tables)
        return [*transaction.message.account_keys, *writable, *readonly], (writable, readonly)

    def account_keys(self, transaction: VersionedTransaction, slot: int) -> list[Pubkey]:
        """All account keys, those from lookup tables last."""
        return self._keys(transaction, slot)[0]

    async def sync(self) -> None:
        """Return when everything executed so far is on the disk."""
        await self._state.journal.sync()

    # Time

    @property
    def slot_time_ms(self) -> int:
        """How long a slot takes from now on."""
        return self._clockwork.slot_time_ms

    def clock(self, slot: int) -> Clock:
        """The Clock sysvar in the bank of a slot."""
        return self._clockwork.clock(slot)

    async def end_slot(self) -> None:
        """Close the open block once all before it are durable, and open the next."""
        await self.sync()
        end = _CALM if self.adversary is None else self.adversary.at_slot_end(self.slot)
        self._lands_nothing = end is None
        if end is None:
            return
        if end == _CALM:
            self._advance()
        else:
            await self._end_otherwise(end)
        self._clockwork.follow_wall(self.slot)
        self._land_waiting()
        self._snapshot_if_due()

    async def _end_otherwise(self, end: SlotEnd) -> None:
        """Do what the cluster decided. What follows is seen by nobody before that is durable."""
        self._lands_nothing = True
        kept, last = self.slot, self.slot + end.jumps_slots
        if end.drops_slots:
            wanted = self.timeline.at_or_before(self.slot - end.drops_slots)
            kept = max(wanted, self.tip.finalized)
        if end.reuses_slots and kept < self.slot:
            self._reland(self._drop(Replaced(first=kept + 1, last=self.slot)), kept)
            self._make_blocks(kept)
            kept = self.slot
        if kept < last:
            self._reland(self._drop(Skipped(first=kept + 1, last=last)), last)
        if end.is_alpenglow:
            self._state.is_alpenglow = True
            self._state.journal.append(pack(Alpenglow(slot=self.slot)))
        await self.sync()
        for _ in range(1 + end.empty_blocks):
            self._advance()
        clockwork = self._clockwork
        clockwork.slot_time_ms = end.slot_time_ms or clockwork.slot_time_ms
        if end.jumps_slots or end.empty_blocks:
            clockwork.follow_wall(self.slot, at_once=True)
        elif end.slot_time_ms:
            clockwork.begin(self.slot, self.timeline.time_ms(self.slot))
        self._lands_nothing = False

    def _drop(self, fork: Skipped | Replaced) -> list[Landed]:
        """Take these slots out of the chain, and the state back to before them."""
        state = self._state
        state.journal.append(pack(fork))
        dropped = state.drop(fork)
        state.engine.restore(state.accounts.undo(fork.first - 1))
        self.blockhashes.forget_after(fork.first - 1)
        self._clockwork.forget_sysvars()
        self.counters.undone += len(dropped)
        _log.info("slots dropped", **msgspec.structs.asdict(fork), undone=len(dropped))
        return dropped

    def _reland(self, dropped: list[Landed], behind: int) -> None:
        """Send to the new fork, whose blocks are behind this slot, what the adversary lets it."""
        if self.adversary is None:
            return
        first = self.timeline.next(behind)
        for after, landed in self.adversary.relands(dropped):
            transaction = decode_transaction(landed.transaction)
            self._waiting.add(first + after, transaction, landed.transaction)

    def _make_blocks(self, behind: int) -> None:
        """Fill the slots up to the open one again; nobody is told before they are complete."""
        opened, self.slot = self.slot, self.timeline.next(behind)
        while True:
            self._land_waiting()
            if self.slot == opened:
                return
            self.blockhashes.register(self.slot)
            self.slot = self.timeline.next(self.slot)

    def _advance(self) -> None:
        before = self.tip
        if self.timeline.has_block(self.slot):
            self.blockhashes.register(self.slot)
        self.slot = self.timeline.next(self.slot)
        self._directory.mark_slot(self.slot)
        after = self.tip
        for listener in self.listeners:
            listener(before, after)
        self._state.accounts.finalize(after.finalized)

    def _land_waiting(self) -> None:
        for transaction, wire in self._waiting.due(self.slot):
            try:
                self._land(transaction, wire)
            except InvalidTransaction:  # its lookup table is not on this fork
                self.counters.dropped += 1

    async def advance_clock(self, seconds: int) -> None:
        """Move chain time forward; when this returns, the finalized bank is past the jump."""
        await self.sync()
        target = self.timeline.time_ms(self.slot) + seconds * 1000
        self._advance()
        self._clockwork.anchor(self.slot, target, self._clockwork.offset_ms + seconds * 1000)
        await self.sync()
        for _ in range(self._settings.finalized_lag_slots + 1):
            self._advance()
        _log.info("clock moved", seconds=seconds, slot=self.slot)
        # The slots that were passed over took no time on the wall.
        self._clockwork.begin(self.slot, self.timeline.time_ms(self.slot))
        await self.sync()

    # Snapshots

    def _snapshot_if_due(self) -> None:
        due = self._state.records_since_snapshot >= self._settings.snapshot_every_records
        if due and (self._snapshotting is None or self._snapshotting.done()):
            self._snapshotting = asyncio.create_task(self.snapshot())

    async def snapshot(self) -> None:
        """Write the accounts as of now, so that the next start need not replay up to here."""
        content = encode_snapshot(self._state, self.slot)
        self._state.records_since_snapshot = 0
        await self.sync()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, write_snapshot, self._state.directory, content)
        self.counters.snapshots += 1
        _log.info("snapshot", slot=self.slot, size_bytes=len(content))

    async def close(self) -> None:
        """Snapshot and let go of the directory."""
        if self._snapshotting is not None:
            await self._snapshotting
        await self.snapshot()
        self._state.journal.close()
        self._directory.close()
