"""The scripted agent beside a stand-in for the coordinator, ready to be judged."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from localnet.backend import Backend, serve
from localnet.backend_answers import Behaviour
from localnet.provider_agent import Agent, Backoff
from localnet.provider_config import AgentConfig, parse_config
from localnet.provider_metrics import JobMetrics
from tests.wire.agent.stand_in import Frame, Line, StandIn, stand_in


def config_of(url: str, backends: list[tuple[str, str]], *, extra: str = "") -> AgentConfig:
    entries = "".join(f'[[backends]]\nkind = "{k}"\nurl = "{u}"\n' for k, u in backends)
    return parse_config(
        f'[coordinator]\nurl = "{url.replace("http", "ws")}/provider/connect"\n{extra}\n{entries}'
        "[pricing]\ndefault_input_per_1m = 300000\ndefault_output_per_1m = 600000\n"
        "[limits]\nmax_concurrent = 2\n"
    )


@asynccontextmanager
async def agent_at(
    one: StandIn, directory: Path, config: AgentConfig, **options: object
) -> AsyncGenerator[Agent]:
    agent = Agent(
        config=config,
        identity_path=directory / "identity.key",
        metrics=JobMetrics(CollectorRegistry()),
        backoff=Backoff(jitter=lambda: 0.05),
        **options,  # pyright: ignore[reportArgumentType] # each test knows its option
    )
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def everything(
    directory: Path, behaviour: Behaviour | None = None, **options: object
) -> AsyncGenerator[tuple[StandIn, Backend, Agent]]:
    backend = Backend(models={"tiny-chat": behaviour or Behaviour(context_window=4096)})
    async with stand_in() as one, serve(backend) as url:
        config = config_of(one.url, [("vllm", url)])
        async with agent_at(one, directory, config, **options) as agent:
            yield one, backend, agent


def said(frames: list[Frame]) -> bytes:
    return b"".join(base64.b64decode(str(frame["data"])) for frame in frames[:-1])


async def until_terminal(line: Line) -> list[Frame]:
    frames = [await line.receive()]
    while frames[-1]["type"] == "job_chunk":
        frames.append(await line.receive())
    return frames


def models_of(capabilities: Frame) -> list[Frame]:
    """The models a capabilities frame advertises."""
    return msgspec.convert(capabilities["models"], list[Frame])


def model_ids(capabilities: Frame) -> list[object]:
    """Their ids, in the order given."""
    return [model["model_id"] for model in models_of(capabilities)]
