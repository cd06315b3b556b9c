"""What a proof about the sealed books says, as JSON, and its check without the books. Pure.

A proof carries the row itself, word by word as it was hashed, so that the check is of what the row
says; and the seal, whose hash is made anew from what it says. What no file can prove is that a seal
is the right one: its hash must be known from elsewhere, from whoever published or signed it.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from settlement.errors import Refused
from settlement.ledger.merkle import HASH_BYTES
from settlement.ledger.merkle_json import Consistency, Inclusion, ProofUnreadable
from settlement.ledger.seal_rows import SealHead
from settlement.ledger.verify_hash import leaf

_ROW: Final = "podledger row/1"
_GROWTH: Final = "podledger growth/1"
# fmt: off
_CHARGE: Final = (
    "form", "request_id", "hold_id", "user_account", "operator_account", "gross",
    "operator_share", "treasury_share", "split_bps", "user_entry", "operator_entry",
    "treasury_entry", "user_balance_after", "writer_id", "batch_seq", "ord",
)
_TXN: Final = (
    "form", "txn_id", "kind", "slot", "event_at", "recorded_at", "effective_on", "external_ref",
    "reverses", "refunds", "hold_id", "hold_captured", "available_after", "actor", "reason", "meta",
    "content_sha256", "writer_id", "epoch", "batch_seq", "ord", "transfers",
)
# fmt: on


class ProofFails(Refused):
    """The proof does not hold."""


def said(text: str) -> dict[str, object]:
    """What a row says, by the names of its columns; empty when its form is not known."""
    if text.startswith("charge/2|"):
        names, values = _CHARGE, list[object](text.split("|"))
    elif text.startswith('["txn/1", '):
        names, values = _TXN, cast("list[object]", json.loads(text, parse_float=str))
    else:
        return {}
    return dict(zip(names, values, strict=True)) if len(names) == len(values) else {}


@dataclass(frozen=True, kw_only=True)
class RowProof:
    """That a row is in the tree of a seal, and says this."""

    row_id: UUID
    text: str
    inclusion: Inclusion
    seal: SealHead

    def check(self) -> None:
        """Raise `ProofFails` unless it holds."""
        _check_seal(self.seal)
        if str(self.row_id) not in list(said(self.text).values())[1:2]:
            raise ProofFails(problem="the row is another one")
        if self.inclusion.size != self.seal.tree_size:
            raise ProofFails(problem="the path is of a tree of another size")
        if not self.inclusion.proves(leaf(self.text), self.seal.root):
            raise ProofFails(problem="the row as it is here is not what was sealed")

    def as_json(self) -> dict[str, object]:
        """For `json.dumps`."""
        return {
            "proof": _ROW,
            "row": {"id": str(self.row_id), "text": self.text},
            "inclusion": self.inclusion.as_json(),
            "seal": _seal_json(self.seal),
        }


@dataclass(frozen=True, kw_only=True)
class GrowthProof:
    """That a seal's tree begins with all of an older seal's: nothing was changed or taken out."""

    old: SealHead
    new: SealHead
    consistency: Consistency

    def check(self) -> None:
        """Raise `ProofFails` unless it holds."""
        _check_seal(self.old)
        _check_seal(self.new)
        sizes = self.consistency.old, self.consistency.new
        if sizes != (self.old.tree_size, self.new.tree_size):
            raise ProofFails(problem="the path is of trees of other sizes")
        if not self.consistency.proves(self.old.root, self.new.root):
            raise ProofFails(problem="the newer seal does not begin with the older one")

    def as_json(self) -> dict[str, object]:
        """For `json.dumps`."""
        return {
            "proof": _GROWTH,
            "old": _seal_json(self.old),
            "new": _seal_json(self.new),
            "consistency": self.consistency.as_json(),
        }


def read_proof(text: str) -> RowProof | GrowthProof:
    """The proof that `as_json` wrote, not checked yet. Raises `ProofUnreadable`."""
    try:
        fields: dict[str, Any] = json.loads(text)
        kind = fields["proof"]
        if kind == _ROW:
            return RowProof(
                row_id=UUID(fields["row"]["id"]),
                text=_text(fields["row"]["text"]),
                inclusion=Inclusion.from_json(fields["inclusion"]),
                seal=_seal(fields["seal"]),
            )
        if kind == _GROWTH:
            return GrowthProof(
                old=_seal(fields["old"]),
                new=_seal(fields["new"]),
                consistency=Consistency.from_json(fields["consistency"]),
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProofUnreadable(problem=type(error).__name__) from error
    raise ProofUnreadable(proof=kind)


def _check_seal(seal: SealHead) -> None:
    if seal.hash != seal.true_hash:
        raise ProofFails(problem=f"the hash of seal {seal.seal_no} is not that of what it says")


def _seal_json(seal: SealHead) -> dict[str, object]:
    return {
        "seal_no": seal.seal_no,
        "era": seal.era,
        "made_at": seal.made_at.isoformat(),
        "rows": seal.rows,
        "tree_size": seal.tree_size,
        "root": seal.root.hex(),
        "cut_hash": seal.cut_hash.hex(),
        "balances_hash": seal.balances_hash.hex(),
        "prev_hash": seal.prev_hash.hex(),
        "hash": seal.hash.hex(),
    }


def _seal(fields: dict[str, Any]) -> SealHead:
    made_at = datetime.fromisoformat(fields["made_at"])
    if made_at.tzinfo is None:
        raise ValueError("a moment knows its time zone")
    return SealHead(
        seal_no=_number(fields["seal_no"]),
        era=_number(fields["era"]),
        made_at=made_at,
        rows=_number(fields["rows"]),
        tree_size=_number(fields["tree_size"]),
        root=_digest(fields["root"]),
        cut_hash=_digest(fields["cut_hash"]),
        balances_hash=_digest(fields["balances_hash"]),
        prev_hash=_digest(fields["prev_hash"]),
        hash=_digest(fields["hash"]),
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _digest(value: object) -> bytes:
    digest = bytes.fromhex(_text(value))
    if len(digest) != HASH_BYTES:
        raise ValueError(value)
    return digest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
