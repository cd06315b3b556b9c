"""`pod case` as it is typed: one story through all its words, and what is typed wrongly."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.database.cases.world import Accused, World
from tests.database.words import Answer, typed


class Terminal:
    """Where words are typed."""

    def __init__(self, world: World) -> None:
        self.dsn = world.books.database.dsn

    async def pod(self, *words: str) -> Answer:
        return await typed(*words, dsn=self.dsn, noun="case")

    async def done(self, *words: str) -> str:
        """What was printed by a command that went well."""
        answer = await self.pod(*words)
        assert (answer.code, answer.err) == (0, ""), answer
        return answer.out

    async def json(self, *words: str) -> Any:  # noqa: ANN401
        return json.loads(await self.done(*words, "--json"))

    async def refused(self, *words: str, code: int = 1) -> str:
        """The error of a command that was refused."""
        answer = await self.pod(*words, "--json")
        assert answer.code == code, answer
        return str(json.loads(answer.out)["error"])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A directory of evidence."""
    folder = tmp_path / "bundle"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "1.txt").write_bytes(b"one\x00")
    (folder / "note.txt").write_text("what happened")
    return folder


def opening(accused: Accused, evidence: Path, *requests: str) -> list[str]:
    """The words that open a case."""
    named = [word for one in requests for word in ("--request", one)]
    said = ("--reason-code", "3", "--reason", "another [red]model\x1b[31m", "--actor", "ann")
    return ["open", "--operator", f"POD-BOND-{accused.code}", "--evidence", str(evidence),
            *said, *named]  # fmt: skip


@pytest.mark.timeout(300)
async def test_a_case_from_its_opening_to_its_end(
    world: World, bundle: Path, tmp_path: Path
) -> None:
    terminal, accused, alice = Terminal(world), await world.operator(), await world.user()
    first, second = await world.paid(alice, accused, 60_000_000, 10_000_000)
    file = tmp_path / "requests.csv"
    file.write_text(f"# those of monday\n{first}\n\n{second}, 2.5  # in part\n")
    opened = await terminal.json(*opening(accused, bundle), "--requests", str(file))
    case_id = opened["case_id"]
    assert (opened["state"], opened["bond"]) == ("open", accused.bond)
    assert await terminal.refused("review", case_id, "--actor", "Ann", "--note", "x") == (
        "same_person"
    )
    said = await terminal.done("review", case_id, "--actor", "bob", "--note", "compared")
    assert said == f"case {case_id} is reviewed\n"
    manifest = await terminal.done("evidence", case_id)
    assert [line.split()[2:] for line in manifest.splitlines() if line.startswith("file ")] == [
        ["4", "logs/1.txt"],
        ["13", "note.txt"],
    ]
    other = await world.open(accused, [second])
    listed = await terminal.json("list", "--operator", str(accused.provider_id))
    assert {one["case_id"] for one in listed} == {str(other.case_id), case_id}
    assert await terminal.done("list", "--state", "lapsed") == "no such case\n"
    shown = await terminal.done("list", "--operator", accused.code, "--state", "reviewed")
    assert case_id in shown
    assert "another [red]model\\x1b[31m" in shown
    whole = await terminal.json("show", case_id)
    assert [(one["name"], one["size_bytes"], one["kept"]) for one in whole["files"]] == [
        ("logs/1.txt", 4, True),
        ("note.txt", 13, True),
    ]
    assert {one["claimed_microusdc"] for one in whole["requests"]} == {60_000_000, 2_500_000}
    await world.seize(await world.found(UUID(case_id)))
    drawn = await terminal.done("credit-list", case_id, "--backstop", "--actor", "cleo")
    assert f"pod case approve {case_id} --list 1 --backstop 12.500000 --actor NAME" in drawn
    assert alice in drawn
    approving = ("approve", case_id, "--list", "1", "--actor", "dan")
    assert await terminal.refused(*approving) == "backing_not_confirmed"
    assert "approved by dan" in await terminal.done(*approving, "--backstop", "12.5")
    assert "credited: 62.500000 USDC" in await terminal.done("credit", case_id)
    again = await terminal.json("credit", case_id)
    assert (again["before"], again["credited_microusdc"]) == (True, 62_500_000)
    closed = await terminal.json("close", case_id, "--actor", "bob", "--note", "all credited")
    assert closed["state"] == "closed"
    shown = await terminal.done("show", case_id)
    for text in ("executed", "logs/1.txt", "agreed", "treasury 12.500000", "all credited"):
        assert text in shown
    assert "\x1b[31m" not in shown


@pytest.mark.timeout(180)
async def test_evidence_is_written_out_and_compared(
    world: World, bundle: Path, tmp_path: Path
) -> None:
    terminal, accused, alice = Terminal(world), await world.operator(), await world.user()
    (request,) = await world.paid(alice, accused, 700)
    case_id = (await terminal.json(*opening(accused, bundle, str(request))))["case_id"]
    out = tmp_path / "out"
    manifest = await terminal.done("evidence", case_id, "--output", str(out))
    assert (out / "manifest.txt").read_text() == manifest
    assert (out / "files" / "logs" / "1.txt").read_bytes() == b"one\x00"
    assert await terminal.refused("evidence", case_id, "--output", str(out)) == "output_in_the_way"
    same = "the files are those of the evidence\n"
    assert await terminal.done("evidence", case_id, "--check", str(out / "files")) == same
    (bundle / "note.txt").write_text("what else")
    (bundle / "logs" / "1.txt").rename(bundle / "logs" / "2.txt")
    told = await terminal.pod("evidence", case_id, "--check", str(bundle), "--json")
    assert told.code == 1
    assert json.loads(told.out)["differences"] == {
        "logs/1.txt": "missing",
        "logs/2.txt": "not of the evidence",
        "note.txt": "another content",
    }


async def test_only_hashes_are_kept_where_that_is_asked(world: World, bundle: Path) -> None:
    terminal, accused, alice = Terminal(world), await world.operator(), await world.user()
    (request,) = await world.paid(alice, accused, 700)
    words = opening(accused, bundle / "note.txt", str(request))
    case_id = (await terminal.json(*words, "--hash-only"))["case_id"]
    (file,) = (await terminal.json("show", case_id))["files"]
    assert (file["name"], file["kept"]) == ("note.txt", False)


@pytest.mark.timeout(300)
async def test_what_is_typed_wrongly(world: World, bundle: Path, tmp_path: Path) -> None:
    terminal, accused, alice = Terminal(world), await world.operator(), await world.user()
    (request,) = await world.paid(alice, accused, 700)
    good = opening(accused, bundle, str(request))
    for words, error, code in (
        (opening(accused, tmp_path / "none", str(request)), "evidence_unreadable", 1),
        (opening(accused, bundle, f"{request},0.0008"), "claim_too_large", 1),
        (["open", "--operator", "nobody", *good[3:]], "not_an_operator", 2),
        (["open", "--operator", "POD-BOND-abcdefgh", *good[3:]], "operator_unknown", 1),
        (["show", "1"], "not_a_case", 2),
        (["credit", str(uuid4())], "case_unknown", 1),
        (["propose", str(uuid4())], "case_unknown", 1),
    ):
        assert await terminal.refused(*words, code=code) == error, words
    assert await world.books.fetchval("select count(*) from settlement.fraud_case") == 0
