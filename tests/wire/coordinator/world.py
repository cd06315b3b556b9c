"""A whole coordinator on a real database: users with money, and agents that do as they are told."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from coordinator import app
from coordinator.agent import Timing
from coordinator.api.desk import Shop
from coordinator.config import CoordinatorSettings
from coordinator.limits import HttpLimits
from coordinator.offers import model_key
from coordinator.order import Limits
from settlement import deposits
from settlement.bonds import lifecycle
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.chain.program import Deployment
from settlement.db.pool import Pool, Tx, open_pool, reading, transaction
from settlement.deposits import VaultDeposit
from settlement.ledger import accounts, store
from settlement.ledger.operations import Balance, Operation, Writer
from settlement.money import MicroUsdc, Slot
from settlement.settings import Address
from tests.wire.coordinator.scripted import Agent, Operator, User, ask

DOLLAR = 1_000_000
PRICE = 1_000_000  # a microunit per token: bills are easy to read
DEPLOYMENT = Deployment(
    program_id=Pubkey.from_string("BBAdcqUkg68JXNiPQ1HR1wujfZuayyK3eQTQSYAh6FSW"),
    mint=Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
)
# Every connection of the coordinator to its database is lost.
CUT = """
  select pg_terminate_backend(pid) from pg_stat_activity
   where application_name = 'coordinator' and datname = current_database()
"""
_MOVEMENTS = itertools.count(1)


def settings_for(dsn: str, **changes: object) -> CoordinatorSettings:
    settings = CoordinatorSettings(
        database_url=dsn,
        listen=Address(host="127.0.0.1", port=0),
        log_level="WARNING",
        shop=Shop(
            public_url="http://pod.test",
            dashboard_url="http://dash.test",
            deployment=DEPLOYMENT,
            cluster="localnet",
        ),
        http=HttpLimits(register_per_minute=1_000),
        limits=Limits(),
        timing=Timing(),
        pool_size=8,
        grace_seconds=1,
    )
    return replace(settings, **changes)  # pyright: ignore[reportArgumentType] # each test knows


@dataclass(kw_only=True)
class World:
    """The coordinator under test, and both sides of the market."""

    url: str
    http: aiohttp.ClientSession
    pool: Pool
    books: Writer

    async def post(
        self,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        sent = json.dumps(body).encode() if data is None and body is not None else data
        body = None if sent is None else BytesIO(sent)
        response = await self.http.post(self.url + path, data=body, headers=headers)
        await response.read()
        return response

    async def get(
        self, path: str, *, headers: dict[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        response = await self.http.get(self.url + path, headers=headers)
        await response.read()
        return response

    async def user(self, *, funded: int = 25 * DOLLAR) -> User:
        told = await (await self.post("/v1/register")).json()
        user = User(token=told["api_token"], code=bytes.fromhex(told["deposit_code"]))
        if funded:
            await self.deposit(user, funded)
        return user

    async def deposit(self, user: User, amount: int) -> None:
        """What the indexer does when it sees the deposit."""
        async with transaction(self.pool) as tx:
            fact = VaultDeposit(
                key=_key(),
                moment=_moment(),
                vault=Vault.TILL,
                amount_microusdc=MicroUsdc(amount),
                code=user.code,
                source="somewhere",
            )
            await self._book(tx, await deposits.book_deposit(tx, fact))

    async def operator(self, *, bonded: bool = True) -> Operator:
        wallet = str(Keypair().pubkey())
        response = await self.post("/v1/host/enroll", {"display_name": "Ann", "wallet": wallet})
        told = await response.json()
        operator = Operator(
            provider_id=UUID(told["provider_id"]),
            token=told["host_token"],
            code=told["enrollment_code"].removeprefix("POD-ENROLL-"),
            wallet=wallet,
        )
        if bonded:
            await self.bond(operator)
        return operator

    async def bond(self, operator: Operator) -> str:
        """What the indexer does when it sees the bond."""
        address = str(DEPLOYMENT.bond(operator.code.encode(), Pubkey.from_string(operator.wallet)))
        fact = lifecycle.BondPosted(
            key=_key(),
            moment=_moment(),
            address=address,
            code=operator.code.encode(),
            beneficiary=operator.wallet,
            amount_microusdc=MicroUsdc(50 * DOLLAR),
            rent_payer=operator.wallet,
            cooldown_seconds=90 * 86_400,
        )
        async with transaction(self.pool) as tx:
            await self._book(tx, await lifecycle.posted(tx, fact))
        return address

    async def unbond(self, address: str) -> None:
        fact = lifecycle.BondRetired(
            key=_key(), moment=_moment(), address=address, release_at=datetime.now(UTC)
        )
        async with transaction(self.pool) as tx:
            await self._book(tx, await lifecycle.retired(tx, fact))

    async def _book(self, tx: Tx, operations: Sequence[Operation]) -> None:
        assert all(each.done for each in await store.apply(tx, self.books, operations))

    async def balance(self, user: User) -> int:
        told = await (await self.get(f"/proxy/{user.token}/balance")).json()
        return int(told["usdc_balance"])

    async def models(self, user: User) -> list[str]:
        told = await (await self.get(f"/proxy/{user.token}/v1/models")).json()
        return [each["id"] for each in told["data"]]

    async def earned(self, operator: Operator) -> Balance:
        async with reading(self.pool) as conn:
            return await store.balance(conn, accounts.host(operator.provider_id))

    async def treasury(self) -> int:
        async with reading(self.pool) as conn:
            row = await store.balance(conn, accounts.treasury("coordinator"))
            return row.net_microusdc

    async def reserved(self) -> int:
        """What running requests have reserved, as the coordinator says."""
        return await self._gauge("pod_coordinator_reserved_microusdc")

    async def leased(self) -> int:
        """What is set aside in the books."""
        return int(
            await self.pool.fetchval(
                "select coalesce(sum(held), 0)::bigint from settlement.balance"
            )
        )

    async def _gauge(self, name: str) -> int:
        told = await (await self.get("/metrics")).text()
        (line,) = (line for line in told.splitlines() if line.startswith(f"{name} "))
        return int(float(line.split()[1]))

    async def nothing_reserved(self) -> None:
        """Wait until no request runs any more."""
        async with asyncio.timeout(10):
            while await self.reserved():  # noqa: ASYNC110 -- another process
                await asyncio.sleep(0.02)

    async def rows(self) -> list[dict[str, Any]]:
        """The request log, once every request in it has ended."""
        await self.nothing_reserved()
        unfinished = "select count(*) from coordinator.request where outcome = 'open'"
        async with asyncio.timeout(10):
            while await self.pool.fetchval(unfinished):  # noqa: ASYNC110 -- written by a task
                await asyncio.sleep(0.02)
        found = await self.pool.fetch("select * from coordinator.request order by request_id")
        return [dict(row) for row in found]

    def chat(
        self, user: User, body: object = None, *, headers: dict[str, str] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A request context: `async with world.chat(user, …) as response`."""
        url = f"{self.url}/proxy/{user.token}/v1/chat/completions"
        return self.http.post(url, json=body or ask(), headers=headers)

    @asynccontextmanager
    async def stream(
        self, user: User, agent: Agent, first: bytes, **more: object
    ) -> AsyncGenerator[tuple[aiohttp.ClientResponse, dict[str, Any]]]:
        """A streamed answer that has begun: the headers come with the first chunk."""
        url = f"{self.url}/proxy/{user.token}/v1/chat/completions"
        asking = asyncio.create_task(
            self.http.post(url, json=ask(stream=True, **more)).__aenter__()
        )
        try:
            job = await agent.job()
            await agent.give(job, first)
            response = await asking
            yield response, job
            response.close()
        finally:
            asking.cancel()

    @asynccontextmanager
    async def agent(
        self, operator: Operator, *, models: dict[str, int] | None = None, slots: int = 4
    ) -> AsyncGenerator[Agent]:
        """The operator's agent, connected and routable."""
        url = self.url.replace("http", "ws") + "/provider/connect"
        async with self.http.ws_connect(url, max_msg_size=0) as socket:
            agent = Agent(socket=socket, operator=operator)
            await agent.authenticate(enrollment_code=f"POD-ENROLL-{operator.code}")
            await agent.advertise(models or {"tiny-chat": PRICE}, slots=slots)
            await self.listed(*(models or {"tiny-chat": PRICE}))
            yield agent

    async def listed(self, *models: str) -> None:
        """Wait until the models can be asked for."""
        token = (await self.user(funded=0)).token
        async with asyncio.timeout(10):
            while True:
                told = await (await self.get(f"/proxy/{token}/v1/models")).json()
                if {model_key(each) for each in models} <= {
                    model_key(each["id"]) for each in told["data"]
                }:
                    return
                await asyncio.sleep(0.02)


def _key() -> MovementKey:
    return MovementKey(cluster="localnet", signature=f"signature-{next(_MOVEMENTS)}", outer=0)


def _moment() -> ChainMoment:
    return ChainMoment(slot=Slot(100), block_time=datetime.now(UTC))


@asynccontextmanager
async def world(dsn: str, **changes: object) -> AsyncGenerator[World]:
    """A running coordinator and a world around it."""
    pool = await open_pool(dsn, role="none", application="test", size=4)
    try:
        books = await store.open_writer(pool, "indexer")
        async with (
            app.running(settings_for(dsn, **changes)) as address,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            yield World(url=f"http://{address}", http=http, pool=pool, books=books)
    finally:
        await pool.close()


async def whole(w: World, user: User, body: dict[str, object]) -> bytes:
    async with w.chat(user, body) as response:
        assert response.status == 200
        return await response.read()


def address(w: World) -> tuple[str, int]:
    host, _, port = w.url.removeprefix("http://").partition(":")
    return host, int(port)
