"""Kill -9 of a node whose cluster forks, skips, halts: what it said was finalized is there."""

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair

from localnet.adversary.cluster_faults import cluster_faults
from localnet.adversary.faults import Script
from localnet.adversary.script import script_text
from tests.chain.localnet.calls import Rpc, send_sol
from tests.chain.localnet.process import Chain, started

FINALIZED = {"commitment": "finalized"}
GONE = (aiohttp.ClientError, ConnectionError)


@dataclass(kw_only=True)
class Observer:
    """Sends as fast as it is answered, and keeps every finalized block it was told of."""

    rpc: Rpc
    payer: Keypair
    blocks: dict[int, dict[str, Any]] = field(default_factory=dict)
    sent: int = 0

    async def send(self) -> None:
        try:
            while True:
                self.sent += 1
                transfer = send_sol(self.payer, Keypair().pubkey(), 1_000_000 + self.sent)
                transaction = await self.rpc.sign([transfer], self.payer)
                await self.rpc.send(transaction, skip_preflight=True)
        except GONE:
            return

    async def read(self) -> None:
        try:
            while True:
                await self.read_on()
        except GONE:
            return

    async def read_on(self) -> None:
        newest = max(self.blocks, default=-1)
        for slot in await self.rpc.call("getBlocks", newest + 1, FINALIZED):
            self.blocks[slot] = await self.rpc.call("getBlock", slot)

    @property
    def signatures(self) -> list[str]:
        return [
            one["transaction"]["signatures"][0]
            for block in self.blocks.values()
            for one in block["transactions"]
        ]


def payer_in(keys: Path) -> Keypair:
    return Keypair.from_json((keys / "user.json").read_text())


def script_in(path: Path, seed: int) -> str:
    faults = cluster_faults(seed, first_slot=5, last_slot=3_000, slot_time_ms=20, mean_gap_slots=8)
    path.write_text(script_text(Script(faults=faults)))
    return str(path)


async def watched_until_killed(chain: Chain, observer: Observer, chance: random.Random) -> None:
    workers = [asyncio.create_task(observer.send()) for _ in range(2)]
    workers.append(asyncio.create_task(observer.read()))
    enough = len(observer.blocks) + chance.randint(15, 60)
    while True:
        if len(observer.blocks) >= enough:
            break
        await asyncio.sleep(chance.random() / 200)
    await chain.kill()
    await asyncio.gather(*workers)


async def killed_again_and_again(place: Path, seed: int, *, kills: int) -> None:
    chance = random.Random(seed)
    data, keys = place / "chain", place / "keys"
    blocks: dict[int, dict[str, Any]] = {}
    for kill in range(kills):
        script = script_in(place / "faults.toml", seed * 100 + kill)
        async with started(data, keys, "--faults", script) as chain, Rpc(chain.rpc_url) as rpc:
            observer = Observer(rpc=rpc, payer=payer_in(keys), blocks=blocks)
            for slot, block in blocks.items():
                assert await rpc.call("getBlock", slot) == block
            await watched_until_killed(chain, observer, chance)
            assert len(observer.signatures) == len(set(observer.signatures))
    async with started(data, keys) as chain, Rpc(chain.rpc_url) as rpc:
        payer = payer_in(keys)
        observer = Observer(rpc=rpc, payer=payer, blocks=blocks)
        for slot, block in blocks.items():
            assert await rpc.call("getBlock", slot) == block
        signature = await rpc.execute([send_sol(payer, Keypair().pubkey(), 1_000_000)], payer)
        async with asyncio.timeout(30):
            while True:
                await observer.read_on()
                if str(signature) in observer.signatures:
                    break
                await asyncio.sleep(0.02)
        chained(blocks)
        assert await rpc.call("getTransactionCount", FINALIZED) == len(set(observer.signatures))


def chained(blocks: dict[int, dict[str, Any]]) -> None:
    """Every block has its parent among the blocks, one lower; so nothing was missed."""
    slots = sorted(blocks)
    for parent, slot in itertools.pairwise(slots):
        assert blocks[slot]["parentSlot"] == parent
        assert blocks[slot]["previousBlockhash"] == blocks[parent]["blockhash"]
        assert blocks[slot]["blockHeight"] == blocks[parent]["blockHeight"] + 1


async def test_what_was_told_finalized_survives_kill_9_among_forks(tmp_path: Path) -> None:
    await killed_again_and_again(tmp_path, 1, kills=2)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 120))
async def test_what_was_told_finalized_survives_many_kills_among_forks(
    tmp_path: Path, seed: int
) -> None:
    await killed_again_and_again(tmp_path, seed, kills=6)
