"""What providers have proven, kept in Postgres: the only thing a frontier moves on.

A proof is one provider's whole listing of an address up to a slot. A frontier moves to the highest
slot that two proofs stand for, never past a signature that is not final, in one database
transaction with the compare-and-swap. What one provider lists and another does not keeps the
other's listing from being a proof; when that lasts, a person is told which provider it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from indexer import store
from indexer.providers import Provider, Providers
from indexer.source import Listing, Sighting
from indexer.store import IncidentKind
from settlement.chain.signatures import signature_bytes, signature_text
from settlement.db.pool import Pool, ReadConn, Tx, transaction
from settlement.db.sql import load
from settlement.money import Slot
from settlement.reconcile import frontier

_SQL: Final = load("indexer", "evidence.sql")
# A provider that has lost a whole history is told by its newest part.
_MOST_MISSING: Final = 1_000
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """How far apart one provider's two proofs are, and how long a lagging index is waited for."""

    settle_slots: int = 2
    patience_slots: int = 32


async def remember(
    pool: Pool, cluster: str, provider: str, listings: Sequence[Listing], doubt: Doubt
) -> bool:
    """Keep a provider's listings: whole ones as proofs, else what is missing; whether all are."""
    whole = True
    async with transaction(pool) as tx:
        for listing in listings:
            missing = listing.missing - await _excused(tx, cluster, provider, listing)
            if missing:
                whole = False
                await _remember_missing(tx, cluster, provider, listing, missing)
                await _tell(tx, cluster, provider, listing, doubt)
                continue
            proof = (listing.floor, listing.slot, listing.signatures, listing.digest)
            key = (cluster, listing.address, provider)
            await tx.execute(_SQL["remember_whole"], *key, *proof, doubt.settle_slots)
    return whole


@dataclass(frozen=True, kw_only=True)
class Advance:
    """How frontiers may move. `single`: two proofs of one provider are enough."""

    single: bool
    start_slot: Slot  # nothing of ours is older
    doubt: Doubt


async def advance(
    pool: Pool, cluster: str, before: Mapping[str, Slot | None], how: Advance
) -> None:
    """Move each address's frontier from where it was as far as proofs and final states allow.

    Raises `FrontierMoved`.
    """
    async with transaction(pool) as tx:
        for address, current in before.items():
            at = how.start_slot - 1 if current is None else current
            proven: int | None = await tx.fetchval(
                _SQL["proven"], cluster, address, at, how.single, how.doubt.settle_slots
            )
            if proven is None or proven <= at:
                continue
            unfinished = await store.lowest_open(tx, cluster, address, to=Slot(proven))
            reached = proven if unfinished is None else unfinished - 1
            if reached > at:
                await frontier.advance(tx, cluster, address, expected=current, to=Slot(reached))


async def remember_providers(pool: Pool, cluster: str, providers: Providers) -> None:
    """Keep what they are like, for people to see."""
    lead = providers.lead if any(one.usable for one in providers.all) else None
    async with transaction(pool) as tx:
        for one in providers.all:
            await _remember_provider(tx, cluster, providers, one, leads=one is lead)
        await tx.execute(_SQL["forget_providers"], cluster, [one.name for one in providers.all])


async def count_unlisted(conn: ReadConn, cluster: str) -> int:
    """How many signatures the frontiers wait for because providers do not agree."""
    return int(await conn.fetchval(_SQL["count_unlisted"], cluster))


async def _excused(
    conn: ReadConn, cluster: str, provider: str, listing: Listing
) -> frozenset[Sighting]:
    if not listing.missing:
        return frozenset()
    rows = await conn.fetch(
        _SQL["excused"], cluster, listing.address, provider, listing.floor, listing.slot
    )
    return frozenset((Slot(row["slot"]), signature_text(row["signature"])) for row in rows)


async def _remember_missing(
    tx: Tx, cluster: str, provider: str, listing: Listing, missing: frozenset[Sighting]
) -> None:
    key = (cluster, listing.address, provider)
    newest = sorted(missing, reverse=True)[:_MOST_MISSING]
    signatures = [signature_bytes(signature) for _, signature in newest]
    slots = [slot for slot, _ in newest]
    await tx.execute(_SQL["remember_missing"], *key, listing.slot, signatures, slots)
    _log.warning(
        "listings_disagree", provider=provider, address=listing.address, missing=len(missing)
    )
    bounds = (listing.floor, listing.slot)
    if len(newest) == len(missing):
        await tx.execute(_SQL["remember_listed"], *key, *bounds, signatures)


async def _tell(tx: Tx, cluster: str, provider: str, listing: Listing, doubt: Doubt) -> None:
    """Open an incident for what has been missing for long: no index lags that much."""
    rows = await tx.fetch(
        _SQL["missing_for_long"],
        cluster,
        listing.address,
        provider,
        listing.slot,
        doubt.patience_slots,
    )
    for row in rows:
        signature = signature_text(row["signature"])
        detail = (
            f"{provider} does not list it for {listing.address} at slot {row['slot']},"
            f" asked from slot {row['since_slot']} to {listing.slot}; another provider does,"
            " or it did itself before"
        )
        await store.open_incident(
            tx,
            cluster,
            IncidentKind.UNLISTED,
            reference=f"{provider} {signature}",
            detail=detail,
        )


async def _remember_provider(
    tx: Tx, cluster: str, providers: Providers, one: Provider, *, leads: bool
) -> None:
    await tx.execute(
        _SQL["remember_provider"],
        cluster,
        one.name,
        providers.distrust(one),
        one.version,
        one.first_block,
        one.slot,
        one.lag_slots,
        int(one.experience.latency_seconds * 1_000),
        int(one.experience.error_rate * 1_000),
        leads,
        one.demoted,
        one.experience.last_problem,
    )
