"""A node made of hand-built answers, and the follower over it. Faults are attributes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solders.pubkey import Pubkey

from indexer import store
from indexer.follow import Follower, Pace
from indexer.hydration import Rules
from indexer.metrics import Meters
from indexer.providers import Provider, Providers
from indexer.source import Watched
from settlement.chain.answers import AccountAt, Commitment, SignatureInfo
from settlement.chain.rpc import RpcRefused, RpcUnavailable
from settlement.db.pool import Pool, transaction
from settlement.ledger.operations import Writer
from settlement.ledger.store import open_writer
from settlement.money import Slot
from tests.pure.transactions import DEPLOYMENT, WATCH, Answer, Json, key

PAYER = key("payer")
WATCHED = (
    Watched(address=DEPLOYMENT.till_vault, purpose="till_vault"),
    Watched(address=DEPLOYMENT.bond_vault, purpose="bond_vault"),
    Watched(address=DEPLOYMENT.payouts, purpose="payouts"),
    Watched(address=PAYER, purpose="fee_payer"),
    Watched(address=DEPLOYMENT.program_id, purpose="program", orders=True),
)
PACE = Pace(
    poll_seconds=0,
    verify_seconds=0,
    overlap_slots=4,
    settle_slots=1,
    patience_slots=3,
    book_page=3,
    unreadable_again_seconds=0,
)
# Nobody has signed what is made by hand.
RULES = Rules(verify_signatures=False, single_source=True)


@dataclass
class FakeNode:
    """Finalized transactions in the order of the chain, up to `tip`."""

    answers: dict[str, Json] = field(default_factory=dict[str, Json])
    tip: int = 0
    genesis: str = "genesis"
    first_block: int = 0
    ignores_min_context_slot: bool = False
    ignores_cursors: bool = False
    page: int = 1_000
    missing: set[str] = field(default_factory=set[str])
    hidden: set[str] = field(default_factory=set[str])  # from listings
    lists_at: dict[str, int] = field(default_factory=dict[str, int])  # another slot
    refused: dict[str, int] = field(default_factory=dict[str, int])
    away: bool = False
    forgets_cursors: bool = False
    shuffled: bool = False
    accounts_held: dict[Pubkey, AccountAt] = field(default_factory=dict[Pubkey, AccountAt])
    asked: list[str] = field(default_factory=list[str])

    def add(self, *made: Answer) -> None:
        """Append transactions; the tip follows."""
        for one in made:
            self.answers[one.signature] = one.json()
            self.tip = max(self.tip, one.slot)

    async def genesis_hash(self) -> str:
        self._here("genesis_hash")
        return self.genesis

    async def node_version(self) -> str:
        self._here("node_version")
        return "4.0.0"

    async def first_available_block(self) -> Slot:
        self._here("first_available_block")
        return Slot(self.first_block)

    async def slot(self) -> Slot:
        self._here("slot")
        return Slot(self.tip)

    async def signatures_for(
        self,
        address: Pubkey,
        *,
        before: str | None = None,
        min_context_slot: Slot | None = None,
        limit: int = 1_000,
        commitment: Commitment = Commitment.FINALIZED,
    ) -> tuple[SignatureInfo, ...]:
        self._here("signatures_for")
        ahead = min_context_slot is not None and min_context_slot > self.tip
        if ahead and not self.ignores_min_context_slot:
            raise RpcUnavailable(problem="minimum context slot", error_code=-32016)
        listed = [
            _info(signature, answer, self.lists_at.get(signature))
            for signature, answer in reversed(self.answers.items())
            if str(address) in _keys(answer)
            and answer["slot"] <= self.tip
            and signature not in self.hidden
        ]
        listed.sort(key=lambda info: -info.slot)
        if self.shuffled:
            listed.reverse()
        if before is not None and not self.ignores_cursors:
            if self.forgets_cursors:
                return ()
            names = [info.signature for info in listed]
            if before not in names:
                raise _refused(-32020)
            listed = listed[names.index(before) + 1 :]
        return tuple(listed[: min(limit, self.page)])

    async def transaction(
        self, signature: str, *, commitment: Commitment = Commitment.FINALIZED
    ) -> dict[str, object] | None:
        self._here(f"transaction {signature}")
        if signature in self.refused:
            raise _refused(self.refused[signature])
        return None if signature in self.missing else self.answers.get(signature)

    async def transaction_text(self, signature: str) -> bytes | None:
        found = await self.transaction(signature)
        return None if found is None else json.dumps(found).encode()

    async def account(self, address: Pubkey, *, min_context_slot: Slot | None = None) -> AccountAt:
        self._here("account")
        return self.accounts_held.get(address, AccountAt(slot=Slot(self.tip), account=None))

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        self._here("accounts")
        nothing = AccountAt(slot=Slot(self.tip), account=None)
        return tuple(self.accounts_held.get(address, nothing) for address in addresses)

    def _here(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise RpcUnavailable(problem="away")


def _refused(code: int) -> RpcRefused:
    return RpcRefused(method="test", error_code=code, text="refused")


def _keys(answer: Json) -> set[str]:
    keys: list[str] = answer["transaction"]["message"]["accountKeys"]
    loaded: dict[str, list[str]] = answer["meta"]["loadedAddresses"]
    return {*keys, *loaded["writable"]}


def _info(signature: str, answer: Json, other_slot: int | None) -> SignatureInfo:
    return SignatureInfo(
        signature=signature,
        slot=Slot(answer["slot"] if other_slot is None else other_slot),
        failed=answer["meta"]["err"] is not None,
        block_time=answer["blockTime"],
    )


def follower(
    node: FakeNode,
    pool: Pool,
    writer: Writer,
    *,
    cluster: str = WATCH.cluster,
    pace: Pace = PACE,
) -> Follower:
    """A new life of the indexer over this node alone."""
    provider = Provider(name="node", rpc=node)
    return follower_of([provider], pool, writer, cluster=cluster, pace=pace)


def follower_of(
    providers: Sequence[Provider],
    pool: Pool,
    writer: Writer,
    *,
    cluster: str = WATCH.cluster,
    rules: Rules = RULES,
    pace: Pace = PACE,
) -> Follower:
    """A new life of the indexer over these providers, the first one leading."""
    return Follower(
        providers=Providers(providers),
        pool=pool,
        writer=writer,
        watch=replace(WATCH, cluster=cluster),
        watched=WATCHED,
        pace=pace,
        rules=rules,
        meters=Meters(),
    )


async def claim(pool: Pool, cluster: str = WATCH.cluster) -> Writer:
    """What the process does before it follows."""
    async with transaction(pool) as tx:
        await store.claim_cluster(
            tx,
            cluster,
            genesis_hash="genesis",
            program_id=DEPLOYMENT.program_id,
            mint=DEPLOYMENT.mint,
        )
        await store.watch(tx, cluster, {str(one.address): one.purpose for one in WATCHED})
    return await open_writer(pool, "indexer")
