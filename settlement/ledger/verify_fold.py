"""History, folded row by row: what each account must have, and whether each batch is whole. Pure.

Batches of one writer come in the order of their chain; those of different writers come roughly in
the order of time. Nothing depends on that order but how soon a thing is seen: each account numbers
its entries, and an entry that comes before its predecessors waits for them.

A batch's root says that something in it is not what was written, not which row. So rules come
first that point at one row, and only then the root; where the root alone is wrong, the first row
whose account could spend something else than it states, or whose hold ended otherwise than the
books keep, is named, or the only row there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from settlement.ledger import verify_hash
from settlement.ledger.verify_chain import (
    Batch,
    FullBatch,
    Head,
    Place,
    Where,
    Wrong,
    at,
    miscounted,
    mishashed,
    misstamped,
    of_batch,
    unlinked,
    where,
)
from settlement.ledger.verify_holds import Holds
from settlement.ledger.verify_rows import JournalRow, Movement

# Balance change (dr, cr), the balance it states, and the row.
Parked = tuple[int, int, int | None, Where]
_NUMBER: Final = "entries are numbered"


@dataclass(kw_only=True, slots=True)
class Account:
    """What history says of an account so far; amounts in microunits."""

    dr: int = 0
    cr: int = 0
    held: int = 0
    entries: int = 0
    asset: str | None = None  # known once it was compared with the balance that the books keep
    parked: dict[int, Parked] = field(default_factory=dict[int, Parked])


class Fold:
    """All of history that was read up to now.

    Without holds it can begin anywhere: `places` and `accounts` are then what stood there.
    """

    def __init__(self, *, with_holds: bool = True) -> None:
        self.accounts: dict[int, Account] = {}
        self.moved: set[int] = set()  # accounts with an entry since this was last cleared
        self.waiting: set[int] = set()  # accounts with an entry whose predecessors did not come
        self.places: dict[int, Place] = {}
        self.holds = Holds() if with_holds else None
        self.batches = 0
        self.rows = 0

    def place(self, head: Head) -> Place:
        """How far this writer's chain has been followed."""
        found = self.places.get(head.writer_id)
        if found is None:
            found = self.places[head.writer_id] = Place.first(head)
        return found

    def account(self, account_id: int) -> Account:
        """What history says of this account."""
        found = self.accounts.get(account_id)
        if found is None:
            found = self.accounts[account_id] = Account()
        return found

    def take(self, full: FullBatch) -> Wrong | None:
        """Follow a writer by one batch, or say what is wrong with it (then this fold is spent)."""
        batch, ordered, place = full.batch, full.rows, self.place(full.head)
        wrong = unlinked(batch, place) or miscounted(batch, ordered)
        if wrong is not None:
            return wrong
        whole = verify_hash.batch_root(full.leaves) == batch.root
        suspect: JournalRow | None = None
        for row in ordered:
            wrong = misstamped(batch, row) or self._apply(row, full.head.treasury_account)
            if suspect is None and (wrong is not None or not self._fits(row, whole=whole)):
                suspect = row
            if wrong is not None and (whole or suspect is row):
                return wrong
            if wrong is not None:
                break
        place.follow(batch)
        self.batches += 1
        self.rows += len(ordered)
        if not whole:
            return _not_whole(batch, ordered, suspect)
        return mishashed(batch) or (None if self.holds is None else self.holds.wrong)

    def at_cut(self) -> Wrong | None:
        """What is wrong once all writers stand at one cut: entries or holds that never came."""
        gap = self._gap()
        return gap if gap is not None or self.holds is None else self.holds.at_cut()

    def _gap(self) -> Wrong | None:
        for account_id in sorted(self.waiting):
            account = self.accounts[account_id]
            number, (_, _, _, row) = min(account.parked.items())
            told = f"account {account_id} has entry {number} but no {account.entries + 1}"
            return at(row, _NUMBER, told)
        return None

    def _apply(self, row: JournalRow, treasury: int) -> Wrong | None:
        broken = row.broken_rule
        if broken is None and self.holds is not None:
            effect = self.holds.take(row)
            broken = effect.broken_rule
            if effect.held:
                self.account(effect.account).held += effect.held
        if broken is not None:
            return at(where(row), "row", broken)
        for movement in row.movements(treasury):
            wrong = self._enter(movement, row)
            if wrong is not None:
                return wrong
        return None

    def _enter(self, movement: Movement, row: JournalRow) -> Wrong | None:
        account_id, entry, dr, cr, after = movement
        account = self.accounts.get(account_id) or self.account(account_id)
        self.moved.add(account_id)
        if entry == account.entries + 1:
            account.dr += dr
            account.cr += cr
            account.entries = entry
            if after is not None and after != account.cr - account.dr:
                return at(where(row), "balance after", _unlike(account_id, account, after))
            return self._enter_waiting(account_id, account) if account.parked else None
        if entry <= account.entries or entry in account.parked:
            told = f"account {account_id} has two entries {entry}"
            return at(where(row), _NUMBER, told)
        account.parked[entry] = (dr, cr, after, where(row))
        self.waiting.add(account_id)
        return None

    def _enter_waiting(self, account_id: int, account: Account) -> Wrong | None:
        while account.entries + 1 in account.parked:
            dr, cr, after, origin = account.parked.pop(account.entries + 1)
            account.dr += dr
            account.cr += cr
            account.entries += 1
            if after is not None and after != account.cr - account.dr:
                return at(origin, "balance after", _unlike(account_id, account, after))
        if not account.parked:
            self.waiting.discard(account_id)
        return None

    def _fits(self, row: JournalRow, *, whole: bool) -> bool:
        """Whether what a row states is so; a hint, for holds of several writers have no order."""
        if whole or self.holds is None:
            return True
        if self.holds.wrong is not None:
            return False
        if row.left is None:
            return True
        account_id, left = row.left
        account = self.account(account_id)
        return left == account.cr - account.dr - account.held


def _unlike(account_id: int, account: Account, after: int) -> str:
    return f"account {account_id} has {account.cr - account.dr}, the row says {after}"


def _not_whole(batch: Batch, ordered: Sequence[JournalRow], suspect: JournalRow | None) -> Wrong:
    """The root does not fit, and no row breaks a rule before the suspect."""
    named = ordered[0] if len(ordered) == 1 else suspect
    if named is not None:
        return at(where(named), "batch root", "it is not what was hashed")
    return of_batch(batch, "batch root", "one of its rows is not what was hashed")
