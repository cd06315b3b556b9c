"""Where a stopped check of the books stood, as JSON: written by one run, read by the next. Pure.

Amounts are JSON integers of any size, hashes are hex. What does not read back exactly is refused:
a check that goes on from a wrong place would prove nothing.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, cast

from settlement.errors import Refused
from settlement.ledger.verify_fold import Account, Fold, Place

_VERSION: Final = 1


class StateUnreadable(Refused):
    """The state file is not one of this check; begin anew with --from-start."""


class StateOfOtherBooks(Refused):
    """The state file belongs to the check of other books; begin anew with --from-start."""


@dataclass(kw_only=True)
class Progress:
    """How far a check is. History first, then holds, then balances."""

    books: str
    fold: Fold = field(default_factory=Fold)
    history_done: bool = False
    holds_done: bool = False
    last_hold: str | None = None
    holds: int = 0
    last_account: int = 0
    accounts: int = 0


def dump(progress: Progress) -> str:
    """The text of a state file."""
    fold = progress.fold
    fields = {name: value for name, value in vars(progress).items() if name != "fold"}
    return json.dumps(
        {
            "version": _VERSION,
            **fields,
            "batches": fold.batches,
            "rows": fold.rows,
            "places": [[writer, p.seq, p.hash.hex()] for writer, p in fold.places.items()],
            "balances": [
                [account_id, a.dr, a.cr, a.held, a.entries, a.asset, list(a.parked.items())]
                for account_id, a in fold.accounts.items()
            ],
        }
    )


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
        history_done=bool(fields["history_done"]),
        holds_done=bool(fields["holds_done"]),
        last_hold=None if last_hold is None else str(last_hold),
        holds=int(fields["holds"]),
        last_account=int(fields["last_account"]),
        accounts=int(fields["accounts"]),
    )


def _fold(fields: dict[str, Any]) -> Fold:
    fold = Fold()
    fold.batches, fold.rows = int(fields["batches"]), int(fields["rows"])
    for writer, seq, link in fields["places"]:
        fold.places[int(writer)] = Place(seq=int(seq), hash=bytes.fromhex(link))
    for account_id, dr, cr, held, entries, asset, parked in fields["balances"]:
        account = Account(dr=int(dr), cr=int(cr), held=int(held), entries=int(entries))
        account.asset = None if asset is None else str(asset)
        for number, entry in cast("list[list[Any]]", parked):
            change_dr, change_cr, after, where = entry
            writer, batch, order, row_id = where
            account.parked[int(number)] = (
                int(change_dr),
                int(change_cr),
                None if after is None else int(after),
                (int(writer), int(batch), int(order), str(row_id)),
            )
        fold.accounts[int(account_id)] = account
    return fold
