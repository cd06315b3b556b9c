"""The scripted agent against wire.md §2: how it connects, says what it has, and comes back."""

from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from aiohttp import WSMsgType, web

from localnet.backend import Backend, serve
from localnet.backend_answers import Behaviour
from localnet.provider_config import BackendEntry, Price
from localnet.provider_identity import Identity
from tests.wire.agent.scripted import agent_at, config_of, everything, model_ids
from tests.wire.agent.stand_in import Frame, stand_in
from tests.wire.waiting import eventually

ENROLLMENT_CODE = "POD-ENROLL-AB12CD34"


async def test_the_handshake_and_the_capabilities(tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, _, _agent):
        line = await one.next_line()
        response = await line.challenge()
        assert set(response) == {"type", "pubkey", "signature", "agent_version"}
        assert (response["type"], response["agent_version"]) == ("auth_response", "0.3.3")
        await line.send(type="auth_ok", provider_id="p-1", future=1)
        assert await line.receive() == {
            "type": "capabilities",
            "models": [
                {
                    "model_id": "tiny-chat",
                    "input_per_1m": 300_000,
                    "output_per_1m": 600_000,
                    "max_concurrent": 2,
                    "backend": "vllm",
                    "context_window": 4096,
                }
            ],
            "limits": {"max_concurrent_total": 2, "max_tokens_per_minute": None},
            "metadata": {"agent_version": "0.3.3"},
        }
        assert Identity.load(tmp_path / "identity.key").provider_id == "p-1"


async def test_the_upgrade_carries_nothing_but_itself(tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, _, _agent):
        headers = {name.lower() for name in (await one.next_line()).headers}
        expected = {"host", "connection", "upgrade", "sec-websocket-version", "sec-websocket-key"}
        assert headers == expected


async def test_the_agent_waits_for_the_challenge_and_answers_pings(tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, _, _agent):
        line = await one.next_line()
        await line.socket.ping(b"early")
        pong = await line.socket.receive(timeout=5)  # and not a text frame
        assert (pong.type, pong.data) == (WSMsgType.PONG, b"early")
        await line.accept()
        await line.socket.ping(b"late")
        pong = await line.socket.receive(timeout=5)
        assert (pong.type, pong.data) == (WSMsgType.PONG, b"late")


async def test_an_enrollment_code_is_sent_until_a_provider_id_is_known(tmp_path: Path) -> None:
    async with stand_in() as one:
        config = config_of(one.url, [], extra=f'enrollment_code = "{ENROLLMENT_CODE}"')
        async with agent_at(one, tmp_path, config):
            line = await one.next_line()
            assert (await line.challenge())["enrollment_code"] == ENROLLMENT_CODE
            await line.send(type="auth_ok")  # no provider_id: the code stays
            assert (await line.receive())["models"] == []
            await line.socket.close()
            line = await one.next_line()
            assert (await line.challenge())["enrollment_code"] == ENROLLMENT_CODE
            await line.send(type="auth_ok", provider_id="p-9")
            await line.receive()
            await line.socket.close()
            line = await one.next_line()
            assert "enrollment_code" not in await line.challenge()


def nonce(value: object) -> Frame:
    return {"type": "auth_challenge", "nonce": value}


@pytest.mark.parametrize(
    "first",
    [
        {"type": "hello"},
        {"type": "auth_challenge"},
        nonce(5),
        nonce("ICEiIyQ"),  # not padded
        nonce("-_-_"),  # the URL-safe alphabet
        nonce("ICEi IyQl"),
    ],
)
async def test_a_bad_challenge_is_a_failure_before_auth(first: Frame, tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, _, agent):
        line = await one.next_line()
        await line.send(**first)
        await line.closed()
        assert agent.last_error
        await one.next_line()


async def test_broken_handshakes_are_dialled_again(tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, _, agent):
        line = await one.next_line()
        await line.socket.send_bytes(b"binary")
        await line.closed()
        line = await one.next_line()
        await line.socket.send_str("{not json")
        await line.closed()
        line = await one.next_line()
        await line.challenge()
        await line.send(type="welcome")
        await line.closed()
        line = await one.next_line()
        await line.challenge()
        await line.send(type="auth_failed", reason="no such key")
        await line.closed()
        assert agent.last_error == "coordinator rejected auth: no such key"
        first, second, third, fourth = one.dialled_at[:4]
        assert second - first < third - second < fourth - third  # each wait doubles


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def elsewhere(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with everything(tmp_path) as (one, _, agent):
        await one.next_line()
        one.upgrade = elsewhere
        async with agent_at(one, tmp_path / "b", agent.config) as other:
            await eventually(lambda: other.last_error)
            assert "redirect" in str(other.last_error)


async def test_heartbeats_are_all_zero(tmp_path: Path) -> None:
    async with everything(tmp_path, heartbeat_seconds=0.05) as (one, _, _agent):
        line = await one.next_line()
        await line.accept()
        assert [await line.receive() for _ in range(2)] == 2 * [
            {
                "type": "heartbeat",
                "queue_depth": 0,
                "tokens_per_sec_p50": 0.0,
                "p50_latency_ms": 0,
                "p95_latency_ms": 0,
                "error_rate_60s": 0.0,
                "last_error_at": None,
                "last_error_code": None,
            }
        ]


async def test_a_lost_connection_is_dialled_again_and_tells_what_there_is_now(
    tmp_path: Path,
) -> None:
    async with everything(tmp_path) as (one, backend, agent):
        line = await one.next_line()
        await line.accept()
        backend.models["second"] = Behaviour()
        await line.socket.close(code=1001)
        line = await one.next_line()
        assert model_ids(await line.accept()) == ["second", "tiny-chat"]
        assert agent.connections >= 1


async def test_a_stopped_agent_leaves_without_a_goodbye(tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, _, _agent):
        line = await one.next_line()
        await line.accept()
        stopped = line
    assert stopped.socket.close_code in (None, 1006)


async def test_backends_that_are_down_leave_an_empty_offer(tmp_path: Path) -> None:
    async with stand_in() as one:
        config = config_of(one.url, [("vllm", "http://127.0.0.1:9")])
        async with agent_at(one, tmp_path, config):
            assert (await (await one.next_line()).accept())["models"] == []


async def test_a_price_of_0_or_an_allow_list_hides_a_model(tmp_path: Path) -> None:
    backend = Backend(models={"free": Behaviour(), "listed": Behaviour(), "unlisted": Behaviour()})
    async with stand_in() as one, serve(backend) as url:
        config = config_of(one.url, [("vllm", url)])
        entry = BackendEntry(kind="vllm", url=url, models=("free", "listed"))
        prices = msgspec.structs.replace(config.pricing, models={"free": Price(5, 0)})
        changed = msgspec.structs.replace(config, backends=(entry,), pricing=prices)
        async with agent_at(one, tmp_path, changed):
            line = await one.next_line()
            assert model_ids(await line.accept()) == ["listed"]
            await line.job(str(uuid4()), model_id="unlisted")
            assert (await line.receive())["error_code"] == "model_not_loaded"
