"""What the coordinator reads from and writes to its own tables; the queries are in `.sql`.

Credentials come in here as their SHA-256 and nothing else: `fingerprint` is the only way in.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from settlement.charges import Delivered
from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.money import MicroUsdc

_SQL = load("coordinator", "coordinator.sql")
# What is delivered is settled within moments; a request runs for minutes at most.
_SETTLING = timedelta(minutes=15)
_LONGEST_REQUEST = timedelta(hours=1)


def fingerprint(credential: str) -> bytes:
    """What is stored of a credential. They are random and long, so a plain hash is enough."""
    return hashlib.sha256(credential.encode()).digest()


@dataclass(frozen=True, kw_only=True)
class User:
    """Who a token belongs to."""

    user_id: UUID
    deposit_code: bytes


@dataclass(frozen=True, kw_only=True)
class Host:
    """An operator, without its credentials."""

    provider_id: UUID
    display_name: str
    wallet: str
    code: str
    enrolled_at: datetime
    has_key: bool
    retiring_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class NewHost:
    """What enrollment writes down."""

    provider_id: UUID
    host_token_sha256: bytes
    display_name: str
    wallet: str
    contact_email: str | None
    code: str
    enrolled_at: datetime


@dataclass(frozen=True, kw_only=True)
class RoutingFacts:
    """What matching needs to know of an operator."""

    provider_id: UUID
    enrolled_at: datetime
    retiring_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Earning:
    """One settled request, as its operator sees it."""

    request_id: UUID
    model: str
    input_tokens: int
    output_tokens: int
    gross_microusdc: MicroUsdc
    ended_at: datetime


async def add_user(
    tx: Tx, *, token_sha256: bytes, user_id: UUID, deposit_code: bytes, created_at: datetime
) -> None:
    """Remember a new user."""
    await tx.execute(_SQL["add_user"], token_sha256, user_id, deposit_code, created_at)


async def user(conn: ReadConn, token_sha256: bytes) -> User | None:
    """The user a token belongs to."""
    row = await conn.fetchrow(_SQL["get_user"], token_sha256)
    return None if row is None else User(**row)


async def add_host(tx: Tx, host: NewHost) -> None:
    """Remember a new operator."""
    await tx.execute(
        _SQL["add_host"],
        host.provider_id,
        host.host_token_sha256,
        host.display_name,
        host.wallet,
        host.contact_email,
        host.code,
        host.enrolled_at,
    )


async def host(conn: ReadConn, host_token_sha256: bytes) -> Host | None:
    """The operator a host token belongs to."""
    row = await conn.fetchrow(_SQL["get_host"], host_token_sha256)
    return None if row is None else Host(**row)


async def provider_of_key(conn: ReadConn, pubkey: bytes) -> tuple[UUID, str] | None:
    """The operator an agent's key is bound to, and its code."""
    row = await conn.fetchrow(_SQL["get_host_by_key"], pubkey)
    return None if row is None else (row["provider_id"], row["code"])


async def lock_host_by_code(tx: Tx, code: str) -> tuple[UUID, bytes | None] | None:
    """The operator an enrollment code belongs to, and the key it has."""
    row = await tx.fetchrow(_SQL["lock_host_by_code"], code)
    return None if row is None else (row["provider_id"], row["agent_pubkey"])


async def bind_key(tx: Tx, provider_id: UUID, pubkey: bytes, now: datetime) -> None:
    """Make this the one key of the operator's agent."""
    await tx.execute(_SQL["bind_key"], provider_id, pubkey, now)


async def lock_retiring(tx: Tx, provider_id: UUID) -> datetime | None:
    """Since when the operator is leaving, by its own word; locked until the transaction ends."""
    return await tx.fetchval(_SQL["lock_retiring"], provider_id)


async def set_retiring(tx: Tx, provider_id: UUID) -> datetime:
    """Route nothing new to the operator; since when that is so, by the database's clock."""
    since: datetime = await tx.fetchval(_SQL["set_retiring"], provider_id)
    return since


async def clear_retiring(tx: Tx, provider_id: UUID) -> None:
    """The operator serves again."""
    await tx.execute(_SQL["clear_retiring"], provider_id)


async def routing_facts(conn: ReadConn, providers: Iterable[UUID]) -> list[RoutingFacts]:
    """What matching needs to know of these operators."""
    rows = await conn.fetch(_SQL["get_routing_facts"], list(providers))
    return [RoutingFacts(**row) for row in rows]


async def write_requests(tx: Tx, rows: Sequence[tuple[object, ...]]) -> None:
    """Write rows of the request log, new or further along; each request at most once."""
    await tx.execute(_SQL["write_requests"], *(list(column) for column in zip(*rows, strict=True)))


async def uncharged(conn: ReadConn, alive_at: datetime) -> tuple[list[Delivered], list[UUID]]:
    """Requests that the books do not have, by an earlier life that was last seen alive then.

    Those that were delivered, and those that were not: an answer that is not streamed is given to
    its user once it is settled. What came to its end a while before then was settled too.
    """
    since = alive_at - _SETTLING
    rows = await conn.fetch(_SQL["get_uncharged"], _first_id(since - _LONGEST_REQUEST), since)
    delivered = [
        Delivered(
            request_id=row["request_id"],
            user_id=row["user_id"],
            provider_id=row["provider_id"],
            gross_microusdc=row["gross_microusdc"],
            delivered_at=row["ended_at"],
        )
        for row in rows
        if row["streamed"]
    ]
    return delivered, [row["request_id"] for row in rows if not row["streamed"]]


def _first_id(moment: datetime) -> UUID:
    """Smaller than every version-7 id of this moment and later."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


async def mark_interrupted(tx: Tx, unpaid: Sequence[UUID], now: datetime) -> int:
    """Finish the rows an earlier life of this process left open; how many nobody paid for."""
    rows = await tx.fetch(_SQL["mark_interrupted"], list(unpaid), now)
    return sum(row["outcome"] == "unsettled" for row in rows)


async def earnings(conn: ReadConn, provider_id: UUID, *, before: UUID, limit: int) -> list[Earning]:
    """Settled requests of an operator, newest first, older than `before`."""
    rows = await conn.fetch(_SQL["get_transactions"], provider_id, before, limit)
    return [Earning(**row) for row in rows]
