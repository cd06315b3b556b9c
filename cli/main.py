"""`pod`: the words people type. One file per noun; `scripts/<noun>` is `pod <noun>` installed.

Only the file of the word that was typed is imported: `pod up` should not wait for the demo's SDK.
"""

import importlib
import sys
from collections.abc import Sequence

import typer

NOUNS = ("up", "down", "status", "demo", "reconcile")


def commands(nouns: Sequence[str]) -> typer.Typer:
    """The program with these words."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @app.callback()
    def pod() -> None:  # pyright: ignore[reportUnusedFunction]
        """Runs and inspects a podledger system on this machine."""

    for noun in nouns:
        app.command(noun)(getattr(importlib.import_module(f"cli.{noun}"), noun))
    return app


def main() -> None:
    """Run the command that was typed."""
    typed = [word for word in sys.argv[1:2] if word in NOUNS]
    try:
        commands(typed or NOUNS)()
    except BrokenPipeError:  # the reader of our output (head, less) had enough
        sys.exit(0)
