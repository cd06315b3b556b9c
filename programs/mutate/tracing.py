"""Which checks a test reaches: a chain that reads them from the logs of a tracing program.

Only a test that reaches a check can notice that it is off. So every test runs once with the
program that tells each check it comes to, and a mutant is tried with the tests that reach it.
"""

import re
from typing import Any

from solders import litesvm

REACHED: set[int] = set()
_LINE = re.compile(r"Program log: 0x0, 0x0, 0x0, 0x0, 0x([0-9a-f]+)$")
_CHAIN = litesvm.LiteSVM


class TracedChain:
    """A `LiteSVM` whose logs are never cut, and are read."""

    def __init__(self) -> None:
        self._chain = _CHAIN().with_log_bytes_limit(None)

    def send_transaction(self, transaction: Any) -> Any:  # noqa: ANN401  # any transaction's result
        """Send it, and note what was reached."""
        result = self._chain.send_transaction(transaction)
        _note(result)
        return result

    def simulate_transaction(self, transaction: Any) -> Any:  # noqa: ANN401  # as above
        """As `send_transaction`."""
        result = self._chain.simulate_transaction(transaction)
        _note(result)
        return result

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the chain has
        return getattr(self._chain, name)


def install() -> None:
    """Put it in the place of the real one, before any test imports that."""
    litesvm.LiteSVM = TracedChain  # pyright: ignore[reportAttributeAccessIssue]  # for this process


def _note(result: Any) -> None:  # noqa: ANN401  # as above
    meta = result.meta() if callable(getattr(result, "meta", None)) else result
    for line in meta.logs():
        found = _LINE.match(line)
        if found is not None:
            REACHED.add(int(found[1], 16))
