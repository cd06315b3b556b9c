"""What a provider is asked before it is believed, when we start and whenever it comes back.

Each probe ends in a word of `Distrust` or in nothing. A provider that serves another chain is never
used. One that ignores `minContextSlot` proves nothing, whatever else it answers: without the bound
inside the call nobody can tell which backend listed a page, and how far that one had got. A probe
that gets no answer leaves the provider unused until all of them have one.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

import structlog
from solders.pubkey import Pubkey
from solders.signature import Signature

from indexer.providers import Distrust, Provider, Providers
from indexer.source import UNSUPPORTED_VERSION
from settlement.chain.answers import SignatureInfo
from settlement.chain.rpc import RpcRefused, RpcUnavailable
from settlement.chain.transport import MIN_CONTEXT_SLOT_NOT_REACHED
from settlement.errors import Conflict
from settlement.money import Slot

T = TypeVar("T")

_FAR_AHEAD_SLOTS: Final = 100_000_000
_UNKNOWN_SIGNATURE: Final = str(Signature.default())
_INVALID_PARAMS: Final = -32602
_NO_TRANSACTION_HISTORY: Final = -32011
_UNKNOWN_CURSOR: Final = -32020
_AGAIN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 600.0  # a load balancer's backends change without a word
_PAUSE_SECONDS: Final = 0.2
# What the public clusters have always been.
GENESIS_HASHES: Final = {
    "mainnet-beta": "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    "mainnet": "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    "testnet": "4uhcVJyU9pJkvQyS88uRDiswHXSGkY3zQawwpjk2NsNY",
    "devnet": "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
}
_log = structlog.stdlib.get_logger()


class ChainsDiffer(Conflict):
    """The providers serve different chains: set POD_GENESIS_HASH to the right one."""


class NobodyServes(Conflict):
    """Every provider serves another chain than the settings name, or this database follows another
    chain.
    """


class Prober:
    """Probes providers one by one, and keeps an eye on those that nobody asks."""

    def __init__(
        self,
        providers: Providers,
        *,
        program_id: Pubkey,
        genesis_hash: str | None,
    ) -> None:
        self._providers = providers
        self._program_id = program_id
        self.genesis_hash = genesis_hash
        self._again: dict[str, float] = {}
        self._probed_at: dict[str, float] = {}

    async def agree(self) -> str:
        """Which chain is followed: the one it was told, if anybody serves that, or everybody's.

        Raises `ChainsDiffer`, `NobodyServes`, or what kept those silent who might.
        """
        told = await asyncio.gather(
            *(one.rpc.genesis_hash() for one in self._providers.all), return_exceptions=True
        )
        by_name = {
            one.name: found
            for one, found in zip(self._providers.all, told, strict=True)
            if isinstance(found, str)
        }
        if self.genesis_hash is None and len(set(by_name.values())) > 1:
            raise ChainsDiffer(None, genesis_hashes=by_name)
        if by_name and self.genesis_hash in (None, *by_name.values()):
            self.genesis_hash = self.genesis_hash or next(iter(by_name.values()))
            return self.genesis_hash
        for silent in told:
            if isinstance(silent, BaseException):
                raise silent
        raise NobodyServes(None, expected=self.genesis_hash, genesis_hashes=by_name)

    async def watch(self) -> None:
        """Probe and look, for ever. Ends only by being cancelled."""
        while True:
            await self.look_once()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def look_once(self) -> None:
        """Probe who is due, and ask who has been silent for long how far he is."""
        now_seconds = time.monotonic()
        due = [one for one in self._providers.all if self._is_due(one, now_seconds)]
        await asyncio.gather(*(self._look(one) for one in due))

    def _is_due(self, one: Provider, now_seconds: float) -> bool:
        if now_seconds < self._again.get(one.name, 0.0):
            return False
        silent = now_seconds - one.slot_at_seconds > _LOOK_SECONDS
        return self._is_to_be_probed(one, now_seconds) or (one.usable and silent)

    def _is_to_be_probed(self, one: Provider, now_seconds: float) -> bool:
        long_ago = now_seconds - self._probed_at.get(one.name, 0.0) > _PROBE_SECONDS
        return Distrust.NOT_PROBED in one.distrust or long_ago

    async def _look(self, one: Provider) -> None:
        try:
            if self._is_to_be_probed(one, time.monotonic()):
                await self.probe(one)
                self._probed_at[one.name] = time.monotonic()
            else:
                await self._providers.ask_slot(one)
        except (RpcUnavailable, RpcRefused) as error:
            self._again[one.name] = time.monotonic() + _AGAIN_SECONDS
            one.experience.last_problem = str(error)
            _log.warning("provider_silent", provider=one.name, problem=str(error))

    async def probe(self, one: Provider) -> None:
        """Ask everything. Raises `RpcUnavailable` or `RpcRefused`; then nothing has changed."""
        genesis_hash = await one.rpc.genesis_hash()
        if genesis_hash != self.genesis_hash:
            one.distrust = frozenset({Distrust.WRONG_CHAIN})
            _log.error(
                "provider_on_another_chain",
                provider=one.name,
                genesis_hash=genesis_hash,
                expected=self.genesis_hash,
            )
            return
        try:
            found = await self._probed(one)
        except RpcRefused as refused:
            if refused.error_code != _NO_TRANSACTION_HISTORY:
                raise
            found = {Distrust.NO_TRANSACTION_HISTORY}
        one.distrust = frozenset(found) | (one.distrust & {Distrust.FABRICATES})
        words = self._providers.distrust(one)
        tell = _log.warning if words else _log.info
        tell(
            "provider_probed",
            provider=one.name,
            version=one.version,
            first_block=one.first_block,
            distrust=words,
        )

    async def _probed(self, one: Provider) -> set[Distrust]:
        slot = await self._providers.ask_slot(one)
        one.version = await _or_none(one.rpc.node_version())
        one.first_block = await _or_none(one.rpc.first_available_block())
        return {
            *(await self._min_context_slot(one, slot)),
            *(await self._cursor(one)),
            *(await self._version_ceiling(one)),
        }

    async def _min_context_slot(self, one: Provider, slot: Slot) -> set[Distrust]:
        far_ahead = Slot(slot + _FAR_AHEAD_SLOTS)
        try:
            await one.rpc.signatures_for(self._program_id, min_context_slot=far_ahead, limit=1)
        except RpcUnavailable as error:
            if error.details.get("error_code") == MIN_CONTEXT_SLOT_NOT_REACHED:
                return set()
            raise
        except RpcRefused as refused:
            if refused.error_code == _NO_TRANSACTION_HISTORY:
                raise
            # Else it does not know the option at all.
        return {Distrust.IGNORES_MIN_CONTEXT_SLOT}

    async def _cursor(self, one: Provider) -> set[Distrust]:
        try:
            page = await one.rpc.signatures_for(
                self._program_id, before=_UNKNOWN_SIGNATURE, limit=1
            )
        except RpcRefused as refused:
            return set() if refused.error_code == _UNKNOWN_CURSOR else {Distrust.IGNORES_CURSOR}
        return {Distrust.IGNORES_CURSOR if page else Distrust.EMPTY_FOR_UNKNOWN_CURSOR}

    async def _version_ceiling(self, one: Provider) -> set[Distrust]:
        newest: tuple[SignatureInfo, ...] = await one.rpc.signatures_for(self._program_id, limit=1)
        try:
            await one.rpc.transaction(newest[0].signature if newest else _UNKNOWN_SIGNATURE)
        except RpcRefused as refused:
            if refused.error_code in (UNSUPPORTED_VERSION, _INVALID_PARAMS):
                return {Distrust.OLD_TRANSACTIONS_ONLY}
            raise
        return set()


async def _or_none(asked: Awaitable[T]) -> T | None:
    """What a node says that may leave the method out."""
    try:
        return await asked
    except RpcRefused:
        return None
