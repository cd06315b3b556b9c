"""Checkpoints: is what a vault holds what its movements come to, before more is believed?

Each provider's balance is read at finalized together with its context slot C, at start and every
few minutes. When the vault's frontier has reached C, everything up to C is booked, and the balance
must be the sum of the movements up to C, to the microunit. Until the first such proof of a life,
nothing above C is booked; without readings, nothing above the last good checkpoint.

When the two differ, crediting of the vault stops at the last good checkpoint, and so do all
payouts. From then on a rescan looks for what was hidden, and fresh readings are tried against what
is booked and what is held, without booking anything: only when that adds up is the held part booked
and compared for real, and the stop is lifted by itself. Otherwise a person decides.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from solders.pubkey import Pubkey

from indexer import store
from indexer.backlog import Answering
from indexer.decode import Watch
from indexer.held import Held
from indexer.metrics import Meters
from indexer.providers import Provider, Providers
from indexer.rescan import Rescan
from indexer.store import IncidentKind
from indexer.trust import Ceilings
from settlement.chain.movement import Vault
from settlement.chain.rpc import RpcRefused
from settlement.chain.tokens import NotATokenAccount, token_account_at
from settlement.db.pool import Pool, ReadConn, Tx, reading, transaction
from settlement.db.sql import load
from settlement.errors import Unavailable
from settlement.money import Slot
from settlement.reconcile import checkpoint
from settlement.reconcile.checkpoint import Account, Stop
from settlement.reconcile.verdict import (
    CheckpointVerdict,
    Compared,
    Conclusion,
    Reading,
    conclude,
    fold,
)

_SQL: Final = load("indexer", "checkpoint.sql")
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class CheckpointPace:
    """How often balances are compared, and by how many."""

    every_seconds: float = 300.0
    again_seconds: float = 10.0  # after no data, and while an account is stopped
    stale_seconds: float = 1_800.0  # without a good checkpoint for so long nothing more is booked
    quorum: int | None = None  # providers that have to answer; None: two, or the one there is
    fetch_at_once: int = 8


@dataclass(kw_only=True)
class _Vault:
    """What we know of one vault in this life. Times are those of the event loop."""

    account: Account
    vault: Vault
    address: Pubkey
    held: Held
    last_good: int = -1
    stop: Stop | None = None
    proven_at_seconds: float | None = None
    due_at_seconds: float = 0.0
    pending: tuple[Reading, ...] = ()  # to be compared when the frontier is there
    trial: tuple[Reading, ...] = ()  # while stopped: to be tried when the listing is there
    problem: str | None = None

    @property
    def reaches(self) -> Slot:
        """The highest slot of what waits to be compared."""
        return max(one.slot for one in self.pending or self.trial)


class Keeper:
    """Compares the vaults of one cluster between the rounds of its follower."""

    def __init__(
        self,
        *,
        providers: Providers,
        node: Answering,
        pool: Pool,
        watch: Watch,
        ceilings: Ceilings,
        rescan: Rescan,
        meters: Meters,
        pace: CheckpointPace | None = None,
    ) -> None:
        self._providers = providers
        self._node = node  # whose transactions are believed
        self._pool = pool
        self._watch = watch
        self.ceilings = ceilings
        self._rescan = rescan
        self._meters = meters
        self._pace = pace or CheckpointPace()
        usual = min(2, len(providers.all))
        self._quorum = self._pace.quorum or usual
        self._dissenting: set[tuple[str, str]] = set()
        self._vaults = [self._vault(vault) for vault in Vault]

    def _vault(self, vault: Vault) -> _Vault:
        address = self._watch.address(vault)
        return _Vault(
            account=Account(
                cluster=self._watch.cluster, address=str(address), name=f"{vault} vault"
            ),
            vault=vault,
            address=address,
            held=Held(
                node=self._node,
                pool=self._pool,
                watch=self._watch,
                vault=vault,
                at_once=self._pace.fetch_at_once,
            ),
        )

    @property
    def waits(self) -> bool:
        """Whether a comparison waits for the next rounds: it is no time to be quiet."""
        return any(one.pending or one.trial or one.stop is not None for one in self._vaults)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What people should know: which vault is stopped, or could not be compared."""
        told: list[str] = []
        for one in self._vaults:
            if one.stop is not None:
                difference = one.stop.difference_microusdc
                told.append(f"the {one.account.name} is stopped, {difference:+d} microunits")
            elif one.problem is not None:
                told.append(f"the {one.account.name} could not be compared: {one.problem}")
        return tuple(told)

    async def step(self, seen: Slot | None, frontiers: Mapping[str, Slot]) -> None:
        """What is to be done before the next round; never raises for what a provider does.

        `seen` is up to where the last round listed, `frontiers` where it left them; None and empty
        before the first.
        """
        for one in self._vaults:
            await self._refresh(one)
            await self._step(one, seen, frontiers)
            self.ceilings.put(one.account.address, self._ceiling(one))
            self._meters.vaults.stopped.labels(vault=one.vault).set(one.stop is not None)

    def _ceiling(self, one: _Vault) -> int | None:
        if one.stop is not None:
            return one.reaches if one.pending else one.stop.above_slot
        proven_at = one.proven_at_seconds
        if proven_at is not None and _now() < proven_at + self._pace.stale_seconds:
            return None
        return one.reaches if one.pending else one.last_good

    async def _refresh(self, one: _Vault) -> None:
        """Read again what another process, or a person, may have changed."""
        if one.stop is None and one.proven_at_seconds is not None:
            return
        async with reading(self._pool) as conn:
            one.last_good = await checkpoint.last_good(conn, one.account)
            stop = await checkpoint.open_stop(conn, one.account)
        if one.stop is not None and stop is None:
            # A person has lifted it: what is above is believed when it has been compared.
            one.trial, one.pending, one.due_at_seconds = (), (), 0.0
        one.stop = stop

    async def _step(self, one: _Vault, seen: Slot | None, frontiers: Mapping[str, Slot]) -> None:
        if one.pending:
            if frontiers.get(one.account.address, Slot(-1)) >= one.reaches:
                await self._judge(one)
        elif one.trial:
            if seen is not None and seen >= one.reaches:
                await self._try(one, one.trial, seen)
        elif _now() >= one.due_at_seconds:
            readings = await self._read(one)
            if not readings:
                await self._no_data(one, Conclusion(verdict=CheckpointVerdict.NO_DATA, compared=()))
            elif one.stop is None:
                one.pending = readings
            else:
                one.trial = readings

    async def _read(self, one: _Vault) -> tuple[Reading, ...]:
        """Every provider's balance at its own finalized slot, of those that answer."""
        asked = [provider for provider in self._providers.all if provider.usable]
        found = await asyncio.gather(*(self._balance(one, provider) for provider in asked))
        return tuple(reading_ for reading_ in found if reading_ is not None)

    async def _balance(self, one: _Vault, provider: Provider) -> Reading | None:
        try:
            found = token_account_at(await provider.rpc.account(one.address))
        except (Unavailable, RpcRefused, NotATokenAccount) as error:
            _log.warning("balance_unread", provider=provider.name, problem=str(error))
            return None
        return Reading(
            provider=provider.name, slot=found.slot, balance_microusdc=found.account.amount
        )

    async def _no_data(self, one: _Vault, found: Conclusion) -> None:
        """An error, kept once for each reason: nothing was proven, and what is held stays held."""
        problem = found.problem or "no provider says what it holds"
        one.pending = one.trial = ()
        one.due_at_seconds = _now() + self._pace.again_seconds
        self._count(one, CheckpointVerdict.NO_DATA)
        if problem == one.problem:
            return
        one.problem = problem
        _log.error("not_compared", vault=one.account.name, problem=problem)
        told = Conclusion(
            verdict=CheckpointVerdict.NO_DATA, compared=found.compared, problem=problem
        )
        async with transaction(self._pool) as tx:
            await checkpoint.add(tx, one.account, told, sources=len(self._providers.all))

    async def _judge(self, one: _Vault) -> None:
        """Compare for real: everything up to the readings' slots is booked."""
        try:
            async with transaction(self._pool) as tx:
                compared = await self._compared(tx, one, one.pending)
                found = conclude(compared, quorum=self._quorum)
                if found.verdict is not CheckpointVerdict.NO_DATA:
                    await self._conclude(tx, one, found)
        except checkpoint.StopNotLifted:
            return  # a person was faster: it is read again before the next step
        if found.verdict is CheckpointVerdict.NO_DATA:
            await self._no_data(one, found)
            return
        self._count(one, found.verdict)
        self._meters.vaults.difference.labels(vault=one.vault).set(found.difference_microusdc)
        one.pending, one.problem = (), None
        if found.verdict is CheckpointVerdict.EQUAL:
            assert found.slot is not None, "something was compared"
            one.last_good, one.stop, one.proven_at_seconds = found.slot, None, _now()
            one.due_at_seconds = _now() + self._pace.every_seconds
            self._meters.vaults.slot.labels(vault=one.vault).set(found.slot)
            self._note_dissent(one, found)
        else:
            one.proven_at_seconds = None
            one.due_at_seconds = 0.0
            await self._refresh(one)

    async def _conclude(self, tx: Tx, one: _Vault, found: Conclusion) -> None:
        """Keep the comparison and what follows from it, in one transaction."""
        number = await checkpoint.add(tx, one.account, found, sources=len(self._providers.all))
        if found.verdict is CheckpointVerdict.EQUAL:
            await self._tell_dissent(tx, one, found)
            if one.stop is not None:
                reason = f"it adds up again at slot {found.slot}"
                stop_id = one.stop.stop_id
                await checkpoint.lift(
                    tx, stop_id, by="indexer", reason=reason, checkpoint_id=number
                )
                await tx.execute(_SQL["close_incident"], stop_id)
            return
        if one.stop is not None:
            await checkpoint.note_difference(tx, one.stop, found.difference_microusdc)
            return
        stop_id = await checkpoint.raise_stop(
            tx, one.account, found, checkpoint_id=number, above_slot=one.last_good
        )
        if stop_id is not None:
            await store.open_incident(
                tx,
                one.account.cluster,
                IncidentKind.BALANCE,
                reference=f"{one.account.address} stop {stop_id}",
                detail=f"{found.difference_microusdc:+d} microunits, told by {_told_by(found)}",
            )

    async def _tell_dissent(self, tx: Tx, one: _Vault, found: Conclusion) -> None:
        """A provider that nobody confirms is reported, once as long as it goes on."""
        for compared in found.compared:
            name = compared.reading.provider
            new = (one.account.address, name) not in self._dissenting
            if compared.difference_microusdc and new:
                await store.open_incident(
                    tx,
                    one.account.cluster,
                    IncidentKind.DISSENT,
                    reference=f"{name} on {one.account.address} at {compared.reading.slot}",
                    detail=f"{compared.difference_microusdc:+d} microunits",
                )

    def _note_dissent(self, one: _Vault, found: Conclusion) -> None:
        mine = {known for known in self._dissenting if known[0] == one.account.address}
        self._dissenting -= mine
        for name in found.dissenters:
            _log.error("provider_dissents", provider=name, vault=one.account.name)
            self._dissenting.add((one.account.address, name))
            self._meters.vaults.dissents.labels(provider=name).inc()

    async def _try(self, one: _Vault, trial: tuple[Reading, ...], seen: Slot) -> None:
        """While stopped: would it add up if what is held were booked? If not, look for more."""
        assert one.stop is not None, "only what is stopped is tried"
        one.trial = ()
        one.due_at_seconds = _now() + self._pace.again_seconds
        held = await one.held.changes(max(reading_.slot for reading_ in trial))
        if held is None:
            one.problem = "what is held cannot be read yet"
            return
        async with reading(self._pool) as conn:
            compared = await self._compared(conn, one, trial, held)
        found = conclude(compared, quorum=self._quorum)
        if found.verdict is CheckpointVerdict.EQUAL:
            one.pending = trial  # the ceiling is raised to its slot, and it is compared for real
            return
        if found.verdict is CheckpointVerdict.DIFFERENT:
            async with transaction(self._pool) as tx:
                await checkpoint.note_difference(tx, one.stop, found.difference_microusdc)
        if await self._rescan.step(one.stop, seen=seen) is not None:
            one.due_at_seconds = 0.0

    async def _compared(
        self,
        conn: ReadConn,
        one: _Vault,
        readings: Sequence[Reading],
        held: Sequence[tuple[Slot, int]] = (),
    ) -> list[Compared]:
        """Each reading beside the movements up to its slot, and beside `held` changes on top."""
        taken_over = await checkpoint.accepted(conn, one.account)
        compared: list[Compared] = []
        for one_reading in readings:
            booked = await conn.fetchval(
                _SQL["fold"], one.account.cluster, one.vault, one_reading.slot
            )
            compared.append(
                Compared(
                    reading=one_reading,
                    movements_microusdc=int(booked) + fold(held, to=one_reading.slot),
                    accepted_microusdc=taken_over,
                )
            )
        return compared

    def _count(self, one: _Vault, verdict: CheckpointVerdict) -> None:
        self._meters.vaults.checkpoints.labels(vault=one.vault, verdict=verdict).inc()


def _told_by(found: Conclusion) -> str:
    return ", ".join(
        f"{one.reading.provider} at {one.reading.slot}"
        for one in found.compared
        if one.difference_microusdc
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
