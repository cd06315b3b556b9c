"""Questions and answers between two processes of one machine: JSON lines over a Unix socket.

The socket is nobody's but its owner's: mode 0600, in a directory of mode 0700. One that a killed
process left behind is taken away, but only when nobody answers there. A question that is not
understood is answered with what is wrong with it, and the connection is closed; the next one finds
the server as it was.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from settlement.errors import PodError, Refused, Unavailable

LONGEST_LINE_BYTES: Final = 65_536
MOST_CONNECTIONS: Final = 64
_IDLE_SECONDS: Final = 30.0
_PROBE_SECONDS: Final = 1.0
Answer = Callable[[bytes], Awaitable[object]]
Shape = TypeVar("Shape")
_log = structlog.stdlib.get_logger()


class SocketRefused(Refused):
    """The local socket cannot be opened here."""


class RequestInvalid(Refused):
    """This is no question for this socket."""


class NobodyAnswers(Unavailable):
    """Nobody answers at the local socket."""


class Wrong(msgspec.Struct, kw_only=True):
    """What is answered to a question that cannot be."""

    error: str  # a word for programs
    message: str
    field: str | None = None


@asynccontextmanager
async def listening(path: Path, answer: Answer) -> AsyncGenerator[None]:
    """Answer lines at `path` as long as the block lasts. Raises `SocketRefused`.

    `answer` takes one line and gives what is to be written as JSON; a `PodError` it raises is
    told to whoever asked.
    """
    with _only_here(path):
        door = _Door(answer)
        listener, inode = _bound(path)
        server = await asyncio.start_unix_server(
            door.serve, sock=listener, limit=LONGEST_LINE_BYTES
        )
        try:
            yield
        finally:
            server.close()
            door.close()
            _take_away(path, inode)


async def ask(
    path: Path, question: msgspec.Struct, shape: type[Shape], *, timeout_seconds: float
) -> Shape:
    """One question, and its answer as `shape`. Raises `NobodyAnswers` whatever goes wrong."""
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE_BYTES)
            try:
                writer.write(msgspec.json.encode(question) + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
        return msgspec.json.decode(line, type=shape)
    except (OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
        problem = str(error) or type(error).__name__
        raise NobodyAnswers(path=str(path), problem=problem) from None


def understood(line: bytes, shape: type[Shape]) -> Shape:
    """The question in a line. Raises `RequestInvalid` naming the field."""
    try:
        return msgspec.json.decode(line, type=shape)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$.")
        raise RequestInvalid(field=where.rstrip("`") or None, problem=text) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RequestInvalid(problem="not JSON") from None


class _Door:
    """The connections of one listener."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._tasks.add(task)
        try:
            if len(self._tasks) <= MOST_CONNECTIONS:
                await self._lines(reader, writer)
        except (OSError, TimeoutError):
            pass  # whoever asked is gone, or asks nothing
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    line = await reader.readline()
            except ValueError:
                most = f"longer than {LONGEST_LINE_BYTES} bytes"
                await self._say(writer, _told(RequestInvalid(problem=most)))
                return
            if not line:
                return
            try:
                said = await self._answer(line)
            except PodError as error:
                _log.warning("socket_question_refused", problem=str(error))
                await self._say(writer, _told(error))
                return
            await self._say(writer, said)

    async def _say(self, writer: asyncio.StreamWriter, said: object) -> None:
        writer.write(msgspec.json.encode(said) + b"\n")
        await writer.drain()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


def _told(error: PodError) -> Wrong:
    field = error.details.get("field")
    return Wrong(error=error.code, message=str(error), field=None if field is None else str(field))


@contextmanager
def _only_here(path: Path) -> Generator[None]:
    """Hold the place of this socket; whoever else wants it hears that it is taken."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.parent.stat()
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SocketRefused(path=str(path), problem=error.strerror or str(error)) from None
    try:
        if found.st_mode & 0o077 or found.st_uid != os.geteuid():
            problem = f"its directory must be ours alone: chmod 700 {path.parent}"
            raise SocketRefused(path=str(path), problem=problem)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SocketRefused(path=str(path), problem="another process listens there") from None
    finally:
        os.close(lock)


def _bound(path: Path) -> tuple[socket.socket, int]:
    """A socket at this path, and which file that is."""
    _clear(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
    except OSError as error:
        made.close()
        raise SocketRefused(path=str(path), problem=str(error)) from None
    finally:
        os.umask(before)
    return made, path.stat().st_ino


def _take_away(path: Path, inode: int) -> None:
    """Remove our own socket; not one that somebody put in its place."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


def _clear(path: Path) -> None:
    """Take away a socket that nobody answers at."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketRefused(path=str(path), problem="something else is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise SocketRefused(path=str(path), problem=str(error)) from None
    raise SocketRefused(path=str(path), problem="somebody answers there")
