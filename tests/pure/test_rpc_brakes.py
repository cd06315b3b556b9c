"""The brakes of the RPC client: rests that a node asks for, the breaker, the token bucket."""

import asyncio

import pytest

from settlement.chain.node import NodeLimits
from settlement.chain.rpc import RpcClient, open_rpc
from settlement.chain.transport import RetryPolicy, RpcUnavailable
from settlement.money import Slot
from tests.pure.faulty_node import node, raw, result

ONCE = RetryPolicy(attempts=1)


async def test_a_node_that_wants_to_be_let_be_is_not_asked_by_anybody() -> None:
    slow = raw("slow", status=429, headers={"Retry-After": "30"})
    async with node(slow) as one, open_rpc([one.url], retry=ONCE) as rpc:
        for _ in range(5):
            with pytest.raises(RpcUnavailable):
                await rpc.slot()
        assert len(one.asked) == 1


async def closed_no_longer(rpc: RpcClient) -> None:
    """Until somebody may try again."""
    left_seconds = rpc.nodes[0].closed_until_seconds() - asyncio.get_running_loop().time()
    await asyncio.sleep(max(0.0, left_seconds))


async def test_a_breaker_opens_after_faults_in_a_row_and_one_caller_tries_again() -> None:
    limits = NodeLimits(breaker_faults=3, breaker_seconds=0.2)
    sick = [raw("<html>")] * 3
    async with node(*sick, result(7)) as one, open_rpc([one.url], retry=ONCE, limits=limits) as rpc:
        for _ in range(10):
            with pytest.raises(RpcUnavailable):
                await rpc.slot()
        assert len(one.asked) == 3
        assert rpc.nodes[0].open
        await closed_no_longer(rpc)
        tried = await asyncio.gather(*(rpc.slot() for _ in range(5)), return_exceptions=True)
        assert [found for found in tried if found == Slot(7)]
        assert len(one.asked) < 4 + 5
        assert await rpc.slot() == Slot(7)
    known = rpc.nodes[0]
    assert (known.open, known.experience.returns) == (False, 1)


async def test_a_breaker_that_opens_again_stays_open_for_longer() -> None:
    limits = NodeLimits(breaker_faults=1, breaker_seconds=0.05, breaker_longest_seconds=0.15)
    opened: list[float] = []
    async with (
        node(raw("<html>")) as one,
        open_rpc([one.url], retry=ONCE, limits=limits) as rpc,
    ):
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await closed_no_longer(rpc)
            with pytest.raises(RpcUnavailable):
                await rpc.slot()
            opened.append(rpc.nodes[0].closed_until_seconds() - loop.time())
    assert opened[0] < 0.06
    assert opened[1] > opened[0]
    assert 0.1 < opened[2] <= 0.15


async def test_nobody_is_asked_faster_than_it_allows() -> None:
    limits = NodeLimits(requests_per_second=50, burst=5)
    async with node(result(1)) as one, open_rpc([one.url], limits=limits) as rpc:
        loop = asyncio.get_running_loop()
        started_seconds = loop.time()
        await asyncio.gather(*(rpc.slot() for _ in range(15)))
        assert loop.time() - started_seconds >= 10 / 50 - 0.01
