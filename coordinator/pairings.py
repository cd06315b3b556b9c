"""Pairing: an agent shows a code, its operator claims it, the agent learns who it works for.

The agent has to receive the host token, of which we keep only a hash. So it is sealed, at the
claim, to a key derived from the poll token, which only the agent has; the database holds nothing
that opens it. The pairing keeps answering `active` until it expires, because there is no
acknowledgement and a lost answer would strand the operator (wire.md §3.2).
"""

import hashlib
import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from nacl.public import PrivateKey, PublicKey, SealedBox

from coordinator import store
from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.errors import Conflict, NotFound

_SQL = load("coordinator", "coordinator.sql")
LIFETIME = timedelta(minutes=10)
# Kept a while after their end, so that a late poll hears `expired` and not that it never was.
_REMEMBERED = timedelta(hours=1)
_LETTERS = string.ascii_uppercase + string.digits


class PairCodeUnknown(NotFound):
    """The pair code is unknown or has expired."""


class PairCodeTaken(Conflict):
    """The pair code was claimed by another operator."""


class AgentKeyTaken(Conflict):
    """This agent's key belongs to another operator; the agent needs an identity of its own."""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """What the agent gets to show and to poll with."""

    pair_code: str
    poll_token: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Active:
    """What the agent gets once its operator has claimed it."""

    host_token: str
    provider_id: UUID
    model_config: str  # JSON


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Not claimed yet."""

    pair_code: str


async def issue(tx: Tx, agent_pubkey: bytes, now: datetime) -> Issued:
    """Offer a new code for this key; a key that is bound already may be paired again."""
    await tx.execute(_SQL["forget_pairings"], now - _REMEMBERED)
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    issued = Issued(
        pair_code=f"{letters[:4]}-{letters[4:]}",
        poll_token=secrets.token_urlsafe(32),
        expires_at=now + LIFETIME,
    )
    await tx.execute(
        _SQL["add_pairing"],
        issued.pair_code,
        store.fingerprint(issued.poll_token),
        bytes(_sealing_key(issued.poll_token).public_key),
        agent_pubkey,
        now,
        issued.expires_at,
    )
    return issued


async def poll(conn: ReadConn, poll_token: str, now: datetime) -> Active | Pending | None:
    """What became of it; None once expired (or never known)."""
    row = await conn.fetchrow(_SQL["get_polled_pairing"], store.fingerprint(poll_token))
    if row is None or row["expires_at"] <= now:
        return None
    if row["provider_id"] is None:
        return Pending(pair_code=row["pair_code"])
    box = SealedBox(_sealing_key(poll_token))
    return Active(
        host_token=box.decrypt(row["sealed_host_token"]).decode(),
        provider_id=row["provider_id"],
        model_config=row["model_config"],
    )


async def keep_capabilities(tx: Tx, pair_code: str, capabilities: str) -> None:
    """Remember what the agent found on its machine, a JSON text."""
    await tx.execute(_SQL["set_capabilities"], pair_code, capabilities)


@dataclass(frozen=True, kw_only=True)
class Claimable:
    """A pairing that may be claimed, locked."""

    pair_code: str
    agent_pubkey: bytes
    sealing_key: bytes
    capabilities: str | None


async def claimable(tx: Tx, pair_code: str, provider_id: UUID, now: datetime) -> Claimable:
    """Lock a pairing this operator may claim.

    Raises `PairCodeUnknown`, `PairCodeTaken`, `AgentKeyTaken`: whoever knows a public key can ask
    for a code for it, so a key in use never changes hands this way.
    """
    row = await tx.fetchrow(_SQL["lock_pairing"], pair_code)
    if row is None or row["expires_at"] <= now:
        raise PairCodeUnknown(field="pair_code")
    if row["provider_id"] not in (None, provider_id):
        raise PairCodeTaken(field="pair_code")
    owner = await store.provider_of_key(tx, row["agent_pubkey"])
    if owner is not None and owner[0] != provider_id:
        raise AgentKeyTaken(field="pair_code")
    return Claimable(
        pair_code=pair_code,
        agent_pubkey=row["agent_pubkey"],
        sealing_key=row["sealing_key"],
        capabilities=row["capabilities"],
    )


async def claim(
    tx: Tx,
    pairing: Claimable,
    *,
    provider_id: UUID,
    host_token: str,
    model_config: str,
    now: datetime,
) -> None:
    """Bind the agent's key to the operator and let the agent know on its next poll."""
    sealed = SealedBox(PublicKey(pairing.sealing_key)).encrypt(host_token.encode())
    await store.bind_key(tx, provider_id, pairing.agent_pubkey, now)
    await store.clear_retiring(tx, provider_id)
    await tx.execute(
        _SQL["claim_pairing"], pairing.pair_code, provider_id, sealed, model_config, now
    )


def _sealing_key(poll_token: str) -> PrivateKey:
    return PrivateKey(hashlib.sha256(b"pairing\n" + poll_token.encode()).digest())
