"""A small OpenAI-shaped inference server without a model: one prompt, always the same answer.

It stands where vLLM or Ollama would stand, so that the provider relays what a real backend sends:
real HTTP, real chunk shapes, one event a token. What it says is `backend_answers`' business; how it
misbehaves when a test wants it to is an option per model (`Behaviour`).

Alone, to compare against: `python -m localnet.backend --model tiny-chat`.
"""

import argparse
import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec
from aiohttp import web

from localnet.backend_answers import (
    Answer,
    Behaviour,
    ChatRequest,
    RequestRefused,
    answer_to,
    count_tokens,
)

_REQUESTS_REMEMBERED = 100


@dataclass(kw_only=True)
class Backend:
    """The server: which models it has, and what happened to the requests (tests look at it)."""

    models: dict[str, Behaviour] = field(default_factory=dict[str, Behaviour])
    started: int = 0
    finished: int = 0
    running: int = 0
    requests: deque[dict[str, object]] = field(
        default_factory=lambda: deque[dict[str, object]](maxlen=_REQUESTS_REMEMBERED)
    )

    def application(self) -> web.Application:
        """The four routes a provider asks a local backend."""
        app = web.Application(client_max_size=16 * 2**20)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/v1/models", self._models),
                web.get("/api/tags", self._tags),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        return app

    @property
    def aborted(self) -> int:
        """Answers that were started and then neither finished nor still running."""
        return self.started - self.finished - self.running

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, _request: web.Request) -> web.Response:
        listed = [
            {"id": model, "object": "model", "created": 0, "owned_by": "localnet"}
            | {"max_model_len": behaviour.context_window}
            for model, behaviour in self.models.items()
        ]
        return web.json_response({"object": "list", "data": listed})

    async def _tags(self, _request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": m, "model": m} for m in self.models]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
            asked, behaviour = self._understand(body)
            self.requests.append(json.loads(body))
            answer = answer_to(asked, behaviour)
        except RequestRefused as refusal:
            return _refusal(refusal)
        self.started += 1
        self.running += 1
        try:
            if asked.stream and not behaviour.ignores_stream:
                response = await _stream(request, asked, answer, behaviour)
            else:
                await _pace(behaviour, len(answer.pieces))
                response = web.json_response(_whole(asked, answer, behaviour))
            self.finished += 1
        except ConnectionResetError:
            await asyncio.Event().wait()  # the client is gone: the server cancels us in a moment
            raise
        finally:
            self.running -= 1
        return response

    def _understand(self, body: bytes) -> tuple[ChatRequest, Behaviour]:
        try:
            asked = msgspec.json.decode(body, type=ChatRequest)
        except msgspec.MsgspecError as error:
            raise RequestRefused(400, "BadRequestError", str(error)) from error
        behaviour = self.models.get(asked.model)
        if behaviour is None:
            message = f"The model `{asked.model}` does not exist."
            raise RequestRefused(404, "NotFoundError", message)
        if behaviour.refuses_with_status is not None:
            message = "this model refuses every request"
            raise RequestRefused(behaviour.refuses_with_status, "BackendError", message)
        return asked, behaviour


def _refusal(refusal: RequestRefused) -> web.Response:
    """As vLLM words it."""
    code, message = refusal.status, str(refusal)
    error = {"message": message, "type": refusal.kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=code)


async def _pace(behaviour: Behaviour, tokens: int) -> None:
    if behaviour.gate is not None:
        await behaviour.gate.wait()
    if behaviour.token_delay_seconds:
        await asyncio.sleep(behaviour.token_delay_seconds * tokens)


def _usage(answer: Answer, behaviour: Behaviour) -> dict[str, object]:
    claimed = behaviour.claimed_output_tokens
    output = answer.output_tokens if claimed is None else claimed
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": output,
        "total_tokens": answer.prompt_tokens + output,
    }


def _whole(asked: ChatRequest, answer: Answer, behaviour: Behaviour) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": "".join(answer.pieces)}
    if answer.tool_call is not None:
        message |= {"content": None, "tool_calls": [answer.tool_call]}
    body: dict[str, object] = {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
        ],
    }
    if behaviour.reports_usage:
        body["usage"] = _usage(answer, behaviour)
    return body


async def _stream(
    request: web.Request, asked: ChatRequest, answer: Answer, behaviour: Behaviour
) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for index, event in enumerate(_events(asked, answer, behaviour)):
        tokens_sent = index - 1  # the first event carries the role alone
        if behaviour.gate is not None and tokens_sent == behaviour.gate_after_tokens:
            await behaviour.gate.wait()
        if tokens_sent == behaviour.cut_after_tokens:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.Event().wait()  # until the server notices and cancels this answer
        if behaviour.token_delay_seconds and index:
            await asyncio.sleep(behaviour.token_delay_seconds)
        await response.write(event)
    await response.write_eof()
    return response


def _events(asked: ChatRequest, answer: Answer, behaviour: Behaviour) -> Iterator[bytes]:
    """The server-sent events of an answer: the role, one event a token, the end, usage, DONE."""
    wants_usage = asked.stream_options is not None and asked.stream_options.include_usage
    envelope = json.dumps(
        {
            "id": f"chatcmpl-{uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": asked.model,
        }
    )[:-1]
    tail = ', "usage": null}' if wants_usage else "}"

    def event(delta: str, finish: str = "null") -> bytes:
        choice = f'{{"index": 0, "delta": {delta}, "logprobs": null, "finish_reason": {finish}}}'
        return f'data: {envelope}, "choices": [{choice}]{tail}\n\n'.encode()

    yield event('{"role": "assistant", "content": ""}')
    for piece in answer.pieces:
        yield event(f'{{"content": "{piece}"}}')
    for delta in _tool_call_deltas(answer.tool_call):
        yield event(json.dumps({"tool_calls": [delta]}))
    yield event("{}", f'"{answer.finish_reason}"')
    if wants_usage and behaviour.reports_usage:
        usage = json.dumps(_usage(answer, behaviour))
        yield f'data: {envelope}, "choices": [], "usage": {usage}}}\n\n'.encode()
    if behaviour.ends_with_done:
        yield b"data: [DONE]\n\n"


def _tool_call_deltas(call: dict[str, object] | None) -> Iterator[dict[str, object]]:
    if call is None:
        return
    function = msgspec.convert(call["function"], dict[str, str])
    yield {"index": 0, **call, "function": {"name": function["name"], "arguments": ""}}
    arguments = function["arguments"]
    for start in range(0, len(arguments), 8):
        yield {"index": 0, "function": {"arguments": arguments[start : start + 8]}}


@asynccontextmanager
async def serve(backend: Backend, *, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str]:
    """Listen until left; yields the base URL. A client that hangs up stops its answer."""
    count_tokens("the vocabulary is loaded before the first request, not by it")
    runner = web.AppRunner(
        backend.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _run(arguments: argparse.Namespace) -> None:
    behaviour = Behaviour(token_delay_seconds=arguments.token_delay_ms * 0.001)
    backend = Backend(models=dict.fromkeys(arguments.model, behaviour))
    async with serve(backend, host=arguments.host, port=arguments.port):
        await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m localnet.backend", description=__doc__)
    parser.add_argument("--model", action="append", required=True, help="a model id to serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--token-delay-ms", type=int, default=0)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
