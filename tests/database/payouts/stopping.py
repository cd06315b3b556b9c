"""A fuse in every statement and every call: after so many, the process is dead.

`Stopped` is no `Exception`, so nothing in the code under test can treat it as one: what happens
after it is what a kill -9 leaves. An open transaction is rolled back, a committed one stays.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, cast

from solders.pubkey import Pubkey

from settlement.chain.answers import AccountAt, Commitment, LatestBlockhash, SignatureStatus
from settlement.db.pool import Pool
from settlement.money import BlockHeight, Lamports
from tests.database.payouts.chain import FakeChain


class Stopped(BaseException):
    """The process was killed here."""


class Fuse:
    """Burns through after `steps` steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def burned(self) -> bool:
        return self.left < 0

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped


def stopping_pool(pool: Pool, fuse: Fuse) -> Pool:
    """The same pool, with the fuse in every statement and every commit."""
    return cast("Pool", _Pool(pool, fuse))


class _Pool:
    def __init__(self, pool: Pool, fuse: Fuse) -> None:
        self._pool = pool
        self._fuse = fuse

    def acquire(self) -> "_Acquired":
        return _Acquired(self._pool.acquire(), self._fuse)


class _Acquired:
    def __init__(self, acquired: Any, fuse: Fuse) -> None:  # noqa: ANN401
        self._acquired = acquired
        self._fuse = fuse

    async def __aenter__(self) -> "_Connection":
        return _Connection(await self._acquired.__aenter__(), self._fuse)

    async def __aexit__(self, *error: object) -> None:
        await self._acquired.__aexit__(*error)


class _Connection:
    def __init__(self, connection: Any, fuse: Fuse) -> None:  # noqa: ANN401
        self._connection = connection
        self._fuse = fuse

    def transaction(self, **options: object) -> "_Transaction":
        return _Transaction(self._connection.transaction(**options), self._fuse)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._connection, name)

        async def stepped(*arguments: object) -> object:
            answer = await method(*arguments)
            self._fuse.step()
            return answer

        return stepped


class _Transaction:
    def __init__(self, transaction: Any, fuse: Fuse) -> None:  # noqa: ANN401
        self._transaction = transaction
        self._fuse = fuse

    async def __aenter__(self) -> None:
        await self._transaction.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transaction.__aexit__(kind, error, trace)
        if kind is None:
            self._fuse.step()


class StoppingChain:
    """The same chain, with the fuse behind every call."""

    def __init__(self, chain: FakeChain, fuse: Fuse) -> None:
        self._chain = chain
        self._fuse = fuse

    async def latest_blockhash(
        self, commitment: Commitment = Commitment.CONFIRMED
    ) -> LatestBlockhash:
        answer = await self._chain.latest_blockhash(commitment)
        self._fuse.step()
        return answer

    async def block_height(self) -> BlockHeight:
        answer = await self._chain.block_height()
        self._fuse.step()
        return answer

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        answer = await self._chain.accounts(addresses)
        self._fuse.step()
        return answer

    async def balance(self, address: Pubkey) -> Lamports:
        answer = await self._chain.balance(address)
        self._fuse.step()
        return answer

    async def signature_statuses(
        self, signatures: Sequence[str]
    ) -> tuple[SignatureStatus | None, ...]:
        answer = await self._chain.signature_statuses(signatures)
        self._fuse.step()
        return answer

    async def recent_priority_fees(self, written: Sequence[Pubkey]) -> tuple[int, ...]:
        answer = await self._chain.recent_priority_fees(written)
        self._fuse.step()
        return answer

    async def send(self, transaction: bytes) -> str:
        answer = await self._chain.send(transaction)
        self._fuse.step()
        return answer
