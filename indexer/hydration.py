"""Transactions by several providers: the first that tells one that was signed, and can be read.

A provider that has none, refuses, or tells nonsense proves nothing: the next one is asked. What
nobody signed is refused and its teller is named; it is believed last from then on. A credit above a
limit needs two providers who tell the same movements: what moved is their word, not the signers'.
Where they differ a third may decide; else the transaction is held back and a person is told.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from solders.pubkey import Pubkey

from indexer import store
from indexer.decode import Transaction, Watch, decode
from indexer.everyday import Belief
from indexer.executed import TOP_LEVEL
from indexer.providers import Distrust, Provider, Providers
from indexer.raw import Unreadable
from indexer.signed import Fabricated, check_signed
from indexer.source import UNSUPPORTED_VERSION
from indexer.store import IncidentKind
from settlement.chain.abi import instruction_discriminator
from settlement.chain.answers import AccountAt, AnswerMalformed, fields
from settlement.chain.rpc import RpcRefused, RpcUnavailable
from settlement.db.pool import Pool, transaction
from settlement.money import MicroUsdc, Slot

Answer = dict[str, object]
QUORUM: Final = 2
_ASKED_AT_ONCE: Final = 5  # times, before pauses of 2, 4, 8 … seconds
_MOST_DOUBLINGS: Final = 6
_SKIP: Final = instruction_discriminator("skip")
_USUAL_LIMIT: Final = MicroUsdc(1_000_000_000)
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is believed of one provider."""

    quorum_above_microusdc: MicroUsdc = _USUAL_LIMIT
    verify_signatures: bool = True
    single_source: bool = False  # whether one provider's word is enough when there is no other


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What one provider told of a transaction, and what it means."""

    provider: str
    answer: Answer
    read: Transaction

    @property
    def meaning(self) -> object:
        """What two providers must agree on. Inner instructions, which nobody signed, carry codes;
        who else gained decides whether a memo counts."""
        read = self.read
        told = (read.moment.slot, read.failed, read.explained, read.movements)
        return (*told, read.instructions, read.gained)

    def burns_unsigned(self, program_id: Pubkey) -> bool:
        """Whether payout numbers were burned inside a call, where no signature vouches for it.

        It moves nothing, so no balance would ever contradict it, and it frees money to be paid
        again. Only payer and admin can do it: no stranger makes us wait for a second provider.
        """
        return any(
            one.height > TOP_LEVEL and one.program == program_id and one.data[:8] == _SKIP
            for one in self.read.instructions
        )


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What one provider said of a transaction, in its own words."""

    provider: str
    text: bytes

    def answer(self) -> Answer | None:
        """The same as an answer; None when it is none."""
        try:
            return fields(json.loads(self.text), "transaction")
        except (ValueError, RecursionError, AnswerMalformed):
            return None


class _Patience:
    """Asks for what nobody has at once some times, then ever more seldom."""

    def __init__(self) -> None:
        self._missed: dict[str, tuple[int, float]] = {}  # how often, and when to ask again

    def may_ask(self, signature: str) -> bool:
        return self._missed.get(signature, (0, 0.0))[1] <= time.monotonic()

    def missed(self, signature: str) -> None:
        times = self._missed.get(signature, (0, 0.0))[0] + 1
        doublings = min(max(0, times - _ASKED_AT_ONCE), _MOST_DOUBLINGS)
        pause_seconds = 0.0 if times <= _ASKED_AT_ONCE else 2.0**doublings
        self._missed[signature] = (times, time.monotonic() + pause_seconds)

    def found(self, signature: str) -> None:
        self._missed.pop(signature, None)


class Hydrator:
    """Asks providers for transactions and accounts, each until one can be believed."""

    def __init__(self, providers: Providers, pool: Pool, watch: Watch, rules: Rules) -> None:
        self._providers = providers
        self._pool = pool
        self._watch = watch
        self._rules = rules
        self._patience = _Patience()

    async def account(self, address: Pubkey, *, min_context_slot: Slot | None = None) -> AccountAt:
        """An account, from the first provider that answers. Raises what the last one raised."""
        *first, last = self._asked()
        for one in first:
            try:
                return await one.rpc.account(address, min_context_slot=min_context_slot)
            except (RpcUnavailable, RpcRefused) as error:
                _log.info("next_provider", provider=one.name, problem=str(error))
        return await last.rpc.account(address, min_context_slot=min_context_slot)

    @property
    def belief(self) -> Belief:
        """When the word of whoever is asked first is enough."""
        alone = self._needs_no_other
        return Belief(
            verify_signatures=self._rules.verify_signatures,
            most_microusdc=None if alone else self._rules.quorum_above_microusdc,
        )

    async def heard(self, signature: str) -> Heard | None:
        """What whoever is asked first says, believed or not; None when there is nothing to hear."""
        if not self._patience.may_ask(signature):
            return None
        first = self._asked()[0]
        try:
            text = await first.rpc.transaction_text(signature)
        except (RpcUnavailable, RpcRefused):
            return None
        return None if text is None else Heard(provider=first.name, text=text)

    def found(self, signature: str) -> None:
        """It is read: nobody waits for it any more."""
        self._patience.found(signature)

    async def believed(self, signature: str, heard: Heard | None = None) -> Telling | None:
        """A transaction as it is believed; None while nobody, or not yet enough of them, has it.

        `heard` is what one of them has said of it already.
        Raises `Unreadable` when nobody tells one that can be read or two contradict each other,
        `RpcUnavailable` and `RpcRefused` when nobody answers.
        """
        if not self._patience.may_ask(signature):
            return None
        tellings: list[Telling] = []
        trouble: Unreadable | RpcUnavailable | RpcRefused | None = None
        for provider in self._asked():
            try:
                told = await self._ask(provider, signature, heard)
            except (Unreadable, RpcUnavailable, RpcRefused) as error:
                trouble = _graver(trouble, error)
                continue
            if told is None:
                continue
            tellings.append(told)
            agreed = [one for one in tellings if one.meaning == told.meaning]
            if len(agreed) >= self._needed(tellings):
                self._patience.found(signature)
                return agreed[0]
        return await self._undecided(signature, tellings, trouble)

    def _asked(self) -> Sequence[Provider]:
        """Everybody who can be asked; who does not read newer transactions comes last."""
        if self._providers.single_source:
            return (self._providers.lead,)
        ranked = (self._providers.lead, *self._providers.others)
        return sorted(ranked, key=lambda one: Distrust.OLD_TRANSACTIONS_ONLY in one.distrust)

    @property
    def _needs_no_other(self) -> bool:
        return self._providers.single_source and self._rules.single_source

    def _needed(self, tellings: Sequence[Telling]) -> int:
        if self._needs_no_other:
            return 1
        largest = max(one.read.credit_microusdc for one in tellings)
        burned = any(one.burns_unsigned(self._watch.deployment.program_id) for one in tellings)
        return QUORUM if largest > self._rules.quorum_above_microusdc or burned else 1

    async def _ask(self, provider: Provider, signature: str, heard: Heard | None) -> Telling | None:
        try:
            said = heard if heard is not None and heard.provider == provider.name else None
            answer = said and said.answer()
            if answer is None:
                answer = await provider.rpc.transaction(signature)
        except RpcRefused as refused:
            if refused.error_code == UNSUPPORTED_VERSION:
                raise Unreadable(signature=signature, problem=refused.text) from None
            raise
        if answer is None:
            return None
        try:
            if self._rules.verify_signatures:
                check_signed(answer, signature=signature)
            read = decode(answer, signature=signature, watch=self._watch)
        except Fabricated as fabricated:
            await self._distrust(provider, signature, fabricated)
            raise
        return Telling(provider=provider.name, answer=answer, read=read)

    async def _undecided(
        self,
        signature: str,
        tellings: Sequence[Telling],
        trouble: Unreadable | RpcUnavailable | RpcRefused | None,
    ) -> None:
        if len(tellings) >= QUORUM:
            names = ", ".join(one.provider for one in tellings)
            problem = f"they tell it differently: {names}"
            await self._tell(IncidentKind.CONTRADICTED, signature, problem)
            raise Unreadable(signature=signature, problem=problem)
        self._patience.missed(signature)
        if tellings:
            _log.warning("second_provider_wanted", signature=signature, told=tellings[0].provider)
            return
        if trouble is not None:
            raise trouble

    async def _distrust(self, provider: Provider, signature: str, why: Fabricated) -> None:
        provider.distrust |= {Distrust.FABRICATES}
        problem = f"{provider.name}: {why}"
        await self._tell(IncidentKind.FABRICATED, f"{provider.name} {signature}", problem)

    async def _tell(self, kind: IncidentKind, reference: str, detail: str) -> None:
        _log.error("provider_not_believed", kind=kind, reference=reference, detail=detail)
        async with transaction(self._pool) as tx:
            await store.open_incident(
                tx, self._watch.cluster, kind, reference=reference, detail=detail
            )


def _graver(
    known: Unreadable | RpcUnavailable | RpcRefused | None,
    new: Unreadable | RpcUnavailable | RpcRefused,
) -> Unreadable | RpcUnavailable | RpcRefused:
    """What was told and could not be read counts more than an answer nobody got."""
    return known if isinstance(known, Unreadable) else new
