"""`pod ledger archive` and `verify-archive` typed wrongly: told in words, exit code 2."""

import pytest
from typer.testing import CliRunner

from cli.ledger import ledger

_NOWHERE = {"POD_DATABASE": "postgresql://nobody@127.0.0.1:1/none"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("archive", "--before", "yesterday"), "Write a day as 2026-11-30."),
        (("archive", "--keep-days", "1"), "Invalid value for '--keep-days'"),
        (("archive", "--keep-days", "x"), "Invalid value for '--keep-days'"),
        (("verify-archive",), "Missing argument 'FILE'"),
        (("verify-archive", "x.parquet", "--seal-hash", "12"), "64 hexadecimal digits"),
        (("verify-archive", "x.parquet", "--seal-hash", "g" * 64), "64 hexadecimal digits"),
    ],
    ids=str,
)
def test_what_is_typed_wrongly_is_told(words: tuple[str, ...], told: str) -> None:
    answer = CliRunner().invoke(ledger, words, env=_NOWHERE)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert told in " ".join(answer.stderr.replace("│", " ").split())


def test_a_database_that_is_away_is_told() -> None:
    answer = CliRunner().invoke(ledger, ("archive", "--json"), env=_NOWHERE)
    assert answer.exit_code == 1
    assert '"error": "database_unavailable"' in answer.stdout
