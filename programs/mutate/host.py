"""Host tests on mutants: the rules are pure, so one test binary tries any of them in no time."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

from programs.build.failure import BuildRefused
from programs.mutate.schema import VARIABLE

_FAILED = re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE)
_RULES = ("rules/", "key.rs")


def is_rule(file: str) -> bool:
    """Whether host tests reach this file."""
    return file.startswith(_RULES)


def build_host_tests(crate: Path, target: Path) -> Path:
    """Compile the crate's own tests for this machine; returns the test binary."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise BuildRefused("no cargo on PATH")
    command = [cargo, "test", "--lib", "--no-run", "--message-format=json", "--quiet"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    done = subprocess.run(
        command, cwd=crate, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildRefused(f"the host tests do not compile:\n{done.stderr[-4000:]}")
    for line in done.stdout.splitlines():
        message = cast("dict[str, object]", json.loads(line))
        if message.get("executable"):
            return Path(str(message["executable"]))
    raise BuildRefused("cargo names no test binary")


def host_killer(binary: Path, number: int) -> str | None:
    """The first host test that fails with this check off."""
    environment = {**os.environ, VARIABLE: str(number)}
    done = subprocess.run(
        [str(binary), "--test-threads=1"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = _FAILED.search(done.stdout)
    if failed is None and done.returncode != 0:
        raise BuildRefused(f"the host tests broke:\n{done.stderr[-2000:]}")
    return f"cargo test {failed[1]}" if failed else None
