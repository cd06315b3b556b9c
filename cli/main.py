"""`pod`: the words people type. One file per noun; `scripts/<word>` is `pod <word>` installed."""

import sys

import typer

from cli import demo, down, reconcile, status, up

app = typer.Typer(
    help="Runs and inspects a podledger system on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("down")(down.down)
app.command("status")(status.status)
app.command("demo")(demo.demo)
app.command("reconcile")(reconcile.reconcile)


def main() -> None:
    """Run the command that was typed."""
    try:
        app()
    except BrokenPipeError:  # the reader of our output (head, less) had enough
        sys.exit(0)
