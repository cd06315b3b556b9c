"""The other end of `trial`: a pytest process that is asked, and a pool of them."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar, cast

from programs.build.failure import BuildRefused
from programs.mutate.trial import PROGRAM_VARIABLE

# They test the build, or compute that the mutated program uses more of, not the checks.
_LEFT_OUT = ("test_build*", "test_compute*", "test_mutants*")
T = TypeVar("T")
Answer = dict[str, object]


class Worker:
    """One pytest process that serves trials."""

    def __init__(self, program: Path, patched: Path, tests: Sequence[str], root: Path) -> None:
        patched.write_bytes(program.read_bytes())
        ignored = [f"--ignore-glob=*{name}" for name in _LEFT_OUT]
        command = [sys.executable, "-m", "programs.mutate.trial", str(program), *tests, *ignored]
        # Imports must see the tree that is tested, and the tool's own modules.
        paths = os.pathsep.join([str(root), str(Path(__file__).parents[2])])
        self._process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, PROGRAM_VARIABLE: str(patched), "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> list[str]:
        """The tests it has collected; raises `BuildRefused` when it cannot."""
        return cast("list[str]", self._read()["tests"])

    def ask(self, request: Mapping[str, object]) -> Answer:
        """Try one mutant."""
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        return self._read()

    def end(self) -> None:
        """No more requests."""
        cast("IO[str]", self._process.stdin).close()
        self._process.wait()

    def _read(self) -> Answer:
        line = cast("IO[str]", self._process.stdout).readline()
        if not line:
            raise BuildRefused("a worker ended: do the tests collect?")
        return cast("Answer", json.loads(line))


class Pool:
    """Some workers, and a line on the terminal that tells how far they are."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers
        self.tests, *_ = [worker.wait_ready() for worker in workers]

    def each(self, what: str, work: Sequence[T], serve: Callable[[Worker, T], str | None]) -> None:
        """Have all the work done; what `serve` returns is told on a line of its own."""
        left: queue.SimpleQueue[T] = queue.SimpleQueue()
        for piece in work:
            left.put(piece)
        done = [0]

        def run(worker: Worker) -> None:
            while not left.empty():
                try:
                    piece = left.get_nowait()
                except queue.Empty:
                    break
                told = serve(worker, piece)
                done[0] += 1
                _show(what, done[0], len(work), told)

        threads = [threading.Thread(target=run, args=(worker,)) for worker in self._workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if work:
            sys.stderr.write("\n")

    def end(self) -> None:
        """No more work."""
        for worker in self._workers:
            worker.end()


def _show(what: str, done: int, total: int, told: str | None) -> None:
    if told is not None:
        sys.stderr.write(f"\r{told}\n")
    filled = 40 * done // total
    sys.stderr.write(f"\r{what} [{'#' * filled}{'.' * (40 - filled)}] {done}/{total} ")
    sys.stderr.flush()
