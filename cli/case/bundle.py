"""The evidence and the requests of a case as they lie on disk.

A directory is packed with everything below it, under names relative to it; a file under its own
name. Links and what is no plain file are refused, so that what is hashed is what lies there.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from settlement.cases.evidence import EvidenceFile, packed
from settlement.errors import Refused
from settlement.money import MicroUsdc, parse_usdc

LARGEST_KEPT_BYTES: Final = 32 * 2**20


class EvidenceUnreadable(Refused):
    """This cannot be packed: evidence is plain files, and directories of them, without links."""


class EvidenceTooLarge(Refused):
    """Files of 32 MiB in all are kept with the case; with --hash-only only their hashes are."""


class RequestLineInvalid(Refused):
    """A line names a request, once: its id and, behind a comma, the USDC claimed of it (without
    them, all that was paid)."""


def pack(paths: Sequence[Path], *, kept: bool) -> list[EvidenceFile]:
    """The files of the evidence.

    Raises `EvidenceUnreadable`, `EvidenceTooLarge` or `EvidenceNameInvalid`.
    """
    found: list[EvidenceFile] = []
    for path, name in _named(paths):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EvidenceUnreadable(field="evidence", got=str(path), problem=error) from None
        found.append(packed(name, content, kept=kept))
        if kept and sum(one.size_bytes for one in found) > LARGEST_KEPT_BYTES:
            raise EvidenceTooLarge(field="evidence", limit_bytes=LARGEST_KEPT_BYTES)
    return found


def _named(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        if path.is_symlink() or not path.exists():
            raise EvidenceUnreadable(field="evidence", got=str(path))
        if not path.is_dir():
            yield _plain(path), path.name
            continue
        for below in sorted(path.rglob("*")):
            if below.is_symlink() or not below.is_dir():
                yield _plain(below), below.relative_to(path).as_posix()


def _plain(path: Path) -> Path:
    if path.is_symlink() or not path.is_file():
        raise EvidenceUnreadable(field="evidence", got=str(path))
    return path


def claims_in(path: Path | None, typed: Iterable[str]) -> dict[UUID, MicroUsdc | None]:
    """The requests of a file and those that were typed. Raises `RequestLineInvalid`."""
    lines: list[tuple[str, str]] = [(f"--request {text}", text) for text in typed]
    if path is not None:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise RequestLineInvalid(field="requests", got=str(path), problem=error) from None
        lines += [(f"{path}:{n}", line) for n, line in enumerate(text.splitlines(), 1)]
    claims: dict[UUID, MicroUsdc | None] = {}
    for place, line in lines:
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        name, parted, amount = bare.partition(",")
        request_id = _request_id(name.strip(), place)
        if request_id in claims:
            raise RequestLineInvalid(field="requests", at=place, got=name)
        claims[request_id] = parse_usdc(amount.strip(), field=place) if parted else None
    return claims


def _request_id(text: str, place: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise RequestLineInvalid(field="requests", at=place, got=text) from None
