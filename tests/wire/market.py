"""A whole marketplace in one event loop: the real coordinator, real books, scripted providers.

Only the chain is left out: deposits and bonds go into the books through the indexer's doors, as if
it had just seen them. The coordinator listens on a free port and is talked to over HTTP.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast
from uuid import UUID, uuid4

import aiohttp
from prometheus_client import CollectorRegistry
from solders.keypair import Keypair

from coordinator import app, config
from localnet.backend import Backend, serve
from localnet.backend_answers import Behaviour
from localnet.provider_agent import Agent, Backoff
from localnet.provider_config import parse_config
from localnet.provider_jobs import Defects
from localnet.provider_metrics import JobMetrics
from settlement import deposits
from settlement.bonds import lifecycle
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.db.pool import Pool, Tx, open_pool, reading, transaction
from settlement.ledger import store
from settlement.ledger.operations import AccountName, Operation, Writer
from settlement.money import MicroUsdc, Slot
from settlement.settings import SettingsReader
from tests.wire.waiting import eventually_true

Json = dict[str, object]
T = TypeVar("T")
BOND_MICROUSDC = MicroUsdc(50_000_000)
_SETTINGS = {
    "POD_COORDINATOR_LISTEN": "127.0.0.1:0",
    "POD_PUBLIC_URL": "http://coordinator.test",
    "POD_COORDINATOR_GRACE_SECONDS": "1",
    "POD_COORDINATOR_REGISTER_PER_MINUTE": "1000",
}


@dataclass(frozen=True, kw_only=True)
class User:
    """A registered user. `base_url` is what an OpenAI client is given."""

    token: str
    deposit_code: bytes
    base_url: str


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An enrolled operator."""

    provider_id: UUID
    host_token: str
    code: str
    wallet: str

    @property
    def authorization(self) -> dict[str, str]:
        """The header its own requests carry."""
        return {"Authorization": f"Bearer {self.host_token}"}


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An operator's agent at work, with the backend it serves from."""

    operator: Operator
    agent: Agent
    backend: Backend
    frames: list[tuple[str, str]]
    task: asyncio.Task[None]


@dataclass(kw_only=True)
class Market:
    """Everything a test of the wire starts from."""

    url: str
    http: aiohttp.ClientSession
    pool: Pool
    writer: Writer
    directory: Path
    stack: AsyncExitStack
    _slots: "itertools.count[int]" = field(default_factory=lambda: itertools.count(100))

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Json]:
        """One request; its status and its JSON."""
        async with self.http.request(
            method, f"{self.url}{path}", json=body, headers=headers
        ) as response:
            return response.status, cast(Json, await response.json())

    async def user(self, *, funds_microusdc: int = 0) -> User:
        """Register a user, and credit a deposit unless it is 0."""
        status, told = await self.call("POST", "/v1/register")
        assert status == 200, told
        token = str(told["api_token"])
        user = User(
            token=token,
            deposit_code=bytes.fromhex(str(told["deposit_code"])),
            base_url=f"{self.url}/proxy/{token}/v1",
        )
        if funds_microusdc:
            await self.deposit(user.deposit_code, funds_microusdc)
        return user

    async def deposit(self, code: bytes, amount_microusdc: int) -> None:
        """Book money that arrived in the till with this code."""
        key, moment = self._movement()
        async with transaction(self.pool) as tx:
            deposit = deposits.VaultDeposit(
                key=key,
                moment=moment,
                vault=Vault.TILL,
                amount_microusdc=MicroUsdc(amount_microusdc),
                code=code,
                source=str(Keypair().pubkey()),
            )
            await self._apply(tx, await deposits.book_deposit(tx, deposit))

    async def operator(self, *, bonded: bool = True) -> Operator:
        """Enroll an operator, and post the bond unless told not to."""
        operator = await self._enroll()
        if bonded:
            await self.post_bond(operator)
        return operator

    async def _enroll(self) -> Operator:
        wallet = str(Keypair().pubkey())
        body = {"display_name": "an operator", "wallet": wallet}
        status, told = await self.call("POST", "/v1/host/enroll", body)
        assert status == 200, told
        return Operator(
            provider_id=UUID(str(told["provider_id"])),
            host_token=str(told["host_token"]),
            code=str(told["enrollment_code"]).removeprefix("POD-ENROLL-"),
            wallet=wallet,
        )

    async def post_bond(self, operator: Operator) -> None:
        """Book the operator's bond, beneficiary their wallet; the coordinator has seen it."""
        key, moment = self._movement()
        async with transaction(self.pool) as tx:
            fact = lifecycle.BondPosted(
                key=key,
                moment=moment,
                address=str(Keypair().pubkey()),
                code=operator.code.encode(),
                beneficiary=operator.wallet,
                amount_microusdc=BOND_MICROUSDC,
                rent_payer=operator.wallet,
                cooldown_seconds=90 * 86_400,
            )
            await self._apply(tx, await lifecycle.posted(tx, fact))
        # The coordinator hears of it by itself, a moment later. An operator that leaves makes it
        # look at all bonds before it answers: so we know that it has seen this one.
        leaving = await self._enroll()
        await self.call("POST", "/v1/host/retire", headers=leaving.authorization)

    async def provider(
        self,
        models: Mapping[str, Behaviour],
        *,
        operator: Operator | None = None,
        input_per_1m: int = 400_000,
        output_per_1m: int = 600_000,
        max_concurrent: int = 4,
        defects: Defects | None = None,
        heartbeat_seconds: float = 15.0,
    ) -> Provider:
        """A provider at work, enrolled by its code, once the coordinator routes to it."""
        owner = operator or await self.operator()
        backend = Backend(models=dict(models))
        backend_url = await self.stack.enter_async_context(serve(backend))
        frames: list[tuple[str, str]] = []
        agent = Agent(
            config=parse_config(
                f'[coordinator]\nurl = "{self.url.replace("http", "ws", 1)}/provider/connect"\n'
                f'enrollment_code = "POD-ENROLL-{owner.code}"\n'
                f'[[backends]]\nkind = "vllm"\nurl = "{backend_url}"\n'
                f"[pricing]\ndefault_input_per_1m = {input_per_1m}\n"
                f"default_output_per_1m = {output_per_1m}\n"
                f"[limits]\nmax_concurrent = {max_concurrent}\n"
            ),
            identity_path=self.directory / uuid4().hex / "identity.key",
            metrics=JobMetrics(CollectorRegistry()),
            defects=defects or Defects(),
            backoff=Backoff(jitter=lambda: 0.1),
            heartbeat_seconds=heartbeat_seconds,
            recorded=frames,
        )
        task = self.start(agent.run())
        provider = Provider(operator=owner, agent=agent, backend=backend, frames=frames, task=task)
        await self.until_serving(owner, list(models))
        return provider

    async def again(self, provider: Provider) -> None:
        """The provider's agent is killed and started again, same key, same file."""
        provider.task.cancel()
        await asyncio.gather(provider.task, return_exceptions=True)
        self.start(provider.agent.run())
        await self.until_serving(provider.operator, list(provider.backend.models))

    async def until_settled(self, user: User) -> None:
        """Wait until no request of the user runs any more."""

        async def settled() -> bool:
            return await self.held(user) == 0

        await eventually_true(settled)

    async def until_serving(self, operator: Operator, models: list[str]) -> None:
        """Wait until the coordinator knows this operator's agent with exactly these models."""
        keys = sorted(model.rsplit("/", 1)[-1].casefold() for model in models)

        async def known() -> bool:
            _, told = await self.call("GET", "/v1/host/profile", headers=operator.authorization)
            return cast(Json, told["agent"])["models"] == keys

        await eventually_true(known)

    async def balance(self, user: User) -> int:
        """What the user can spend, microunits."""
        status, told = await self.call("GET", f"/proxy/{user.token}/balance")
        assert status == 200, told
        return cast(int, told["usdc_balance"])

    async def earned(self, operator: Operator) -> int:
        """What the operator has earned, microunits."""
        status, told = await self.call("GET", "/v1/host/balance", headers=operator.authorization)
        assert status == 200, told
        return cast(int, told["usdc_balance"])

    async def treasury(self) -> int:
        """What the treasury has earned through this coordinator, microunits."""
        async with reading(self.pool) as conn:
            held = await store.balance(conn, AccountName("treasury:coordinator"))
        return held.net_microusdc

    async def held(self, user: User) -> int:
        """What running requests of the user have reserved, microunits: all they cannot spend."""
        async with reading(self.pool) as conn:
            owner = await deposits.owner_of_code(conn, user.deposit_code)
            assert isinstance(owner, deposits.UserCode)
            account = AccountName(f"user:{owner.user_id}")
            has = (await store.balance(conn, account)).net_microusdc
        return has - await self.balance(user)

    def start(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run something beside the test; ended with it."""
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.stack.push_async_callback(end)
        return task

    async def _apply(self, tx: Tx, operations: list[Operation]) -> None:
        outcomes = await store.apply(tx, self.writer, operations)
        assert all(outcome.done for outcome in outcomes), outcomes

    def _movement(self) -> tuple[MovementKey, ChainMoment]:
        slot = Slot(next(self._slots))
        key = MovementKey(cluster="localnet", signature=uuid4().hex, outer=0)
        return key, ChainMoment(slot=slot, block_time=datetime.now(UTC))


def settings_for(dsn: str, **changes: str) -> config.CoordinatorSettings:
    """A coordinator's settings as its process would read them."""
    environment = {
        **_SETTINGS,
        "DATABASE_URL": dsn,
        "POD_PROGRAM_ID": str(Keypair().pubkey()),
        "POD_USDC_MINT": str(Keypair().pubkey()),
        **changes,
    }
    return config.read(SettingsReader(environment, {}))


@asynccontextmanager
async def market_at(dsn: str, directory: Path, **settings: str) -> AsyncGenerator[Market]:
    """A marketplace over this database, until left."""
    pool = await open_pool(dsn, role="pod_indexer", application="indexer")
    async with (
        app.running(settings_for(dsn, **settings)) as address,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as stack,
    ):
        writer = await store.open_writer(pool, "indexer")
        yield Market(
            url=f"http://{address}",
            http=http,
            pool=pool,
            writer=writer,
            directory=directory,
            stack=stack,
        )
    await pool.close()
