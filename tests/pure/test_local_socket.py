"""The local socket: whose it is, what it answers, and that nothing said there hurts it."""

import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from settlement import local_socket
from settlement.errors import Refused
from settlement.local_socket import (
    LONGEST_LINE_BYTES,
    MOST_CONNECTIONS,
    NobodyAnswers,
    SocketRefused,
    ask,
    listening,
    understood,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Question(msgspec.Struct, forbid_unknown_fields=True):
    number: int


class Answer(msgspec.Struct):
    double: int


class TooLarge(Refused):
    """The number is too large."""


async def double(line: bytes) -> Answer:
    number = understood(line, Question).number
    if number > 100:
        raise TooLarge(field="number", most=100)
    return Answer(double=2 * number)


@pytest.fixture
def path() -> Generator[Path]:
    with TemporaryDirectory(prefix="pod") as directory:  # a test's own path may be too long
        yield Path(directory) / "inner" / "s"


@asynccontextmanager
async def connected(
    path: Path,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        writer.close()


async def say(path: Path, raw: bytes) -> tuple[dict[str, object], bytes]:
    """The first answer to these bytes, and what comes after it until the other side closes."""
    async with connected(path) as (reader, writer):
        writer.write(raw)
        await writer.drain()
        line = await reader.readline()
        rest = await asyncio.wait_for(reader.read(), 5)
        return msgspec.json.decode(line), rest


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(path: Path) -> None:
    path.touch()


def is_there(path: Path) -> bool:
    return path.exists()


async def asked(path: Path, number: int) -> int:
    return (await ask(path, Question(number=number), Answer, timeout_seconds=5)).double


async def test_it_is_the_owners_alone(path: Path) -> None:
    async with listening(path, double):
        assert (mode(path), mode(path.parent)) == (0o600, 0o700)
        assert await asked(path, 21) == 42
    assert not is_there(path)


WRONG = {
    "not JSON": (b"{\n", None),
    "not UTF-8": (b'{"number": 1, "\xff": 1}\n', None),
    "nothing": (b"\n", None),
    "a list": (b"[]\n", None),
    "nothing in it": (b"{}\n", None),
    "another type": (b'{"number": "1"}\n', "number"),
    "a fraction": (b'{"number": 1.5}\n', "number"),
    "more than was asked": (b'{"number": 1, "sign": "this"}\n', None),
    "too long": (b'{"number": ' + b"1" * LONGEST_LINE_BYTES + b"}\n", None),
}


@pytest.mark.parametrize(("raw", "field"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_no_question_is_told_so_and_the_connection_closed(
    path: Path, raw: bytes, field: str | None
) -> None:
    async with listening(path, double):
        said, rest = await say(path, raw + b'{"number": 1}\n')
        assert said["error"] == "request_invalid"
        assert said["field"] == field
        assert said["message"]
        assert rest == b"", "the second question is not answered"
        assert await asked(path, 1) == 2


async def test_what_is_refused_is_told_with_its_field(path: Path) -> None:
    async with listening(path, double):
        said, rest = await say(path, b'{"number": 101}\n')
        assert (said["error"], said["field"], rest) == ("too_large", "number", b"")


async def test_many_questions_on_one_connection(path: Path) -> None:
    async with listening(path, double), connected(path) as (reader, writer):
        writer.write(b'{"number": 1}\n{"number": 2}\n{"num')
        assert await reader.readline() == b'{"double":2}\n'
        assert await reader.readline() == b'{"double":4}\n'
        writer.write(b'ber": 3}\n')
        assert await reader.readline() == b'{"double":6}\n'


async def test_who_says_nothing_is_not_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_socket, "_IDLE_SECONDS", 0.05)
    async with listening(path, double), connected(path) as (reader, writer):
        writer.write(b'{"number"')
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert await asked(path, 1) == 2


async def test_only_so_many_at_once(path: Path) -> None:
    async with listening(path, double), contextlib.AsyncExitStack() as held:
        first, *_ = [
            await held.enter_async_context(connected(path)) for _ in range(MOST_CONNECTIONS)
        ]
        first[1].write(b'{"number": 1}\n')  # so all have been taken
        await first[0].readline()
        one_more = await held.enter_async_context(connected(path))
        assert await asyncio.wait_for(one_more[0].read(), 5) == b""


async def test_a_socket_nobody_answers_at_is_taken_away(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))  # and never listens: what a kill -9 leaves
    async with listening(path, double):
        assert await asked(path, 3) == 6


async def test_a_socket_somebody_answers_at_is_left_alone(path: Path) -> None:
    async with listening(path, double):
        with pytest.raises(SocketRefused, match="another process listens"):
            async with listening(path, double):
                pass
        assert await asked(path, 4) == 8
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as foreign:  # one that knows nothing of our lock
        foreign.bind(str(path))
        foreign.listen()
        with pytest.raises(SocketRefused, match="somebody answers"):
            async with listening(path, double):
                pass
        assert is_there(path)


async def test_a_file_is_not_taken_away(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    make(path)
    with pytest.raises(SocketRefused, match="something else"):
        async with listening(path, double):
            pass
    assert is_there(path)


@pytest.mark.parametrize("wide", [0o755, 0o710, 0o701, 0o770])
async def test_a_directory_that_others_may_enter_is_refused(path: Path, wide: int) -> None:
    path.parent.mkdir()
    path.parent.chmod(wide)
    with pytest.raises(SocketRefused, match="chmod 700"):
        async with listening(path, double):
            pass


async def test_a_path_no_socket_can_have_is_refused(path: Path) -> None:
    for wrong in (path.with_name("s" * 200), Path("/proc/nowhere/s")):
        with pytest.raises(SocketRefused):
            async with listening(wrong, double):
                pass


async def test_nobody_there_or_nonsense_is_nobody(path: Path) -> None:
    with pytest.raises(NobodyAnswers):
        await asked(path, 1)

    async def nonsense(_line: bytes) -> dict[str, str]:
        return {"double": "two"}

    async def silence(_line: bytes) -> None:
        await asyncio.Event().wait()

    async with listening(path, nonsense):
        with pytest.raises(NobodyAnswers):
            await asked(path, 1)
    async with listening(path, silence):
        with pytest.raises(NobodyAnswers):
            await ask(path, Question(number=1), Answer, timeout_seconds=0.05)
