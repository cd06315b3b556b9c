"""What the manifest of an archived day says. Pure.

How many rows there are and what they add up to, which seal's tree has their leaves (all that its
hash is made of), and the hashes of the two files beside it. The database keeps a copy when it lets
the day go.
"""

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from settlement.errors import Refused
from settlement.ledger.archive_rows import Archived
from settlement.ledger.seal_rows import SealHead

FORMAT: Final = "podledger/charges/1"
_HASHES: Final = ("root", "cut_hash", "balances_hash", "prev_hash", "hash")


class ManifestUnreadable(Refused):
    """The manifest is not one of an archived day."""


@dataclass(kw_only=True)
class Sums:
    """What rows add up to, in microunits."""

    rows: int = 0
    gross: int = 0
    operator_share: int = 0
    treasury_share: int = 0

    def add(self, row: Archived) -> None:
        """One row more."""
        self.rows += 1
        self.gross += row.charge.gross
        self.operator_share += row.charge.operator_share
        self.treasury_share += row.charge.treasury_share

    def as_json(self) -> dict[str, int]:
        """As `settlement.archive_charge_day_v1` adds them up."""
        return {
            "rows": self.rows,
            "gross": self.gross,
            "operator_share": self.operator_share,
            "treasury_share": self.treasury_share,
        }


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file by its name and its SHA-256."""

    name: str
    sha256: str
    bytes: int

    def as_json(self) -> dict[str, object]:
        """For the manifest."""
        return {"name": self.name, "sha256": self.sha256, "bytes": self.bytes}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in the files of a day."""

    day: date
    sums: Sums
    # The smallest and the largest name of a request; None where there is no row.
    first_id: UUID | None
    last_id: UUID | None
    seal: SealHead | None  # None only where there is no row
    file: Written
    proof: Written

    def as_json(self) -> dict[str, object]:
        """For `json.dumps`."""
        return {
            "format": FORMAT,
            "day": self.day.isoformat(),
            "sums": self.sums.as_json(),
            "first_id": None if self.first_id is None else str(self.first_id),
            "last_id": None if self.last_id is None else str(self.last_id),
            "seal": None if self.seal is None else _seal_as_json(self.seal),
            "file": self.file.as_json(),
            "proof": self.proof.as_json(),
        }

    @classmethod
    def from_json(cls, told: object) -> "Manifest":
        """The manifest that `as_json` wrote. Raises `ManifestUnreadable`."""
        try:
            found = _read(told)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ManifestUnreadable(problem=repr(error)) from error
        if found.as_json() != told:
            raise ManifestUnreadable(problem="it says more, or otherwise, than a manifest does")
        return found


def _seal_as_json(seal: SealHead) -> dict[str, object]:
    return {
        "seal_no": seal.seal_no,
        "era": seal.era,
        "made_at": seal.made_at.isoformat(timespec="microseconds"),
        "rows": seal.rows,
        "tree_size": seal.tree_size,
        **{name: getattr(seal, name).hex() for name in _HASHES},
    }


def _read(told: Any) -> Manifest:  # noqa: ANN401 -- whatever JSON there was
    return Manifest(
        day=date.fromisoformat(told["day"]),
        sums=Sums(**told["sums"]),
        first_id=None if told["first_id"] is None else UUID(told["first_id"]),
        last_id=None if told["last_id"] is None else UUID(told["last_id"]),
        seal=None if told["seal"] is None else _seal(told["seal"]),
        file=Written(**told["file"]),
        proof=Written(**told["proof"]),
    )


def _seal(told: dict[str, Any]) -> SealHead:
    changed: dict[str, Any] = {name: bytes.fromhex(told[name]) for name in _HASHES}
    changed["made_at"] = datetime.fromisoformat(told["made_at"])
    return SealHead(**{**told, **changed})


def head_of(seal: SealHead) -> SealHead:
    """Of a seal as it is kept, what is known of it outside."""
    return SealHead(**{one.name: getattr(seal, one.name) for one in fields(SealHead)})
