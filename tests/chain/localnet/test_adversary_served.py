"""The fleet over real sockets: what a client of HTTP and of websockets sees of each fault."""

import asyncio
import contextlib
import json
import sys
import tomllib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair

from localnet.adversary.faults import CallFault, Fault, Script, SocketFault, ViewFault
from localnet.adversary.schedule import script_of_seed
from localnet.adversary.script import parse_script, script_text
from localnet.embedded import RunningChain, cluster_server, quick_settings
from settlement.chain.rpc import RetryPolicy, RpcRefused, RpcUnavailable, open_rpc
from tests.chain.localnet.calls import Rpc
from tests.chain.localnet.process import spawn

ONCE = RetryPolicy(attempts=1)
SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"}


@contextlib.asynccontextmanager
async def served(
    path: Path, *faults: Fault, backends: tuple[str, ...] = ("a", "b")
) -> AsyncGenerator[RunningChain]:
    settings = quick_settings(Path("localnet.toml"))
    script = Script(seed=1, backends=backends, faults=faults)
    data, keys = path / "chain", path / "keys"
    async with cluster_server(settings, data=data, keys=keys, script=script) as chain:
        yield chain


async def test_calm_backends_under_their_own_addresses(tmp_path: Path) -> None:
    async with served(tmp_path, ViewFault(kind="foreign-chain", backend="b")) as chain:
        hashes: dict[str, object] = {}
        for name in ("a", "b"):
            async with Rpc(chain.backend_url(name)) as rpc:
                hashes[name] = await rpc.call("getGenesisHash")
        assert hashes["a"] != hashes["b"]
        async with Rpc(chain.rpc_url) as rpc:
            seen = {await rpc.call("getGenesisHash") for _ in range(40)}
        assert seen == set(hashes.values())
        async with Rpc(chain.backend_url("z")) as rpc:
            assert (await rpc.post("{}"))[0] == 404


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (CallFault(kind="http-429", retry_after_seconds=1), "HTTP 429"),
        (CallFault(kind="rpc-429"), "error 429"),
        (CallFault(kind="rpc-32429"), "error -32429"),
        (CallFault(kind="http-error", status=502), "HTTP 502, not a JSON-RPC answer"),
        (CallFault(kind="html"), "HTTP 200, not a JSON-RPC answer"),
        (CallFault(kind="empty"), "not a JSON-RPC answer"),
        (CallFault(kind="truncated"), "not a JSON-RPC answer"),
        (CallFault(kind="duplicate"), "not a JSON-RPC answer"),
        (CallFault(kind="foreign"), "belongs to another request|neither a result"),
        (CallFault(kind="wrong-id"), "belongs to another request"),
        (CallFault(kind="null"), "a count"),
        (CallFault(kind="error", code=-32005, with_data=False), "error -32005"),
        (CallFault(kind="reset-before"), "ServerDisconnectedError|ClientOSError"),
        (CallFault(kind="reset-middle"), "ClientPayloadError|ClientOSError|ServerDisconnected"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
async def test_what_our_client_makes_of_it(tmp_path: Path, fault: CallFault, problem: str) -> None:
    async with served(tmp_path, fault) as chain, open_rpc([chain.rpc_url], retry=ONCE) as rpc:
        with pytest.raises(RpcUnavailable, match=problem):
            await rpc.slot()


async def test_silence_lasts_until_the_client_gives_up(tmp_path: Path) -> None:
    fault = CallFault(kind="timeout", until_call=2)
    async with served(tmp_path, fault) as chain, open_rpc([chain.rpc_url], retry=ONCE) as rpc:
        with pytest.raises(RpcUnavailable, match="TimeoutError"):
            await rpc.call("getSlot", timeout_seconds=0.2)
        assert await rpc.slot() >= 0


async def test_retries_get_through(tmp_path: Path) -> None:
    faults = (CallFault(kind="reset-middle", until_call=2), CallFault(kind="html", until_call=3))
    retry = RetryPolicy(first_pause_seconds=0.01)
    async with served(tmp_path, *faults) as chain, open_rpc([chain.rpc_url], retry=retry) as rpc:
        assert await rpc.slot() >= 0
        assert chain.fleet is not None
        assert [one.kind for one in chain.fleet.happened] == ["reset-middle", "html"]
        assert chain.fleet.calls == 3


@contextlib.asynccontextmanager
async def subscribed(
    path: Path, *faults: SocketFault
) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    """A connection that has asked for slots."""
    async with (
        served(path, *faults) as chain,
        aiohttp.ClientSession() as session,
        session.ws_connect(chain.ws_url) as socket,
    ):
        await socket.send_json(SUBSCRIBE)
        yield socket


async def texts(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    return [await socket.receive_str() for _ in range(count)]


def slots_of(messages: list[str]) -> list[int]:
    return [json.loads(one)["params"]["result"]["slot"] for one in messages]


async def test_a_calm_websocket(tmp_path: Path) -> None:
    async with subscribed(tmp_path) as socket:
        first, *rest = await texts(socket, 4)
        assert json.loads(first)["result"] > 0
        slots = slots_of(rest)
        assert slots == sorted(set(slots))


async def test_a_refused_websocket(tmp_path: Path) -> None:
    async with (
        served(tmp_path, SocketFault(kind="ws-refuse")) as chain,
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(chain.ws_url)
        assert refused.value.status == 503
        assert chain.fleet is not None
        assert [one.kind for one in chain.fleet.happened] == ["ws-refuse"]


async def test_a_dropped_websocket(tmp_path: Path) -> None:
    async with subscribed(tmp_path, SocketFault(kind="ws-drop", after_messages=3)) as socket:
        assert len(await texts(socket, 2)) == 2
        closing = await socket.receive()
        assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1011)


async def test_only_the_named_backends_websocket_is_met(tmp_path: Path) -> None:
    async with (
        served(tmp_path, SocketFault(kind="ws-refuse", backend="b")) as chain,
        aiohttp.ClientSession() as session,
    ):
        async with session.ws_connect(f"{chain.ws_url}/backend/a") as socket:
            await socket.send_json(SUBSCRIBE)
            assert len(await texts(socket, 3)) == 3
        for name, status in (("b", 503), ("z", 404)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{chain.ws_url}/backend/{name}")
            assert refused.value.status == status


async def test_an_overflowing_websocket_is_cut_off(tmp_path: Path) -> None:
    async with subscribed(tmp_path, SocketFault(kind="ws-overflow", after_messages=3)) as socket:
        got: list[aiohttp.WSMsgType] = []
        while not socket.closed:
            got.append((await socket.receive()).type)
        assert got.count(aiohttp.WSMsgType.TEXT) <= 2
        assert socket.close_code == 1006


async def test_a_stalled_websocket_stays_open(tmp_path: Path) -> None:
    async with subscribed(tmp_path, SocketFault(kind="ws-stall", after_messages=3)) as socket:
        await texts(socket, 2)
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)  # fifteen slots
        assert not socket.closed


async def test_lost_notifications(tmp_path: Path) -> None:
    fault = SocketFault(kind="ws-lose", after_messages=2, probability=0.5)
    async with subscribed(tmp_path, fault) as socket:
        _, *rest = await texts(socket, 12)
        slots = slots_of(rest)
        assert slots == sorted(set(slots))
        assert slots[-1] - slots[0] > len(slots) + 1


async def test_foreign_malformed_and_repeated_messages(tmp_path: Path) -> None:
    faults = (
        SocketFault(kind="ws-foreign", after_messages=2),
        SocketFault(kind="ws-malformed", after_messages=2),
        SocketFault(kind="ws-repeat", after_messages=2),
    )
    async with subscribed(tmp_path, *faults) as socket:
        _, malformed, foreign, once, twice, *_ = await texts(socket, 5)
        with pytest.raises(json.JSONDecodeError):
            json.loads(malformed)
        assert "jsonrpc" not in json.loads(foreign)
        assert once == twice
        assert json.loads(once)["method"] == "slotNotification"


@contextlib.asynccontextmanager
async def process(path: Path, *arguments: str) -> AsyncGenerator[dict[str, Any]]:
    """`python -m localnet` with faults; what it wrote to address.json."""
    running = await spawn(path / "chain", path / "keys", "--rpc-port", "0", *arguments)
    try:
        address = path / "chain" / "address.json"
        async with asyncio.timeout(30):
            while True:
                if address.exists() or running.returncode is not None:
                    break
                await asyncio.sleep(0.01)
        yield json.loads(address.read_text())
    finally:
        if running.returncode is None:
            running.terminate()
        await running.communicate()


async def test_the_command_serves_a_script(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(
        '[fleet]\nbackends = ["near", "far"]\n'
        '[[fault]]\nkind = "lag"\nbackend = "far"\nslots = 3\n'
        '[[fault]]\nkind = "http-error"\nmethod = "getHealth"\nprobability = 0.5\n'
    )
    told: list[list[int]] = []
    for number in ("7", "7", "8"):
        arguments = ("--faults", str(file), "--seed", number, "--slot-time-ms", "60000")
        async with process(tmp_path / f"{len(told)}", *arguments) as address:
            assert set(address["backends"]) == {"near", "far"}
            async with Rpc(address["backends"]["near"]) as near:
                slot = await near.call("getSlot", {"commitment": "processed"})
            async with Rpc(address["backends"]["far"]) as far:
                assert await far.call("getSlot", {"commitment": "processed"}) == slot - 3
            async with Rpc(address["rpc_url"]) as rpc:
                asked = '{"jsonrpc":"2.0","id":1,"method":"getHealth"}'
                told.append([(await rpc.post(asked))[0] for _ in range(40)])
    assert told[0] == told[1] != told[2]
    assert {*told[0]} == {200, 503}


async def printed(*arguments: str) -> tuple[int, str, str]:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localnet",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await running.communicate()
    assert running.returncode is not None
    return running.returncode, out.decode(), errors.decode()


async def test_the_command_prints_a_seed_as_a_script(tmp_path: Path) -> None:
    code, out, _ = await printed("--seed", "7", "--print-faults")
    assert code == 0
    assert parse_script(tomllib.loads(out)) == script_of_seed(7)
    assert out == script_text(script_of_seed(7))
    file = tmp_path / "seed.toml"
    file.write_text(out)
    assert await printed("--faults", str(file), "--print-faults") == (0, out, "")


async def test_a_wrong_script_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nkind = "http-429"\nretry_after = 3\n')
    code, out, errors = await printed("--faults", str(file), "--print-faults")
    assert (code, out) == (1, "")
    assert errors == f"localnet: {file}: fault[0].retry_after: unknown key\n"


async def test_a_seed_is_lived_through(tmp_path: Path) -> None:
    """A client that only asks again gets the truth in the end, whatever a seed has done."""
    settings = quick_settings(Path("localnet.toml"))
    script = script_of_seed(3, slots=60, slot_time_ms=20)
    data, keys = tmp_path / "chain", tmp_path / "keys"
    async with cluster_server(settings, data=data, keys=keys, script=script) as chain:
        assert chain.fleet is not None
        retry = RetryPolicy(first_pause_seconds=0.01, longest_pause_seconds=0.05, budget=1_000)
        to = Keypair().pubkey()
        async with Rpc(chain.rpc_url) as raw, open_rpc([chain.rpc_url], retry=retry) as rpc:
            while True:
                with contextlib.suppress(RpcUnavailable, RpcRefused):
                    await rpc.signatures_for(to)
                    await rpc.slot()
                if chain.fleet.slot > 60:
                    break
            assert chain.fleet.happened
            airdrop = await raw.call("requestAirdrop", str(to), 1_000_000)
            while True:
                if await rpc.signatures_for(to):
                    break
            (found,) = await rpc.signatures_for(to)
            assert found.signature == airdrop


async def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    """As a node does it, without any fault: what is queued for a client has an end."""
    async with (
        served(tmp_path) as chain,
        aiohttp.ClientSession() as session,
        session.ws_connect(chain.ws_url) as socket,
    ):
        for number in range(2_000):
            await socket.send_json({**SUBSCRIBE, "id": number})
        await chain.advance(150)
        while not socket.closed:
            await socket.receive()
        assert socket.close_code == 1006
