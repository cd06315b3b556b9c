"""The websocket only ever says "look now", and may come and go."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from indexer.wake import Wake, listen
from settlement.process import beside
from tests.pure.transactions import BOND, DEPLOYMENT, TILL


@asynccontextmanager
async def server(script: list[list[str]]) -> AsyncGenerator[tuple[str, list[list[Any]]]]:
    """One list of messages for each connection, which is then closed; what each one asked for."""
    asked: list[list[Any]] = []
    forever = asyncio.Event()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        number = len(asked)
        asked.append([])
        for _ in range(5):
            asked[number].append(await socket.receive_json())
        if number >= len(script):
            await forever.wait()
        for message in script[number]:
            await socket.send_str(message)
        await socket.close()
        return socket

    application = web.Application()
    application.add_routes([web.get("/", serve)])
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        forever.set()
        await runner.cleanup()


@asynccontextmanager
async def listening(
    url: str, wake: Wake, connected: Callable[[bool], None], *, silent_seconds: float = 10.0
) -> AsyncGenerator[None]:
    """Five subscriptions at the server, for as long as the block lasts."""
    listening_on = listen(
        url,
        accounts=[TILL, BOND],
        mentions=[DEPLOYMENT.program_id, DEPLOYMENT.payouts],
        wake=wake,
        connected=connected,
        silent_seconds=silent_seconds,
    )
    async with beside(listening_on):
        yield


async def test_a_flag_is_down_again_after_it_was_seen() -> None:
    flag = Wake()
    flag.set()
    async with asyncio.timeout(5):
        await flag.wait(60)
    await flag.wait(0.01)  # nobody set it again: only the timer ends this


async def test_hints_wake_and_a_lost_connection_is_made_again() -> None:
    heartbeat = '{"jsonrpc":"2.0","method":"slotNotification","params":{}}'
    hint = '{"jsonrpc":"2.0","method":"logsNotification","params":{}}'
    states: list[bool] = []
    async with server([["not json", "[]", heartbeat, '{"id":1,"result":7}', hint]]) as (url, asked):
        flag = Wake()
        async with asyncio.timeout(20), listening(url, flag, states.append):
            await flag.wait(60)  # connected: look at once
            await flag.wait(60)  # the hint, or connected again
            while len(asked) < 2 or len(asked[1]) < 5:
                await flag.wait(0.05)
    methods = [one["method"] for one in asked[0]]
    assert methods == ["slotSubscribe", *["accountSubscribe"] * 2, *["logsSubscribe"] * 2]
    assert asked[0] == asked[1]
    assert asked[0][3]["params"] == [
        {"mentions": [str(DEPLOYMENT.program_id)]},
        {"commitment": "finalized"},
    ]
    assert states[:3] == [True, False, True]


async def test_only_hints_wake() -> None:
    heartbeat = '{"jsonrpc":"2.0","method":"slotNotification","params":{}}'
    woken = 0

    class Counting(Wake):
        def set(self) -> None:
            nonlocal woken
            woken += 1

    hint = '{"jsonrpc":"2.0","method":"accountNotification","params":{}}'
    async with server([[heartbeat, heartbeat, "{", hint]]) as (url, asked):
        ended = asyncio.Event()

        def connected(state: bool) -> None:
            if not state:
                ended.set()

        async with asyncio.timeout(20), listening(url, Counting(), connected):
            await ended.wait()
    assert len(asked) == 1
    assert woken == 2  # once for being connected, once for the hint


@pytest.mark.parametrize("refused", [None, 3])
async def test_it_is_relied_on_only_when_every_subscription_is_confirmed(
    refused: int | None,
) -> None:
    answers = [
        f'{{"id":{number},"error":{{"code":-32601}}}}'
        if number == refused
        else f'{{"id":{number},"result":{number}}}'
        for number in range(1, 6)
    ]
    last = '{"jsonrpc":"2.0","method":"logsNotification","params":{}}'
    relied_on: list[bool] = []

    class Watching(Wake):
        def set(self) -> None:
            relied_on.append(self.listening)

    async with server([[*answers, last]]) as (url, _):
        flag, ended = Watching(), asyncio.Event()
        async with (
            asyncio.timeout(20),
            listening(url, flag, lambda state: None if state else ended.set()),
        ):
            await ended.wait()
    assert relied_on[:2] == [False, refused is None]
    assert not flag.listening


async def test_a_silent_connection_is_made_again() -> None:
    made = asyncio.Semaphore(0)

    def connected(state: bool) -> None:
        if state:
            made.release()

    async with (
        asyncio.timeout(20),
        server([]) as (url, _),  # it subscribes us, and never says a word
        listening(url, Wake(), connected, silent_seconds=0.1),
    ):
        await made.acquire()
        await made.acquire()


async def test_a_flood_of_messages_is_one_flag() -> None:
    """Nothing is done for a message but setting the flag: a slow reader would be dropped."""
    hint = '{"jsonrpc":"2.0","method":"logsNotification","params":{"result":"' + "x" * 1_000 + '"}}'
    async with server([[hint] * 5_000]) as (url, _):
        flag, ended = Wake(), asyncio.Event()
        async with (
            asyncio.timeout(20),
            listening(url, flag, lambda state: None if state else ended.set()),
        ):
            await ended.wait()
    loop = asyncio.get_running_loop()
    started_seconds = loop.time()
    await flag.wait(60)
    assert loop.time() - started_seconds < 1
    await flag.wait(0.01)  # however many they were, they were one flag
