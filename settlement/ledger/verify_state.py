"""Where a stopped check of the books stood, as JSON: written by one run, read by the next. Pure.

Amounts are JSON integers of any size, hashes are hex. What does not read back exactly is refused:
a check that goes on from a wrong place would prove nothing.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, cast
from uuid import UUID

from settlement.errors import Refused
from settlement.ledger.seal_rows import Sealed
from settlement.ledger.seal_tree import Part
from settlement.ledger.verify_chain import Place, Where
from settlement.ledger.verify_fold import Account, Fold
from settlement.ledger.verify_holds import Held, Holds, Standing

_VERSION: Final = 2


class StateUnreadable(Refused):
    """The state file is not one of this check; begin anew with --from-start."""


class StateOfOtherBooks(Refused):
    """The state file belongs to the check of other books; begin anew with --from-start."""


@dataclass(kw_only=True)
class Progress:
    """How far a check is. Seals and history first, then holds, then balances."""

    books: str
    fold: Fold = field(default_factory=Fold)
    sealed: Sealed = field(default_factory=Sealed)
    begun: bool = False
    from_seal: int = 0  # what this seal has is taken from it; 0: everything is checked
    base: dict[int, int] = field(default_factory=dict[int, int])  # writer: its last such batch
    seals_done: bool = False
    held_known: bool = False  # what accounts had set aside before; always, from the start
    history_done: bool = False
    holds_done: bool = False
    last_hold: str | None = None
    holds: int = 0
    last_account: int = 0
    accounts: int = 0


def dump(progress: Progress) -> str:
    """The text of a state file."""
    fold, holds = progress.fold, progress.fold.holds
    assert holds is not None, "a check of the books follows holds"
    sealed = progress.sealed
    fields = {
        n: value for n, value in vars(progress).items() if n not in ("fold", "sealed", "base")
    }
    return json.dumps(
        {
            "version": _VERSION,
            **fields,
            "seal": [sealed.seal_no, sealed.hash.hex(), *_part_fields(sealed.tree)],
            "parts": [[w, *_part_fields(part)] for w, part in sealed.parts.items()],
            "base": list(progress.base.items()),
            "batches": fold.batches,
            "rows": fold.rows,
            "places": [[w, p.seq, p.hash.hex(), p.rows] for w, p in fold.places.items()],
            "balances": [
                [account_id, a.dr, a.cr, a.held, a.entries, a.asset, list(a.parked.items())]
                for account_id, a in fold.accounts.items()
            ],
            "moved": sorted(fold.moved),
            "open": [[str(hold_id), *_held_fields(held)] for hold_id, held in holds.open.items()],
            "unsure": sorted(str(hold_id) for hold_id in holds.unsure),
            "ended": [[str(hold_id), *standing] for hold_id, standing in holds.ended.items()],
        }
    )


def _part_fields(part: Part) -> list[object]:
    return [part.start, [[level, root.hex()] for level, root in part.subtrees]]


def _held_fields(held: Held) -> list[object]:
    return [
        *(held.last, held.writer, held.account, held.amount, held.purpose),
        *(held.captured, held.spends, held.voided, held.by_another, held.told, held.began_before),
    ]


def load(text: str, *, books: str) -> Progress:
    """Read a state back. Raises `StateUnreadable`, `StateOfOtherBooks` when not `books`."""
    try:
        progress = _load(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateUnreadable(problem=type(error).__name__) from error
    if progress.books != books:
        raise StateOfOtherBooks
    return progress


def _load(fields: dict[str, Any]) -> Progress:
    if fields["version"] != _VERSION:
        raise ValueError(fields["version"])
    last_hold = fields["last_hold"]
    return Progress(
        books=str(fields["books"]),
        fold=_fold(fields),
        sealed=_sealed(fields),
        begun=bool(fields["begun"]),
        from_seal=int(fields["from_seal"]),
        held_known=bool(fields["held_known"]),
        base={int(writer): int(seq) for writer, seq in fields["base"]},
        seals_done=bool(fields["seals_done"]),
        history_done=bool(fields["history_done"]),
        holds_done=bool(fields["holds_done"]),
        last_hold=None if last_hold is None else str(last_hold),
        holds=int(fields["holds"]),
        last_account=int(fields["last_account"]),
        accounts=int(fields["accounts"]),
    )


def _sealed(fields: dict[str, Any]) -> Sealed:
    seal_no, link, *tree = fields["seal"]
    parts = {int(writer): _part(*part) for writer, *part in fields["parts"]}
    sealed = Sealed(seal_no=int(seal_no), hash=bytes.fromhex(link), parts=parts)
    sealed.tree = _part(*tree)
    return sealed


def _part(start: int, subtrees: list[list[Any]]) -> Part:
    return Part(int(start), [(int(level), bytes.fromhex(root)) for level, root in subtrees])


def _fold(fields: dict[str, Any]) -> Fold:
    fold = Fold()
    fold.batches, fold.rows = int(fields["batches"]), int(fields["rows"])
    for writer, seq, link, rows in fields["places"]:
        place = Place(seq=int(seq), hash=bytes.fromhex(link), rows=int(rows))
        fold.places[int(writer)] = place
    for account_id, dr, cr, held, entries, asset, parked in fields["balances"]:
        account = Account(dr=int(dr), cr=int(cr), held=int(held), entries=int(entries))
        account.asset = None if asset is None else str(asset)
        for number, entry in cast("list[list[Any]]", parked):
            change_dr, change_cr, after, where = entry
            account.parked[int(number)] = (
                int(change_dr),
                int(change_cr),
                None if after is None else int(after),
                _where(where),
            )
        if account.parked:
            fold.waiting.add(int(account_id))
        fold.accounts[int(account_id)] = account
    fold.moved.update(int(account_id) for account_id in fields["moved"])
    fold.holds = _holds(fields)
    return fold


def _holds(fields: dict[str, Any]) -> Holds:
    holds = Holds()
    for key, last, writer, account, amount, purpose, captured, spends, *rest in fields["open"]:
        voided, by_another, told, began_before = rest
        holds.open[UUID(key)] = Held(
            last=_where(last),
            writer=None if writer is None else int(writer),
            account=int(account),
            amount=int(amount),
            purpose=str(purpose),
            captured=int(captured),
            spends=int(spends),
            voided=bool(voided),
            by_another=bool(by_another),
            told=None if told is None else _standing(told),
            began_before=bool(began_before),
        )
    holds.unsure.update(UUID(key) for key in fields["unsure"])
    holds.ended.update({UUID(key): _standing(standing) for key, *standing in fields["ended"]})
    return holds


def _standing(standing: list[Any]) -> Standing:
    state, captured, released = standing
    return str(state), int(captured), int(released)


def _where(place: list[Any]) -> Where:
    writer, batch, order, row_id = place
    return int(writer), int(batch), int(order), str(row_id)
