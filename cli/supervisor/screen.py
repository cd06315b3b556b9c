"""What people see while a system runs: one status line per role.

On a terminal the lines stay in place and change; elsewhere (a pipe, a log) a line is written when a
role changes its state. Everything goes to stderr: stdout belongs to what programs read.
"""

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.supervisor.child import Child, State

_COLOURS: dict[State, str] = {
    "waiting": "dim",
    "starting": "yellow",
    "ready": "green",
    "unwell": "red",
    "restarting": "red",
    "stopping": "yellow",
    "stopped": "dim",
}


class Screen(Protocol):
    """Where status goes."""

    def show(self, children: Sequence[Child]) -> None:
        """These are the roles from now on."""
        ...

    def changed(self, child: Child) -> None:
        """This role has another state or says something else."""
        ...

    def say(self, line: str) -> None:
        """One line about the whole system."""
        ...

    def close(self) -> None:
        """Nothing more will be shown."""
        ...


class PlainScreen:
    """A line when a state changes; what a role says about itself meanwhile is not repeated."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._known: dict[str, State] = {}

    def show(self, children: Sequence[Child]) -> None:
        """Nothing to draw beforehand."""

    def changed(self, child: Child) -> None:
        """Write the new state."""
        if self._known.get(child.role.name) == child.state:
            return
        self._known[child.role.name] = child.state
        pid = f"pid {child.pid}" if child.pid else ""
        told = "  ".join(part for part in (child.line, pid) if part)
        self._console.print(Text(f"{child.role.name:<12} {child.state:<10} {told}".rstrip()))

    def say(self, line: str) -> None:
        """Write the line."""
        self._console.print(Text(line))

    def close(self) -> None:
        """Nothing is open."""


class LiveScreen:
    """One line per role that stays where it is."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._children: Sequence[Child] = ()
        # Drawn when something changes, not by a thread: processes are forked from this one.
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def show(self, children: Sequence[Child]) -> None:
        """Draw these."""
        self._children = children
        self._live.update(self._table(), refresh=True)

    def changed(self, child: Child) -> None:
        """Draw again."""
        self._live.update(self._table(), refresh=True)

    def say(self, line: str) -> None:
        """Write the line above the table."""
        self._console.print(Text(line))

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(min_width=12)
        table.add_column(min_width=10)
        for _ in range(3):
            table.add_column(overflow="ellipsis", no_wrap=True)
        for child in self._children:
            table.add_row(
                child.role.name,
                Text(child.state, style=_COLOURS[child.state]),
                (child.role.url or "").split("?")[0],
                f"restarts: {child.restarts}" if child.restarts else "",
                child.line,
            )
        return table


def screen_for(console: Console) -> Screen:
    """The kind of screen that stderr can show."""
    return LiveScreen() if console.is_terminal else PlainScreen()
