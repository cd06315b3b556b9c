"""What the story is played on, and how it waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cli.story.api import PATIENCE_SECONDS, PAUSE_SECONDS, Api
from cli.story.books import Books
from cli.story.people import People
from cli.story.report import Report, StoryFailed
from cli.workspace import Running
from localnet.settings import Settings
from settlement.chain.program import Deployment
from settlement.chain.rpc import RpcClient

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Everything the story is played on."""

    running: Running
    settings: Settings
    people: People
    deployment: Deployment
    rpc: RpcClient
    coordinator: Api
    provider: Api
    books: Books
    report: Report


@dataclass(frozen=True, kw_only=True)
class User:
    """A registered user, called by its token."""

    api: Api
    token: str
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An enrolled operator, called by its host token."""

    api: Api
    provider_id: str
    code: bytes


async def until(what: str, look: Callable[[], Awaitable[T | None]]) -> T:
    """Look again and again until there is something. Raises `StoryFailed`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await look()):
        if time.monotonic() > deadline:
            raise StoryFailed(f"waited {PATIENCE_SECONDS:.0f} s for {what}")
        await asyncio.sleep(PAUSE_SECONDS)
    return found
