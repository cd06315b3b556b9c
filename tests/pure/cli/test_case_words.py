"""`pod case` before anything is read: help, examples, and how evidence and requests are typed."""

import os
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from cli.case import bundle
from cli.case.bundle import EvidenceTooLarge, EvidenceUnreadable, RequestLineInvalid
from cli.main import commands
from settlement.cases.evidence import EvidenceNameInvalid
from settlement.money import InvalidAmount

VERBS = (
    "open", "review", "propose", "credit-list", "approve", "credit", "close", "list", "show",
    "evidence",
)  # fmt: skip
FIRST, SECOND = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_help_and_an_example(verb: str) -> None:
    said = CliRunner().invoke(commands(("case",)), ["case", verb, "--help"])
    assert said.exit_code == 0
    assert f"Example: pod case {verb} " in " ".join(said.output.split())
    for option in ("--directory", "--database", "--json"):
        assert option in said.output
    if verb == "propose":
        for option in ("--keypair", "--dry-run", "--unsigned", "--yes", "--client"):
            assert option in said.output


def test_the_noun_lists_its_verbs() -> None:
    said = CliRunner().invoke(commands(("case",)), ["case", "--help"])
    assert all(f" {verb} " in said.output for verb in VERBS)


def test_a_directory_is_packed_with_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "one").write_bytes(b"1")
    (tmp_path / "a" / ".hidden").write_bytes(b"")
    (tmp_path / "b").write_bytes(b"22")
    packed = bundle.pack([tmp_path / "a", tmp_path / "b"], kept=True)
    assert {one.name: one.content for one in packed} == {
        "deep/one": b"1",
        ".hidden": b"",
        "b": b"22",
    }
    hashed = bundle.pack([tmp_path / "b"], kept=False)
    assert [(one.name, one.size_bytes, one.content) for one in hashed] == [("b", 2, None)]


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    link, folder, pipe = tmp_path / "link", tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    link.symlink_to(folder)
    (folder / "inside").symlink_to(tmp_path)
    os.mkfifo(pipe)
    for path in (link, folder, pipe, tmp_path / "none"):
        with pytest.raises(EvidenceUnreadable):
            bundle.pack([path], kept=True)
    strange = tmp_path / "a\nb"
    strange.write_bytes(b"")
    with pytest.raises(EvidenceNameInvalid):
        bundle.pack([strange], kept=True)


def test_what_is_kept_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LARGEST_KEPT_BYTES", 3)
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"3")
    assert len(bundle.pack([tmp_path], kept=True)) == 2
    (tmp_path / "c").write_bytes(b"4")
    with pytest.raises(EvidenceTooLarge):
        bundle.pack([tmp_path], kept=True)
    assert len(bundle.pack([tmp_path], kept=False)) == 3


def test_requests_are_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text(f"# a comment\n\n {FIRST} \n{SECOND} , 2.5 # in part\n")
    assert bundle.claims_in(file, []) == {FIRST: None, SECOND: 2_500_000}
    assert bundle.claims_in(None, [f"{FIRST},1"]) == {FIRST: 1_000_000}
    assert bundle.claims_in(None, []) == {}


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("nobody", RequestLineInvalid),
        (f"{FIRST}\n{FIRST}", RequestLineInvalid),
        (f"{FIRST};1", RequestLineInvalid),
        (f"{FIRST},", InvalidAmount),
        (f"{FIRST},0", InvalidAmount),
        (f"{FIRST},-1", InvalidAmount),
        (f"{FIRST},0.0000001", InvalidAmount),
        (f"{FIRST},NaN", InvalidAmount),
        (f"{FIRST},1,2", InvalidAmount),
    ],
)
def test_a_line_that_is_wrong_is_told(tmp_path: Path, text: str, refusal: type[Exception]) -> None:
    file = tmp_path / "requests.csv"
    file.write_text(text)
    with pytest.raises(refusal, match=r"requests\.csv:"):
        bundle.claims_in(file, [])
    with pytest.raises(RequestLineInvalid):
        bundle.claims_in(tmp_path / "none", [])
