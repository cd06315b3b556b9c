"""Nodes that also say what the vaults hold, and serve blocks; a keeper and a follower over them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from solders.pubkey import Pubkey

from indexer.checkpoint import CheckpointPace, Keeper
from indexer.decode import decode
from indexer.follow import Follower, Round
from indexer.hydration import Hydrator
from indexer.metrics import Meters
from indexer.providers import Provider, Providers
from indexer.rescan import Effort, Rescan
from indexer.trust import Ceilings
from settlement.chain.answers import Account, AccountAt
from settlement.chain.blocks import BlockLine
from settlement.chain.movement import Vault
from settlement.chain.program import TOKEN_PROGRAM
from settlement.chain.rpc import RpcUnavailable
from settlement.db.pool import Pool
from settlement.ledger.operations import Writer
from settlement.money import Lamports, Slot
from tests.database.indexer.node import PACE, RULES, WATCHED, FakeNode
from tests.pure.transactions import DEPLOYMENT, WATCH, Answer, Json

ORDERS = [str(one.address) for one in WATCHED if one.orders]
VAULTS = [str(WATCH.address(vault)) for vault in Vault]
OFTEN = CheckpointPace(every_seconds=0, again_seconds=0)


@dataclass
class VaultNode(FakeNode):
    """Says what the vaults hold at its tip. Its lies are attributes."""

    lies: dict[Vault, int] = field(default_factory=dict[Vault, int])
    silent: bool = False  # about balances
    blockless: bool = False  # does not serve blocks
    blocks_read: list[int] = field(default_factory=list[int])
    invented: dict[int, str] = field(default_factory=dict[int, str])  # lines of blocks, by slot

    async def account(self, address: Pubkey, *, min_context_slot: Slot | None = None) -> AccountAt:
        vault = WATCH.vault(address)
        if vault is None:
            return await super().account(address, min_context_slot=min_context_slot)
        self._here("balance")
        if self.silent:
            raise RpcUnavailable(problem="silent")
        amount = self.holds(vault) + self.lies.get(vault, 0)
        return AccountAt(slot=Slot(self.tip), account=_token_account(amount))

    def holds(self, vault: Vault) -> int:
        """What is really there."""
        return sum(
            move.change(vault)
            for signature, one in self.answers.items()
            if one["slot"] <= self.tip
            for move in decode(one, signature=signature, watch=WATCH).movements
        )

    async def blocks(self, first: Slot, last: Slot) -> tuple[Slot, ...]:
        self._here("blocks")
        if self.blockless:
            raise RpcUnavailable(problem="no blocks")
        return tuple(Slot(slot) for slot in range(first, min(last, self.tip) + 1))

    async def block_lines(self, slot: Slot) -> tuple[BlockLine, ...]:
        self.blocks_read.append(slot)
        lines = [
            BlockLine(signature=name, failed=one["meta"]["err"] is not None, addresses=_named(one))
            for name, one in self.answers.items()
            if one["slot"] == slot
        ]
        if slot in self.invented:
            ours = frozenset(VAULTS)
            lines.insert(0, BlockLine(signature=self.invented[slot], failed=False, addresses=ours))
        return tuple(lines)


def _named(answer: Json) -> frozenset[str]:
    loaded = answer["meta"]["loadedAddresses"]["writable"]
    return frozenset([*answer["transaction"]["message"]["accountKeys"], *loaded])


def _token_account(amount: int) -> Account:
    head = bytes(DEPLOYMENT.mint) + bytes(DEPLOYMENT.till_authority) + struct.pack("<Q", amount)
    data = head + bytes(36) + bytes([1]) + bytes(56)
    return Account(owner=TOKEN_PROGRAM, lamports=Lamports(1), data=data, executable=False)


@dataclass(kw_only=True)
class Life:
    """One life of the indexer: rounds, and the keeper's steps between them."""

    nodes: Sequence[VaultNode]
    keeper: Keeper
    follower: Follower
    ceilings: Ceilings
    meters: Meters
    last: Round | None = None

    async def round(self) -> Round:
        """What the process does again and again; the chain goes on by a slot."""
        last = self.last
        await self.keeper.step(
            None if last is None else last.slot, {} if last is None else last.frontiers
        )
        self.last = await self.follower.round()
        for node in self.nodes:
            node.tip += 1
        return self.last

    async def rounds(self, number: int = 6) -> Round:
        """So many that a comparison is begun and ended in them."""
        now = await self.round()
        for _ in range(number - 1):
            now = await self.round()
        return now


def life(
    nodes: Sequence[VaultNode],
    pool: Pool,
    writer: Writer,
    *,
    pace: CheckpointPace = OFTEN,
    effort: Effort | None = None,
) -> Life:
    """A new life over these nodes; the first of them leads."""
    names = ["lead", "second", "third"]
    providers = Providers(
        [Provider(name=name, rpc=node) for name, node in zip(names, nodes, strict=False)]
    )
    ceilings, meters = Ceilings(VAULTS, ORDERS), Meters()
    node = Hydrator(providers, pool, WATCH, RULES)
    rescan = Rescan(providers=providers, node=node, pool=pool, watched=WATCHED, effort=effort)
    return Life(
        nodes=nodes,
        ceilings=ceilings,
        meters=meters,
        keeper=Keeper(
            providers=providers,
            node=node,
            pool=pool,
            watch=WATCH,
            ceilings=ceilings,
            rescan=rescan,
            meters=meters,
            pace=pace,
        ),
        follower=Follower(
            providers=providers,
            pool=pool,
            writer=writer,
            watch=WATCH,
            watched=WATCHED,
            pace=PACE,
            rules=RULES,
            meters=meters,
            ceilings=ceilings,
        ),
    )


def nodes(number: int, *made: Answer) -> list[VaultNode]:
    """Nodes of one chain, each with its own view of it."""
    answers: dict[str, Json] = {}
    found = [VaultNode(answers=answers) for _ in range(number)]
    add(found, *made)
    return found


def add(all_nodes: Sequence[VaultNode], *made: Answer) -> None:
    """Transactions that every node has."""
    for node in all_nodes:
        node.add(*made)
