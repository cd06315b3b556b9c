"""The commands as they are typed: help, examples, what is refused before anything is read."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from solders.pubkey import Pubkey
from typer.testing import CliRunner, Result

from cli.main import NOUNS, commands
from cli.transaction.request import Request, takes_request
from cli.workspace import ROOT

CODE = "POD-BOND-a1B2c3D4"
VERBS = (
    "status", "post", "retire", "cancel", "release", "contest", "lapse", "execute", "hand-over",
)  # fmt: skip
_USER = "00ff00ff00ff00ff"
SOMEBODY = str(Pubkey(bytes([5]) * 32))


def pod(*words: str) -> Result:
    return CliRunner().invoke(commands(words[:1]), list(words))


def test_the_bond_says_what_it_can_do() -> None:
    command = [sys.executable, "-m", "cli", "bond", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    for verb in VERBS:
        assert f" {verb} " in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_help_and_an_example(verb: str) -> None:
    said = pod("bond", verb, "--help")
    assert said.exit_code == 0
    assert f"Example: pod bond {verb} {CODE}" in " ".join(said.output.split())
    for option in ("--directory", "--rpc", "--program", "--json"):
        assert option in said.output
    if verb != "status":
        for option in ("--keypair", "--dry-run", "--unsigned", "--yes", "--client"):
            assert option in said.output


def test_deposit_has_help_and_an_example() -> None:
    said = pod("deposit", "--help")
    assert said.exit_code == 0
    assert "pod deposit --code" in said.output
    assert "--dry-run" in said.output


def test_every_noun_is_there() -> None:
    said = CliRunner().invoke(commands(NOUNS), ["--help"])
    assert said.exit_code == 0
    for noun in NOUNS:
        assert f" {noun} " in said.output


def test_a_noun_that_is_left_out_breaks_nothing() -> None:
    said = CliRunner().invoke(commands(("down", "no-such-noun")), ["--help"])
    assert said.exit_code == 0
    assert "no-such-noun" not in said.output


@pytest.mark.parametrize(
    "words",
    [
        ("bond", "post"),
        ("bond", "post", "not-a-code"),
        ("bond", "post", CODE, "--beneficiary", "nobody"),
        ("bond", "post", CODE, "--wallet", "0"),
        ("bond", "post", CODE, "--nonce", SOMEBODY),
        ("bond", "post", CODE, "--nonce-authority", SOMEBODY, "--unsigned"),
        ("bond", "post", CODE, "--client", "anchorpy", "--unsigned"),
        ("bond", "post", CODE, "--client", "other"),
        ("bond", "post", CODE, "--encoding", "hex", "--unsigned"),
        ("bond", "post", CODE, "--price", "-1"),
        ("bond", "post", CODE, "--frobnicate"),
        ("bond", "post", CODE, "--qr", "--beneficiary", SOMEBODY),
        ("bond", "release", CODE, "--qr", "--to", SOMEBODY),
        ("bond", "hand-over", CODE),
        ("bond", "hand-over", CODE, "nobody"),
        ("bond", "contest", CODE),
        ("bond", "contest", CODE, "--reply-file", "/no/such/file"),
        ("bond", "contest", CODE, "--reply-hash", "ab" * 31),
        ("bond", "seize", CODE),
        ("bond", "status"),
        ("deposit", "--code", "00ff00ff00ff00ff"),
        ("deposit", "--amount", "1"),
    ],
)
def test_what_was_typed_wrongly_is_usage(words: tuple[str, ...]) -> None:
    said = pod(*words)
    assert said.exit_code == 2, said.output


@pytest.mark.parametrize(
    ("code", "amount"),
    [
        (_USER, "0"),
        (_USER, "-1"),
        (_USER, "1.0000001"),
        (_USER, "1e3"),
        (_USER, "1_000"),
        (_USER, "1,5"),
        (_USER, "nan"),
        (_USER, "٣"),
        (_USER, ""),
        (_USER, "9999999999999.999999"),
        (_USER[:-1], "1"),
        (_USER + "0", "1"),
        ("gg" * 8, "1"),
        ("a1B2c3D4", "1"),
        ("POD-BOND-a1B2c3D", "1"),
    ],
)
def test_a_deposit_that_was_typed_wrongly(code: str, amount: str, tmp_path: Path) -> None:
    nowhere = ("--directory", str(tmp_path), "--yes")
    said = pod("deposit", "--code", code, "--amount", amount, *nowhere)
    assert said.exit_code == 2, said.output


def test_half_a_deployment_is_usage(tmp_path: Path) -> None:
    nowhere = ("--directory", str(tmp_path))
    for half in (("--rpc", "http://127.0.0.1:1"), ("--program", SOMEBODY), ("--mint", SOMEBODY)):
        said = pod("bond", "status", CODE, *half, *nowhere)
        assert said.exit_code == 2, said.output


def test_nothing_runs_here(tmp_path: Path) -> None:
    for verb in ("status", "post"):
        said = pod("bond", verb, CODE, "--directory", str(tmp_path))
        assert said.exit_code == 1
        assert "pod up" in said.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("bond", "post", CODE),
        ("bond", "retire", CODE),
        ("bond", "cancel", CODE),
        ("bond", "release", CODE),
        ("deposit", "--code", CODE),
    ],
)
def test_a_phone_needs_neither_key_nor_chain(tmp_path: Path, words: tuple[str, ...]) -> None:
    amount = ("--amount", "25.5") if words[0] == "deposit" else ()
    link = ("--qr", "--coordinator", "https://pod.example", "--json", "--directory", str(tmp_path))
    said = pod(*words, *amount, *link)
    assert said.exit_code == 0, said.output
    assert "solana:https%3A%2F%2Fpod.example" in said.output
    assert "a1B2c3D4" in said.output
    shown = pod(*words, *amount, *[word for word in link if word != "--json"])
    assert "█" in shown.output
    nowhere = pod(*words, *amount, "--qr", "--directory", str(tmp_path))
    assert (nowhere.exit_code, "█" in nowhere.output) == (1, False)


def test_a_verbs_own_words_come_before_the_shared_ones() -> None:
    seen: list[tuple[str, bool]] = []
    app = typer.Typer()

    @app.command()
    @takes_request
    def go(request: Request, what: str, twice: bool = False) -> None:  # pyright: ignore[reportUnusedFunction]
        """Go."""
        seen.append((what * (1 + twice), request.manner.dry_run))

    assert CliRunner().invoke(app, ["there", "--twice", "--dry-run"]).exit_code == 0
    assert CliRunner().invoke(app, ["there"]).exit_code == 0
    assert seen == [("therethere", True), ("there", False)]
