"""One cheap look at our accounts, for when no websocket would wake us.

A round asks once for each address. Between two rounds one call for all accounts at once says
whether any of them is another one than before the last round: money that moves changes the vault
that it moves. That nothing has changed proves nothing; the next round comes by its timer all the
same, for what mentions us without touching these accounts.
"""

from collections.abc import Sequence

from solders.pubkey import Pubkey

from indexer.providers import Providers
from settlement.chain.answers import Account
from settlement.chain.rpc import RpcRefused
from settlement.errors import Unavailable


class Glance:
    """What the accounts were when they were last looked at."""

    def __init__(self, providers: Providers, addresses: Sequence[Pubkey]) -> None:
        self._providers = providers
        self._addresses = addresses
        self._seen: tuple[Account | None, ...] | None = None

    async def remember(self) -> None:
        """Look, before a round, at what the round will find."""
        self._seen = await self._look()

    async def changed(self) -> bool:
        """Whether anything is not as it was, or nobody can say."""
        found = await self._look()
        return found is None or found != self._seen

    async def _look(self) -> tuple[Account | None, ...] | None:
        try:
            found = await self._providers.lead.rpc.accounts(self._addresses)
        except (Unavailable, RpcRefused):
            return None
        return tuple(one.account for one in found)
