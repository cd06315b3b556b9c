"""Files of an archived day: what is written is read again, and whatever is changed is noticed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from settlement.ledger import parquet, verify_hash
from settlement.ledger.archive_check import ArchiveWrong, check_files, rows_in
from settlement.ledger.archive_file import DayFiles, DayWriter, read_manifest, written
from settlement.ledger.archive_manifest import Manifest, ManifestUnreadable
from settlement.ledger.archive_rows import COLUMNS, Archived, columns_of
from settlement.ledger.merkle import Node, Range
from settlement.ledger.merkle_multi import multi_hashes, multi_needs
from settlement.ledger.merkle_proof import Span
from settlement.ledger.parquet import NotThatFile
from settlement.ledger.seal_rows import SealHead
from settlement.ledger.verify_rows import ChargeRow

DAY = date(2026, 11, 2)
SIZE = 700


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A day's files, and what went into them."""

    files: DayFiles
    rows: list[Archived]
    manifest: Manifest

    def check(self, manifest: Manifest | None = None, seal_hash: bytes | None = None) -> None:
        check_files(self.files, manifest or self.manifest, print, seal_hash=seal_hash)


def charge(at: int, chance: Random) -> ChargeRow:
    """The charge at this place of a day."""
    moment = datetime(2026, 11, 2, tzinfo=UTC) + timedelta(seconds=61 * at)
    name = round(moment.timestamp() * 1_000) << 80 | 0x7 << 76 | 0b10 << 62 | at
    gross = chance.choice((0, 1, 4, 5, 99_999, 2**62))
    share = gross * 2_000 // 10_000
    return ChargeRow(
        *(UUID(int=name), 1, at // 7 + 1, at % 7 + 1, UUID(int=name ^ 1), 5, 6),
        *(gross, gross - share, share, 2_000, at + 1, at + 1, at + 1, -(2**63) + at),
    )


def scattered() -> list[Archived]:
    """Charges of one day among the leaves of other things."""
    chance = Random(7)
    # All of some tiles of 256 leaves, some of others; neither the first nor the last leaf.
    places = sorted({*range(256, 512), *chance.sample(range(1, 699), 150)})
    made = [charge(at, chance) for at in range(len(places))]
    recorded = datetime(2026, 11, 2, 12, tzinfo=UTC)
    return [
        Archived(one, 9, recorded + timedelta(microseconds=at), at, verify_hash.leaf(one.text))
        for one, at in zip(made, places, strict=True)
    ]


def seal_over(rows: list[Archived]) -> tuple[SealHead, Callable[[Span], list[bytes]]]:
    """A seal of a tree with these leaves and others; and what proves what is between them."""
    of_rows = {row.leaf_index: row.leaf for row in rows}
    leaves = [of_rows.get(at, sha256(bytes([at % 256])).digest()) for at in range(SIZE)]
    tree = Range()
    tree.extend(leaves)
    nodes = {
        Node(level, index): _root(leaves[index << level : (index + 1) << level])
        for level in range(SIZE.bit_length())
        for index in range(SIZE >> level)
    }
    seal = SealHead(
        seal_no=3,
        era=1,
        made_at=datetime(2026, 12, 1, 0, 0, 0, 5, tzinfo=UTC),
        rows=SIZE,
        tree_size=SIZE,
        root=tree.root(),
        **{name: sha256(name.encode()).digest() for name in ("cut_hash", "balances_hash")},
        prev_hash=bytes(32),
        hash=b"",
    )

    def between(gap: Span) -> list[bytes]:
        others = [(0, gap[0]), (gap[1], SIZE)]
        runs = [run for run in others if run[0] < run[1]]
        assert set(multi_needs(runs, SIZE)) <= set(nodes)
        return multi_hashes(runs, SIZE, nodes)

    return replace(seal, hash=seal.true_hash), between


def _root(leaves: list[bytes]) -> bytes:
    tree = Range()
    tree.extend(leaves)
    return tree.root()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A day of charges, kept in files."""
    rows = scattered()
    seal, between = seal_over(rows)
    files = DayFiles.of(tmp_path / "archive", DAY)
    with DayWriter(files, DAY) as writer:
        for at in range(0, len(rows), 37):
            writer.add(rows[at : at + 37])
        for gap in writer.gaps(SIZE):
            writer.prove(between(gap))
        manifest = writer.finish(seal)
        check_files(files.fresh, manifest, print)
        writer.publish()
    return Kept(files=files, rows=rows, manifest=manifest)


def test_what_is_written_is_read_again(kept: Kept) -> None:
    assert [row for piece in rows_in(kept.files.rows) for row in piece] == kept.rows
    assert kept.files.written() == kept.manifest
    names = [row.charge.row_id for row in kept.rows]
    assert (kept.manifest.first_id, kept.manifest.last_id) == (min(names), max(names))
    assert kept.manifest.sums.gross == sum(row.charge.gross for row in kept.rows)
    kept.check()
    seal = kept.manifest.seal
    assert seal is not None
    kept.check(seal_hash=seal.hash)
    assert sorted(path.name for path in kept.files.rows.parent.iterdir()) == [
        "charges-20261102.json",
        "charges-20261102.parquet",
        "charges-20261102.proof",
    ]


def test_a_day_without_rows_has_files_too(tmp_path: Path) -> None:
    files = DayFiles.of(tmp_path, DAY)
    with DayWriter(files, DAY) as writer:
        assert list(writer.gaps(0)) == []
        manifest = writer.finish(None)
        writer.publish()
    check_files(files, manifest, print)
    assert read_manifest(files.manifest) == manifest
    with pytest.raises(ArchiveWrong, match="rule=seal"):
        check_files(files, manifest, print, seal_hash=bytes(32))


def test_files_that_were_not_finished_are_not_there(tmp_path: Path) -> None:
    files = DayFiles.of(tmp_path, DAY)

    def interrupted() -> None:
        with DayWriter(files, DAY) as writer:
            writer.add(scattered()[:9])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    assert files.written() is None


def changed(kept: Kept, at: int, **columns: object) -> list[Archived]:
    """The rows, one of them with something else in it; its leaf is made anew where it can be."""
    row = kept.rows[at]
    own = {name: value for name, value in columns.items() if name in Archived._fields}
    of_charge = {name: value for name, value in columns.items() if name not in own}
    other = row.charge._replace(**of_charge)
    fresh = row._replace(charge=other, leaf=verify_hash.leaf(other.text))._replace(**own)
    return [*kept.rows[:at], fresh, *kept.rows[at + 1 :]]


def rewritten(kept: Kept, rows: list[Archived]) -> Manifest:
    """The rows' file with other rows in it, and a manifest that says so."""
    with parquet.ParquetWriter(kept.files.rows, COLUMNS) as file:
        file.write(columns_of(rows))
    return replace(kept.manifest, file=written(kept.files.rows, kept.files.rows.name))


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"gross": 6}, "shares are not the gross"),
        ({"gross": 5, "operator_share": 4, "treasury_share": 1, "split_bps": 0}, "not the split"),
        ({"row_id": UUID(int=5)}, "not of that day"),
        ({"row_id": UUID(int=2**128 - 1)}, "not of that day"),
        ({"leaf": bytes(32)}, "leaf is that of another row"),
        ({"user_account": 7}, "rule=proof"),
        ({"user_balance_after": 0}, "rule=proof"),
        ({"hold_id": UUID(int=1)}, "rule=proof"),
        ({"ord": 99}, "rule=proof"),
        ({"leaf_index": 0}, "rule=proof"),
    ],
)
def test_a_changed_row_is_noticed(kept: Kept, columns: dict[str, object], rule: str) -> None:
    manifest = rewritten(kept, changed(kept, 40, **columns))
    with pytest.raises(ArchiveWrong, match=rule):
        kept.check(manifest)


@pytest.mark.parametrize("less", [0, 40, -1])
def test_a_missing_row_is_noticed(kept: Kept, less: int) -> None:
    rows = list(kept.rows)
    del rows[less]
    with pytest.raises(ArchiveWrong, match="rule=proof"):
        kept.check(rewritten(kept, rows))


def test_rows_in_another_order_are_noticed(kept: Kept) -> None:
    rows = [*kept.rows[:3], kept.rows[4], kept.rows[3], *kept.rows[5:]]
    with pytest.raises(ArchiveWrong, match="rule=proof"):
        kept.check(rewritten(kept, rows))
    with pytest.raises(ArchiveWrong, match="rule=proof"):
        kept.check(rewritten(kept, [*kept.rows, kept.rows[-1]]))


def test_a_changed_bit_of_either_file_is_noticed(kept: Kept) -> None:
    for path in (kept.files.rows, kept.files.proof):
        right = path.read_bytes()
        for at in Random(1).sample(range(len(right)), 20):
            path.write_bytes(right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :])
            with pytest.raises(ArchiveWrong, match="rule=file"):
                kept.check()
        path.write_bytes(right[:-1])
        with pytest.raises(ArchiveWrong, match="rule=file"):
            kept.check()
        path.write_bytes(right)
    kept.check()


def test_a_proof_that_is_not_one_is_noticed(kept: Kept) -> None:
    right = kept.files.proof.read_bytes()
    for other in (right[32:], right[:-32], right + bytes(32), right[:-1], b"", bytes(len(right))):
        kept.files.proof.write_bytes(other)
        proof = written(kept.files.proof, kept.files.proof.name)
        with pytest.raises(ArchiveWrong, match="rule=proof"):
            kept.check(replace(kept.manifest, proof=proof))


def test_a_manifest_that_says_otherwise_is_noticed(kept: Kept) -> None:
    seal = kept.manifest.seal
    assert seal is not None
    other = replace(seal, root=bytes(32))
    wrong = {
        "rule=seal": [replace(kept.manifest, seal=other), replace(kept.manifest, seal=None)],
        "rule=proof": [replace(kept.manifest, seal=replace(other, hash=other.true_hash))],
        "rule=sums": [
            replace(kept.manifest, sums=replace(kept.manifest.sums, gross=1)),
            replace(kept.manifest, first_id=None),
        ],
        "rule=row": [replace(kept.manifest, day=DAY + timedelta(days=1))],
    }
    for rule, manifests in wrong.items():
        for manifest in manifests:
            with pytest.raises(ArchiveWrong, match=rule):
                kept.check(manifest)
    with pytest.raises(ArchiveWrong, match="rule=seal"):
        kept.check(seal_hash=bytes(32))


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        "null",
        '{"day": "2026-11-02"}',
        '{"day": 5}',
    ],
)
def test_a_manifest_that_is_not_one_is_told(tmp_path: Path, told: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(told)
    with pytest.raises(ManifestUnreadable):
        read_manifest(path)
    with pytest.raises(ManifestUnreadable):
        read_manifest(tmp_path / "nothing.json")


def test_a_manifest_is_read_to_the_letter(kept: Kept) -> None:
    told = kept.manifest.as_json()
    assert Manifest.from_json(json.loads(json.dumps(told))) == kept.manifest
    for changes in ({"note": 1}, {"format": "podledger/charges/2"}, {"day": "20261102"}):
        with pytest.raises(ManifestUnreadable):
            Manifest.from_json({**told, **changes})
    with pytest.raises(ManifestUnreadable):
        Manifest.from_json({**told, "sums": {**kept.manifest.sums.as_json(), "more": 1}})


def test_a_file_of_something_else_is_told(kept: Kept) -> None:
    for text in (b"", b"no parquet", kept.files.rows.read_bytes()[:-9]):
        kept.files.rows.write_bytes(text)
        manifest = replace(kept.manifest, file=written(kept.files.rows, kept.files.rows.name))
        with pytest.raises(NotThatFile):
            kept.check(manifest)
    fewer = COLUMNS[:-1]
    with parquet.ParquetWriter(kept.files.rows, fewer) as file:
        file.write(columns_of(kept.rows)[:-1])
    manifest = replace(kept.manifest, file=written(kept.files.rows, kept.files.rows.name))
    with pytest.raises(NotThatFile, match="other columns"):
        kept.check(manifest)
