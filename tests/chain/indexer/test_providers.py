"""The indexer over three providers of one chain, of whom one or two are not what they should be.

Whatever a minority does, every deposit is credited once, the frontiers move on what the others
prove, and the provider is named.
"""

import dataclasses
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from indexer.config import IndexerSettings
from indexer.hydration import Rules
from indexer.probes import ChainsDiffer
from localnet.adversary.faults import CallFault, Fault, Script, ViewFault
from localnet.embedded import cluster_server, quick_settings
from settlement.chain.program import Deployment
from settlement.db.pool import open_pool
from settlement.ledger import accounts
from tests.chain.indexer.conftest import PACE, World, following, initialize
from tests.chain.localnet.calls import Rpc
from tests.conftest import Database

# Whoever asks for the tests' own sake asks one that has no faults.
HONEST = "honest"
Facts = dict[str, int | str]


@dataclasses.dataclass(kw_only=True)
class Fleet(World):
    """The world with providers `a`, `b` and `c`."""

    def providers(self, names: str = "abc") -> IndexerSettings:
        """Settings that name these providers in this order; one source is not enough."""
        return dataclasses.replace(
            self.settings(ws=False),
            rpc_urls=tuple(self.chain.backend_url(name) for name in names),
            pace=dataclasses.replace(PACE, patience_slots=8),
            rules=Rules(single_source=False),
        )

    async def facts(self) -> tuple[bool, Facts]:
        """Whether the indexer is well, and the facts of its `/health`."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.status}/health") as response,
        ):
            found = await response.json()
        return bool(found["well"]), found["facts"]

    async def named(self, word: str) -> None:
        """Return when `/health` says this of a provider."""

        async def holds() -> bool:
            try:
                _, facts = await self.facts()
            except OSError:
                return False
            told = [str(value) for name, value in facts.items() if name.startswith("provider")]
            return any(word in one for one in told)

        await self.eventually(holds)


@asynccontextmanager
async def fleet(
    database: Database, path: Path, *faults: Fault, names: str = "abc"
) -> AsyncGenerator[Fleet]:
    settings = quick_settings(Path("localnet.toml"))
    script = Script(seed=5, backends=(*names, HONEST), faults=faults)
    data, keys = path / "chain", path / "keys"
    pool = await open_pool(database.dsn, role="pod_coordinator", application="test", size=2)
    async with (
        cluster_server(settings, data=data, keys=keys, script=script) as chain,
        Rpc(chain.backend_url(HONEST)) as rpc,
    ):
        assert chain.program_id is not None
        deployment = Deployment(chain.program_id, chain.mint)
        world = Fleet(chain=chain, rpc=rpc, deployment=deployment, database=database, pool=pool)
        await initialize(world)
        yield world
    await pool.close()


# What the leading provider does, and what is said of it (None: it need not be noticed).
FAULTS: dict[str, tuple[Fault, str | None]] = {
    "lags far": (ViewFault(kind="lag", backend="a", slots=120), "demoted"),
    "lags a little": (ViewFault(kind="lag", backend="a", slots=8), None),
    "its index lags": (ViewFault(kind="index-lag", backend="a", slots=8), None),
    "has transactions late": (ViewFault(kind="transaction-lag", backend="a", slots=40), None),
    "lost signatures": (ViewFault(kind="lost-signatures", backend="a", share=0.5), None),
    "lost transactions": (ViewFault(kind="lost-transactions", backend="a", share=0.5), None),
    "another order": (ViewFault(kind="reordered", backend="a"), None),
    "an old node": (ViewFault(kind="old-cursors", backend="a"), "unknown cursor"),
    "ignores minContextSlot": (
        ViewFault(kind="ignores-min-context-slot", backend="a"),
        "ignores minContextSlot",
    ),
    "reads old versions": (ViewFault(kind="version-ceiling", backend="a"), None),
    "no history": (ViewFault(kind="no-history", backend="a"), "wrong kind of node"),
    "another chain": (ViewFault(kind="foreign-chain", backend="a"), "another chain"),
    "gone": (CallFault(kind="http-error", backend="a"), "not answered its probes"),
    "too many requests": (
        CallFault(kind="http-429", backend="a", probability=0.5, retry_after_seconds=1),
        None,
    ),
    "behind": (CallFault(kind="error", code=-32005, backend="a", probability=0.5), None),
    "resets": (CallFault(kind="reset-middle", backend="a", probability=0.4), None),
    "null": (CallFault(kind="null", method="getTransaction", backend="a"), None),
    "wrong ids": (CallFault(kind="wrong-id", backend="a", probability=0.5), None),
    "everything twice": (
        CallFault(kind="repeated", method="getSignaturesForAddress", backend="a"),
        None,
    ),
    "stale": (CallFault(kind="stale", backend="a", probability=0.5), None),
}


@pytest.mark.parametrize("how", FAULTS)
async def test_a_leading_provider_that_is_not_what_it_should_be(
    database: Database, tmp_path: Path, how: str
) -> None:
    fault, said = FAULTS[how]
    async with fleet(database, tmp_path, fault) as world:
        user_id, code = await world.user()
        await world.deposit(code, 5)
        genesis_hash = str(await world.rpc.call("getGenesisHash"))
        settings = dataclasses.replace(world.providers(), genesis_hash=genesis_hash)
        async with following(settings):
            for amount in (6, 7):
                await world.deposit(code, amount)
            await world.credited(accounts.user(user_id), 18)
            await world.settled()
            if said is not None:
                await world.named(said)


async def test_providers_of_different_chains_end_it_where_nobody_said_which(
    database: Database, tmp_path: Path
) -> None:
    other = ViewFault(kind="foreign-chain", backend="a")
    async with fleet(database, tmp_path, other) as world, following(world.providers()) as task:
        with pytest.raises(ChainsDiffer, match="POD_GENESIS_HASH"):
            await task


async def test_two_providers_that_do_not_agree_hold_the_frontier_and_no_money(
    database: Database, tmp_path: Path
) -> None:
    lossy = ViewFault(kind="lost-signatures", backend="b", share=1.0, until_slot=400)
    async with fleet(database, tmp_path, lossy) as world:
        user_id, code = await world.user()
        async with following(world.providers("ab")):
            await world.deposit(code, 5)
            await world.credited(accounts.user(user_id), 5)

            async def is_told() -> bool:
                return bool(
                    await world.rows(
                        "select from indexer.incident"
                        " where kind = 'a provider does not list a signature'"
                    )
                )

            await world.eventually(is_told)
            till = str(world.deployment.till_vault)
            assert till not in await world.frontiers()
            await world.settled()  # it lists them after all from slot 400 on


async def test_one_witness_of_two_is_not_enough_and_is_said(
    database: Database, tmp_path: Path
) -> None:
    blind = ViewFault(kind="ignores-min-context-slot", backend="b")
    async with fleet(database, tmp_path, blind) as world:
        user_id, code = await world.user()
        async with following(world.providers("ab")):
            await world.deposit(code, 5)
            await world.credited(accounts.user(user_id), 5)

            async def is_said() -> bool:
                return "1 of 2 providers can prove a frontier" in (await world.health())[1]

            await world.eventually(is_said)
            assert await world.frontiers() == {}
            well, facts = await world.facts()
            assert not well
            assert "cannot prove a frontier" in str(facts)


async def test_a_leading_provider_that_goes_away_and_comes_back(
    database: Database, tmp_path: Path
) -> None:
    away = CallFault(kind="reset-before", backend="a", from_slot=150, until_slot=600)
    async with fleet(database, tmp_path, away) as world:
        user_id, code = await world.user()
        async with following(world.providers()):
            await world.deposit(code, 5)
            await world.credited(accounts.user(user_id), 5)

            async def lead(name: str) -> bool:
                _, facts = await world.facts()
                return str(facts.get("lead", "")).endswith(name)

            await world.eventually(lambda: lead("#2"))
            await world.deposit(code, 6)
            await world.credited(accounts.user(user_id), 11)
            await world.settled()

            async def is_back() -> bool:
                return not await lead("#2") and not await lead("#3")

            await world.eventually(is_back)
            await world.deposit(code, 7)
            await world.credited(accounts.user(user_id), 18)
            await world.settled()
