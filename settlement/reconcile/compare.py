"""Do the books equal the chain? Compared at one slot, exactly, and never corrected here.

The vaults are read in one answer of one node at finalized, which names its slot C. Then we wait
until both frontiers stand at C or above: every movement up to C is in the books. What the books say
each vault held at C must equal what it held. Anything that keeps us from knowing is `NoData`, an
error, and never "equal". The result is stored either way, and a difference halts payouts.
"""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

import structlog
from solders.pubkey import Pubkey

from settlement.chain.answers import AccountAt
from settlement.chain.movement import Vault
from settlement.chain.program import Deployment
from settlement.chain.tokens import NotATokenAccount, token_account_at
from settlement.clock import Clock, new_id
from settlement.db.pool import Pool, ReadConn, reading, transaction
from settlement.db.sql import load
from settlement.errors import Unavailable
from settlement.ledger import store as ledger
from settlement.ledger.accounts import chain_vault
from settlement.money import Slot
from settlement.payouts.halt import halt
from settlement.reconcile import frontier

_SQL = load("settlement.reconcile", "reconcile.sql")
HALT_REASON: Final = "reconcile"
_FRONTIER_POLL_SECONDS = 0.1
_WANTED_EVERY = 10  # polls
_log = structlog.stdlib.get_logger()


class NoData(Unavailable):
    """The books and the chain could not be compared."""


class VaultReader(Protocol):
    """What comparing needs of a node; `RpcClient` is one. Reads at finalized, in one answer."""

    @property
    def sources(self) -> int: ...

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]: ...


class Verdict(StrEnum):
    """How a comparison ended."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NO_DATA = "no_data"


@dataclass(frozen=True, kw_only=True)
class VaultLine:
    """One vault at the slot: what it held, what the books say it held. Microunits."""

    vault: Vault
    address: str
    books_microusdc: int
    chain_microusdc: int

    @property
    def difference_microusdc(self) -> int:
        """Chain − books: above zero, the vault holds more than the books know of."""
        return self.chain_microusdc - self.books_microusdc


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """Both vaults compared at one finalized slot."""

    run_id: UUID
    cluster: str
    slot: Slot
    lines: tuple[VaultLine, ...]
    sources: int  # how many nodes could have been asked: with 1, the chain side is single-source
    started_at: datetime
    finished_at: datetime

    @property
    def verdict(self) -> Verdict:
        """Equal only if every vault is, to the microunit."""
        equal = all(line.difference_microusdc == 0 for line in self.lines)
        return Verdict.EQUAL if equal else Verdict.DIFFERENT

    def as_json(self) -> dict[str, object]:
        """What `--json` prints."""
        return {
            "slot": self.slot,
            "verdict": self.verdict.value,
            "sources": self.sources,
            "vaults": [
                {
                    "name": line.vault.value,
                    "address": line.address,
                    "books": line.books_microusdc,
                    "chain": line.chain_microusdc,
                    "difference": line.difference_microusdc,
                }
                for line in self.lines
            ],
        }


async def compare(
    pool: Pool,
    chain: VaultReader,
    *,
    cluster: str,
    deployment: Deployment,
    clock: Clock,
    patience_seconds: float = 60.0,
) -> Reconciliation:
    """Compare now, waiting up to `patience_seconds` for the indexer to reach the slot.

    Raises `NoData`, and `RpcUnavailable` when no node answers.
    """
    started_at = clock.now()
    addresses = {Vault.TILL: deployment.till_vault, Vault.BOND: deployment.bond_vault}
    found = await chain.accounts(list(addresses.values()))
    slot = found[0].slot
    held: dict[Vault, int] = {}
    for vault, at in zip(addresses, found, strict=True):
        try:
            held[vault] = token_account_at(at).account.amount
        except NotATokenAccount as error:
            raise NoData(vault=vault.value, problem="the vault is not there") from error
    await _wait_for_frontier(
        pool, cluster, [str(address) for address in addresses.values()], slot, patience_seconds
    )
    async with reading(pool) as conn:
        lines = [
            VaultLine(
                vault=vault,
                address=str(address),
                books_microusdc=await _books(conn, vault, slot),
                chain_microusdc=held[vault],
            )
            for vault, address in addresses.items()
        ]
    return Reconciliation(
        run_id=new_id(clock),
        cluster=cluster,
        slot=slot,
        lines=tuple(lines),
        sources=chain.sources,
        started_at=started_at,
        finished_at=clock.now(),
    )


async def _books(conn: ReadConn, vault: Vault, slot: Slot) -> int:
    account = await ledger.balance_at_slot(conn, chain_vault(vault), slot)
    # A vault is an asset: what it holds stands on the debit side.
    return -account.net_microusdc


async def _wait_for_frontier(
    pool: Pool, cluster: str, addresses: list[str], slot: Slot, patience_seconds: float
) -> None:
    loop = asyncio.get_running_loop()
    deadline_seconds = loop.time() + patience_seconds
    for turn in itertools.count():
        async with reading(pool) as conn:
            reached = await frontier.read(conn, cluster)
            if turn % _WANTED_EVERY == 0:
                await frontier.want(conn, cluster)
        behind = [address for address in addresses if reached.get(address, Slot(-1)) < slot]
        if not behind:
            return
        if loop.time() >= deadline_seconds:
            stands = min((reached.get(address, Slot(-1)) for address in behind), default=Slot(-1))
            raise NoData(problem="the indexer has not read that far", slot=slot, stands_at=stands)
        await asyncio.sleep(_FRONTIER_POLL_SECONDS)


async def record(pool: Pool, found: Reconciliation) -> None:
    """Store a result; a difference halts payouts in the same transaction."""
    async with transaction(pool) as tx:
        await tx.execute(
            _SQL["add_run"],
            found.run_id,
            found.cluster,
            found.started_at,
            found.finished_at,
            found.verdict,
            None,
            found.sources,
        )
        for line in found.lines:
            await tx.execute(
                _SQL["add_line"],
                found.run_id,
                line.vault,
                line.address,
                found.slot,
                line.books_microusdc,
                line.chain_microusdc,
                line.difference_microusdc,
            )
        if found.verdict is Verdict.DIFFERENT:
            told = ", ".join(
                f"{line.vault.value} {line.difference_microusdc:+d}" for line in found.lines
            )
            _log.error("reconcile_differs", slot=found.slot, differences=told)
            await halt(tx, HALT_REASON, f"at slot {found.slot}: {told}")


async def record_no_data(
    pool: Pool, *, cluster: str, problem: str, sources: int, started_at: datetime, clock: Clock
) -> None:
    """Store that a comparison was not possible, and why."""
    async with transaction(pool) as tx:
        await tx.execute(
            _SQL["add_run"],
            new_id(clock),
            cluster,
            started_at,
            clock.now(),
            Verdict.NO_DATA,
            problem,
            sources,
        )
