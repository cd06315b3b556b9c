"""The scripted agent against wire.md §2: what it does with a job, well or badly served."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest

from localnet.backend import Backend, serve
from localnet.backend_answers import Behaviour
from localnet.provider_jobs import Defects
from tests.wire.agent.scripted import (
    agent_at,
    config_of,
    everything,
    models_of,
    said,
    until_terminal,
)
from tests.wire.agent.stand_in import stand_in
from tests.wire.waiting import eventually


async def test_a_job_is_relayed_byte_for_byte(tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, backend, _agent):
        line = await one.next_line()
        await line.accept()
        job_id = str(uuid4())
        await line.job(job_id, model="tiny-chat", stream=False)
        frames = await until_terminal(line)
        assert all(frame["job_id"] == job_id for frame in frames)
        events = said(frames).decode().split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        assert json.loads(events[0].removeprefix("data: "))["object"] == "chat.completion.chunk"
        usage = json.loads(events[-3].removeprefix("data: "))["usage"]
        tokens = {"input": usage["prompt_tokens"], "output": 8}
        both = {**tokens, "input_tokens": tokens["input"], "output_tokens": 8}
        duration = frames[-1].pop("duration_ms")
        assert isinstance(duration, int)
        assert frames[-1] == {"type": "job_done", "job_id": job_id, "tokens": both}
        assert backend.requests[-1]["stream"] is True
        assert backend.requests[-1]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("behaviour", "code", "message"),
    [
        (Behaviour(refuses_with_status=400), "internal", "backend returned HTTP 400: {"),
        (Behaviour(refuses_with_status=429), "internal", "backend returned HTTP 429: {"),
        (
            Behaviour(refuses_with_status=401),
            "auth_rejected_by_backend",
            "backend returned HTTP 401",
        ),
        (
            Behaviour(refuses_with_status=403),
            "auth_rejected_by_backend",
            "backend returned HTTP 403",
        ),
    ],
)
async def test_a_backends_refusal(
    behaviour: Behaviour, code: str, message: str, tmp_path: Path
) -> None:
    async with everything(tmp_path, behaviour) as (one, _, _agent):
        line = await one.next_line()
        await line.accept()
        await line.job("6A1F0C1E7A0E4B528A44000000000001")
        frame = await line.receive()
        assert frame["job_id"] == "6a1f0c1e-7a0e-4b52-8a44-000000000001"
        assert (frame["type"], frame["error_code"]) == ("job_error", code)
        assert str(frame["message"]).startswith(message)
        assert frame["tokens_emitted"] == 0


async def test_a_cut_stream_counts_the_bytes_relayed(tmp_path: Path) -> None:
    behaviour = Behaviour(cut_after_tokens=2, token_delay_seconds=0.01)
    async with everything(tmp_path, behaviour) as (one, _, _agent):
        line = await one.next_line()
        await line.accept()
        await line.job(str(uuid4()))
        frames = await until_terminal(line)
        assert frames[-1]["type"] == "job_error"
        assert frames[-1]["error_code"] == "internal"
        assert str(frames[-1]["message"]).startswith("transport error: ")
        assert frames[-1]["tokens_emitted"] == len(said(frames)) > 0


async def test_a_backend_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    async with stand_in() as one:
        async with serve(Backend(models={"tiny-chat": Behaviour()})) as url:
            stack = agent_at(one, tmp_path, config_of(one.url, [("vllm", url)]))
            await stack.__aenter__()
            line = await one.next_line()
            await line.accept()
        await line.job(str(uuid4()))
        frame = await line.receive()
        assert frame["error_code"] == "backend_unreachable"
        assert str(frame["message"]).startswith("backend unreachable: ")
        await stack.__aexit__(None, None, None)


async def test_a_deadline_ends_a_slow_job(tmp_path: Path) -> None:
    async with everything(tmp_path, Behaviour(gate=asyncio.Event())) as (one, backend, _agent):
        line = await one.next_line()
        await line.accept()
        await line.send(
            type="job",
            job_id=str(uuid4()),
            model_id="tiny-chat",
            request={"messages": [{"role": "user", "content": "x"}]},
            deadline_ms=200,
        )
        frames = await until_terminal(line)
        assert frames[-1]["error_code"] == "backend_timeout"
        assert frames[-1]["message"] == "backend exceeded deadline_ms"
        await eventually(lambda: backend.aborted)


async def test_an_unknown_model_and_a_full_house(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with everything(tmp_path, Behaviour(gate=gate)) as (one, _, _agent):
        line = await one.next_line()
        await line.accept()
        await line.job(str(uuid4()), model_id="nobody-has-this")
        refusal = await line.receive()
        assert refusal["error_code"] == "model_not_loaded"
        assert refusal["message"] == "no backend serves this model"
        first, second, third = (str(uuid4()) for _ in range(3))
        await line.job(first)
        await line.job(second)
        await line.job(third)
        frames = [await line.receive()]
        while frames[-1]["job_id"] != third:
            frames.append(await line.receive())
        assert frames[-1]["error_code"] == "out_of_capacity"
        assert frames[-1]["message"] == "agent at max_concurrent"
        gate.set()
        ended = {frame["job_id"] for _ in range(2) for frame in (await until_terminal(line))[-1:]}
        assert ended == {first, second}


async def test_a_cancelled_job_says_nothing_more_and_frees_its_place(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with everything(tmp_path, Behaviour(gate=gate)) as (one, backend, _agent):
        line = await one.next_line()
        await line.accept()
        cancelled = [str(uuid4()), str(uuid4())]
        for job_id in cancelled:
            await line.job(job_id)
            await line.receive()
        for job_id in cancelled:
            await line.send(type="job_cancel", job_id=job_id)
        await eventually(lambda: backend.aborted)
        gate.set()
        after = str(uuid4())
        await line.job(after)
        frames = await until_terminal(line)
        terminal = [frame for frame in frames if frame["type"] != "job_chunk"]
        assert [frame["job_id"] for frame in terminal] == [after]


@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        "[]",
        "{}",
        '{"type":"config_update"}',
        '{"type":"job"}',
        '{"type":"job","job_id":"x","model_id":"tiny-chat","request":{}}',
        '{"type":"job_cancel","job_id":"x"}',
        '{"type":"job_cancel","job_id":"6a1f0c1e-7a0e-4b52-8a44-000000000001"}',
    ],
)
async def test_what_cannot_be_understood_is_passed_over(text: str, tmp_path: Path) -> None:
    async with everything(tmp_path) as (one, _, _agent):
        line = await one.next_line()
        await line.accept()
        await line.socket.send_bytes(b"\x00")
        await line.socket.send_str(text)
        job_id = str(uuid4())
        await line.job(job_id)
        frames = await until_terminal(line)
        assert (frames[-1]["type"], frames[-1]["job_id"]) == ("job_done", job_id)


async def test_one_model_at_two_backends_is_advertised_once_by_kind(tmp_path: Path) -> None:
    first = Backend(models={"tiny-chat": Behaviour(context_window=1000)})
    second = Backend(models={"tiny-chat": Behaviour(context_window=2000), "b": Behaviour()})
    async with stand_in() as one, serve(first) as ollama, serve(second) as vllm:
        config = config_of(one.url, [("ollama", ollama), ("vllm", vllm)])
        async with agent_at(one, tmp_path, config):
            line = await one.next_line()
            models = models_of(await line.accept())
            shown = [(m["model_id"], m["backend"], m["context_window"]) for m in models]
            assert shown == [("b", "vllm", 131_072), ("tiny-chat", "vllm", 2000)]
            await line.job(str(uuid4()))
            await until_terminal(line)
            assert (first.finished, second.finished) == (1, 0)  # executed in file order


async def test_the_defect_of_a_cancel_after_the_end(tmp_path: Path) -> None:
    defects = Defects(stale_cancel=True)
    async with everything(tmp_path, defects=defects) as (one, _, _agent):
        line = await one.next_line()
        await line.accept()
        job_id = str(uuid4())
        await line.job(job_id)
        await until_terminal(line)
        await line.send(type="job_cancel", job_id=job_id)
        await line.job(str(uuid4()))
        assert (await line.receive())["error_code"] == "out_of_capacity"


async def test_the_defect_of_a_missing_end(tmp_path: Path) -> None:
    defects = Defects(no_terminal_frame=True)
    async with everything(tmp_path, defects=defects, heartbeat_seconds=0.2) as (one, backend, _):
        line = await one.next_line()
        await line.accept()
        await line.job(str(uuid4()))
        frames = await until_terminal(line)
        assert frames[-1]["type"] == "heartbeat"
        assert backend.finished == 1
