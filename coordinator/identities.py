"""Who an agent's key belongs to (the decision table of wire.md §2.2).

key         code                        answer
bound to P  none, or P's                P
bound to P  another operator's          refused
unknown     of P, which has no key      bound to P from now on
unknown     of P, which has a key       refused: pairing again is how a key is changed
unknown     none, or unknown            refused
"""

from uuid import UUID

from coordinator import store
from coordinator.sessions import AgentRefused
from settlement.clock import Clock
from settlement.db.pool import Pool, Tx, transaction

ENROLLMENT_PREFIX = "POD-ENROLL-"
BOND_PREFIX = "POD-BOND-"


class StoredIdentities:
    """The table, over the database."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def identify(self, pubkey: bytes, code: str | None) -> UUID:
        """The provider this key belongs to. Raises `AgentRefused`."""
        async with transaction(self._pool) as tx:
            bound = await store.provider_of_key(tx, pubkey)
            if bound is None:
                return await self._bind(tx, pubkey, code)
            provider_id, own_code = bound
            if code is not None and code != ENROLLMENT_PREFIX + own_code:
                raise AgentRefused("the enrollment code is not this key's")
            return provider_id

    async def _bind(self, tx: Tx, pubkey: bytes, code: str | None) -> UUID:
        if code is None:
            raise AgentRefused("unknown key: pair this agent first")
        found = await store.lock_host_by_code(tx, code.removeprefix(ENROLLMENT_PREFIX))
        if found is None or not code.startswith(ENROLLMENT_PREFIX):
            raise AgentRefused("unknown enrollment code")
        provider_id, key = found
        if key is not None:
            raise AgentRefused("this operator's agent has another key: pair again to change it")
        await store.bind_key(tx, provider_id, pubkey, self._clock.now())
        return provider_id
