"""`pod ledger …` typed wrongly: told in words, with the exit code 2, before anything is read."""

import json

import pytest
from typer.testing import CliRunner

from cli.ledger import ledger

_NOWHERE = {"POD_DATABASE": "postgresql://nobody@127.0.0.1:1/none"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("export",), "Missing option '--format'"),
        (("export", "--format", "csv"), "'csv' is not one of"),
        (("export", "--format", "jsonl", "--from", "yesterday"), "Write a day as 2026-11-30."),
        (("export", "--format", "jsonl", "--to", "2026-13-01"), "option=--to, got=2026-13-01"),
        (
            ("export", "--format", "jsonl", "--from", "2026-11-03", "--to", "2026-11-02"),
            "--from is after --to.",
        ),
        (("trial-balance", "--at", "now"), "Write a moment with its zone"),
        (("trial-balance", "--at", "2026-11-02T12:00:00"), "option=--at, got=2026-11-02T12:00:00"),
        (("trial-balance", "--at", "0001-01-01T00:00:00+14:00"), "Write a moment with its zone"),
        (("statement",), "Missing argument 'ACCOUNT'"),
        (("balance",), "Missing argument 'ACCOUNT'"),
        (("statement", "suspense", "--limit", "0"), "Invalid value for '--limit'"),
        (("statement", "suspense", "--limit", "10001"), "Invalid value for '--limit'"),
        (("statement", "suspense", "--after", "-1"), "Invalid value for '--after'"),
        (("statement", "suspense", "--from", "noon"), "Write a moment with its zone"),
        (("balance", "suspense", "--slot", "-1"), "Invalid value for '--slot'"),
        (("balance", "suspense", "--slot", str(2**63)), "Invalid value for '--slot'"),
        (("balance", "suspense", "--at", "2026-11-02"), "option=--at, got=2026-11-02"),
        (("balance", "suspense", "--slot", "1", "--entry", "1"), "Name one of --at, --slot"),
    ],
    ids=str,
)
def test_what_is_typed_wrongly_is_told(words: tuple[str, ...], told: str) -> None:
    answer = CliRunner().invoke(ledger, words, env=_NOWHERE)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert told in " ".join(answer.stderr.replace("│", " ").split())


def test_moments_have_an_order() -> None:
    words = ("--from", "2026-11-02T00:00:01Z", "--to", "2026-11-02T00:00:00Z", "--json")
    answer = CliRunner().invoke(ledger, ("statement", "suspense", *words), env=_NOWHERE)
    assert (answer.exit_code, json.loads(answer.stdout)["error"]) == (2, "moments_reversed")
