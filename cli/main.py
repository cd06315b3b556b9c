"""`pod`: the words people type. One module per noun; `scripts/<noun>` is `pod <noun>` installed.

Only the module of the word that was typed is imported: `pod up` should not wait for the demo's SDK.
A noun is a function, or a program of its own whose verbs follow it (`pod bond post`).
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence

import typer

_SYSTEM = ("up", "down", "status", "demo", "reconcile")
NOUNS = (*_SYSTEM, "bond", "deposit", "admin", "ledger", "index", "deposits", "case", "payouts")


def commands(nouns: Sequence[str]) -> typer.Typer:
    """The program with these words."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @app.callback()
    def pod() -> None:  # pyright: ignore[reportUnusedFunction]
        """Runs and inspects a podledger system on this machine."""

    for noun in nouns:
        said = _said(noun)
        if isinstance(said, typer.Typer):
            app.add_typer(said, name=noun)
        elif said is not None:
            app.command(noun)(said)
    return app


def _said(noun: str) -> Callable[..., None] | typer.Typer | None:
    """What a noun does; None where this installation leaves it out."""
    if importlib.util.find_spec(f"cli.{noun}") is None:
        return None
    return getattr(importlib.import_module(f"cli.{noun}"), noun, None)


def main() -> None:
    """Run the command that was typed."""
    typed = [word for word in sys.argv[1:2] if word in NOUNS]
    try:
        commands(typed or NOUNS)()
    except BrokenPipeError:  # the reader of our output (head, less) had enough
        sys.exit(0)
