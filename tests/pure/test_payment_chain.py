"""Reading the chain for a phone: never for long, never too often."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from coordinator.api.payments.refusals import ChainUnavailable, PaymentsNotOffered
from coordinator.api.payments.state import PaymentChain, open_payment_chain
from settlement.chain.program import Deployment
from settlement.chain.rpc import open_rpc
from tests.pure.faulty_node import node, result

PLACE = Deployment(
    Pubkey.from_string("Bond111111111111111111111111111111111111111"),
    Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
)
HASH = Hash.new_unique()
LATEST = {
    "context": {"slot": 7},
    "value": {"blockhash": str(HASH), "lastValidBlockHeight": 150},
}


async def test_without_nodes_every_read_is_refused() -> None:
    async with open_payment_chain((), PLACE) as chain:
        with pytest.raises(PaymentsNotOffered):
            await chain.see(Keypair().pubkey())
        with pytest.raises(PaymentsNotOffered):
            await chain.blockhash()


async def test_a_node_that_says_nothing_is_not_waited_for() -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def silence(_request: web.Request, _asked: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await over.wait()
        return web.Response()

    async with node(silence) as mute, open_rpc([mute.url]) as rpc:
        chain = PaymentChain(rpc, PLACE, patience_seconds=0.2)
        with pytest.raises(ChainUnavailable) as refused:
            await chain.see(Keypair().pubkey())
        assert asked.is_set()
        over.set()
    assert refused.value.details == {"retry_after_seconds": 2}


async def test_many_at_once_share_a_blockhash() -> None:
    async with node(result(LATEST)) as well, open_rpc([well.url]) as rpc:
        chain = PaymentChain(rpc, PLACE)
        found = await asyncio.gather(*(chain.blockhash() for _ in range(50)))
        assert set(found) == {HASH}
        assert len(well.asked) == 1
        assert well.asked[0]["params"] == [{"commitment": "confirmed"}]


async def test_a_blockhash_that_could_not_be_had_is_asked_for_again() -> None:
    async with node(result(None), result(LATEST)) as moody, open_rpc([moody.url]) as rpc:
        chain = PaymentChain(rpc, PLACE)
        assert await chain.blockhash() == HASH


async def test_rent_is_asked_for_once_a_size() -> None:
    async with node(result(890_880)) as well, open_rpc([well.url]) as rpc:
        chain = PaymentChain(rpc, PLACE)
        assert [await chain.rent_lamports(0) for _ in range(3)] == [890_880] * 3
        await chain.rent_lamports(376)
        assert [each["params"] for each in well.asked] == [[0], [376]]
