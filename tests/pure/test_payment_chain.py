"""Reading the chain for a phone: never for long, never too often."""

import asyncio
import base64
from typing import Any

import pytest
from aiohttp import web
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from coordinator.api.payments.refusals import (
    ChainUnavailable,
    PaymentsNotOffered,
    ProgramNotReady,
)
from coordinator.api.payments.state import PaymentChain, open_payment_chain
from settlement.chain.layouts import ACCOUNT_VERSION, CONFIG_SIZE, account_discriminator
from settlement.chain.program import TOKEN_PROGRAM, Deployment
from settlement.chain.rpc import open_rpc
from settlement.settings import SettingInvalid
from tests.pure.faulty_node import node, result
from tests.wire.market import settings_for

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
            async with asyncio.timeout(5):  # a node's own patience is longer
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


def account(owner: Pubkey, data: bytes) -> dict[str, object]:
    return {
        "owner": str(owner),
        "lamports": 1,
        "data": [base64.b64encode(data).decode(), "base64"],
        "executable": False,
    }


def config_naming(mint: Pubkey) -> bytes:
    """A Config in which nothing is set but its version and the mint."""
    head = account_discriminator("Config") + bytes(32) + bytes([ACCOUNT_VERSION])
    return (head + bytes(7) + bytes(mint)).ljust(CONFIG_SIZE, b"\0")


NO_WALLET_YET = [None, None]
CLOCK = account(PLACE.program_id, bytes(40))
# 165 bytes, initialized, of nobody.
VAULT = account(TOKEN_PROGRAM, bytes(108) + bytes([1]) + bytes(56))
CONFIG = account(PLACE.program_id, config_naming(PLACE.mint))


async def seen(*accounts: object) -> object:
    answer = {"context": {"slot": 1}, "value": list(accounts)}
    async with node(result(answer), result(0)) as told, open_rpc([told.url]) as rpc:
        return await PaymentChain(rpc, PLACE).see(Keypair().pubkey())


async def test_a_program_that_is_ready() -> None:
    assert await seen(CLOCK, CONFIG, VAULT, VAULT, *NO_WALLET_YET)


@pytest.mark.parametrize(
    "config",
    [
        None,
        account(TOKEN_PROGRAM, config_naming(PLACE.mint)),
        account(PLACE.program_id, config_naming(PLACE.program_id)),
        account(PLACE.program_id, config_naming(PLACE.mint)[:-1]),
        account(PLACE.program_id, bytes(CONFIG_SIZE)),
    ],
    ids=["absent", "of another program", "of another mint", "cut off", "empty"],
)
async def test_a_program_that_is_not_ours(config: object) -> None:
    with pytest.raises(ProgramNotReady):
        await seen(CLOCK, config, VAULT, VAULT, *NO_WALLET_YET)


@pytest.mark.parametrize("vault", [None, account(TOKEN_PROGRAM, bytes(165)), CONFIG])
async def test_vaults_that_are_none(vault: object) -> None:
    with pytest.raises(ProgramNotReady):
        await seen(CLOCK, CONFIG, vault, VAULT, *NO_WALLET_YET)
    with pytest.raises(ProgramNotReady):
        await seen(CLOCK, CONFIG, VAULT, vault, *NO_WALLET_YET)


@pytest.mark.parametrize("clock", [None, account(PLACE.program_id, bytes(39))])
async def test_a_chain_without_a_clock(clock: object) -> None:
    with pytest.raises(ChainUnavailable):
        await seen(clock, CONFIG, VAULT, VAULT, *NO_WALLET_YET)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("POD_RPC_URLS", " , "),
        ("POD_COORDINATOR_PAYMENTS_PER_MINUTE", "0"),
        ("POD_COORDINATOR_PAYMENTS_PER_MINUTE", "many"),
    ],
)
def test_settings_that_are_wrong(name: str, written: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        settings_for("postgresql://nowhere", **{name: written})
    assert refused.value.details["setting"] == name


def test_nodes_are_asked_in_the_order_written() -> None:
    assert settings_for("x", POD_RPC_URLS="http://a, http://b").rpc_urls == ("http://a", "http://b")
    assert settings_for("x", POD_RPC_URLS="").rpc_urls == ()
