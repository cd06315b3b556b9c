"""The check of the books from their history, made while they are being written.

History: every writer's chain is followed batch by batch to a cut, re-hashed in Python and folded
into what each account must have and what became of each hold; on the way there, to the cut of one
seal after the other, each of which must be what history makes of it. Holds: each was placed by
a row, and those that history left open are as the books keep them. Balances: each page of accounts
is read together with the writers' heads in one short snapshot; the fold is taken on to these heads,
and only then are the two compared. So no snapshot is ever long, rows that arrive meanwhile are
checked too, and a comparison is always exact.

The check stops at the first thing that is wrong. It can be cancelled at any moment: `Progress` then
stands between two batches or pages, and a later run may go on from it.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from uuid import UUID

from settlement.db.pool import Pool
from settlement.ledger import verify_read, verify_seals
from settlement.ledger.verify_chain import Head, Wrong
from settlement.ledger.verify_fold import Account
from settlement.ledger.verify_holds import RULE, Holds
from settlement.ledger.verify_read import Record
from settlement.ledger.verify_seals import SealCheck
from settlement.ledger.verify_state import Progress

_PAGE = 1_000


class Pass(StrEnum):
    """What is being checked."""

    HISTORY = "history"
    SEALS = "seals"
    HOLDS = "holds"
    BALANCES = "balances"


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a pass is: batches, seals, holds or accounts; the total where it is known."""

    pass_: Pass
    done: int
    total: int | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a finished check found."""

    wrong: Wrong | None
    batches: int
    rows: int
    seals: int
    holds: int
    accounts: int

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        wrong = None if self.wrong is None else asdict(self.wrong)
        return {"right": self.wrong is None, **asdict(self), "wrong": wrong}


async def verify(
    pool: Pool, progress: Progress, told: Callable[[Step], None], *, page_size: int = _PAGE
) -> Verdict:
    """Check the books from where `progress` stands, which moves on; `told` hears of each step.

    Raises `DatabaseUnavailable` when the database stays away, and what `told` raises.
    """
    check = _Check(pool, progress, told, page_size)
    wrong = await check.seals() or await check.history()
    wrong = wrong or await check.holds() or await check.balances()
    fold = progress.fold
    return Verdict(
        wrong=wrong,
        batches=fold.batches,
        rows=fold.rows,
        seals=progress.sealed.seal_no,
        holds=progress.holds,
        accounts=progress.accounts,
    )


class _Check:
    def __init__(
        self, pool: Pool, progress: Progress, told: Callable[[Step], None], page_size: int
    ) -> None:
        self._pool = pool
        self._progress = progress
        self._fold = progress.fold
        self._told = told
        self._page_size = page_size
        self._batches = 0  # how many there are, as far as was seen

    @property
    def _holds(self) -> Holds:
        assert self._fold.holds is not None, "a check of the books follows holds"
        return self._fold.holds

    async def seals(self) -> Wrong | None:
        """History up to the last seal's cut."""
        progress = self._progress
        while not progress.seals_done:
            seal = await verify_seals.next_seal(self._pool, progress.sealed)
            if seal is None:
                wrong = await verify_seals.stray(self._pool)
                progress.seals_done = wrong is None
            else:
                wrong = await self._seal(SealCheck(self._pool, progress.sealed, seal))
            if wrong is not None:
                return wrong
            self._told(Step(pass_=Pass.SEALS, done=progress.sealed.seal_no, total=None))
        return None

    async def _seal(self, check: SealCheck) -> Wrong | None:
        wrong = await check.begin()
        if wrong is not None:
            return wrong
        heads = await verify_read.current_heads(self._pool)
        self._batches = sum(head.head_seq for head in heads)
        cut = check.cut(heads, self._fold.places)
        if isinstance(cut, Wrong):
            return cut
        return await self._advance(cut, check) or await check.finish(self._fold)

    async def history(self) -> Wrong | None:
        """History from there up to now."""
        if self._progress.history_done:
            return None
        wrong = await self._advance(await verify_read.current_heads(self._pool))
        self._progress.history_done = wrong is None
        return wrong

    async def holds(self) -> Wrong | None:
        """Every hold was placed; those that history leaves open are as they say."""
        # A row beyond the chains first: what it did to a hold would look like the hold's fault.
        stray = await self._stray()
        if stray is not None:
            return stray
        progress = self._progress
        while not progress.holds_done:
            after = None if progress.last_hold is None else UUID(progress.last_hold)
            page = await verify_read.hold_page(self._pool, after, self._page_size)
            if page["unplaced"] is not None:
                return Wrong(rule=RULE, detail="nobody placed it", row_id=page["unplaced"])
            progress.holds += page["n"]
            progress.holds_done = page["n"] < self._page_size
            progress.last_hold = str(page["last"]) if page["n"] else progress.last_hold
            self._told(Step(pass_=Pass.HOLDS, done=progress.holds, total=None))
        open_now = sorted(self._holds.open)
        for start in range(0, len(open_now), self._page_size):
            wrong = await self._open_holds(open_now[start : start + self._page_size])
            if wrong is not None:
                return wrong
        return None

    async def _open_holds(self, ids: Sequence[UUID]) -> Wrong | None:
        cut, found = await verify_read.holds_now(self._pool, ids)
        wrong = await self._advance(cut)
        if wrong is not None:
            return wrong
        # One that ended on the way there was compared when it did.
        for hold_id in filter(self._holds.open.__contains__, ids):
            standing = self._holds.open[hold_id].standing
            self._holds.compare(hold_id, standing, found.get(hold_id))
        return self._holds.wrong

    async def balances(self) -> Wrong | None:
        progress = self._progress
        more = True
        while more:
            cut, page = await verify_read.account_page(
                self._pool, progress.last_account, self._page_size
            )
            wrong = await self._advance(cut) or self._compare(page)
            if wrong is not None:
                return wrong
            more = len(page) == self._page_size
            progress.last_account = page[-1]["account_id"] if page else progress.last_account
            self._told(Step(pass_=Pass.BALANCES, done=progress.accounts, total=None))
        return await self._late_accounts() or self._zero_sum()

    async def _advance(self, cut: Sequence[Head], seal: SealCheck | None = None) -> Wrong | None:
        """Fold history up to a cut; batches of several writers go by the time they were made."""
        self._batches = max(self._batches, sum(head.head_seq for head in cut))
        self._tell_history()
        async with aclosing(verify_read.by_time(self._pool, cut, self._fold.places)) as lists:
            async for ready in lists:
                for full in ready:
                    wrong = self._fold.take(full)
                    if wrong is not None:
                        return wrong
                    if seal is not None:
                        seal.take(full)
                wrong = await self._ended(self._page_size)
                if wrong is None and seal is not None:
                    wrong = await seal.compare_nodes()
                if wrong is not None:
                    return wrong
                self._tell_history()
        gap = self._at_heads(cut) if seal is None else seal.unlike(cut, self._fold.places)
        gap = gap or self._fold.at_cut()
        if gap is None:
            return await self._ended(1)
        # What is missing may be in a row that no batch has: then that one is named.
        return await self._stray() or gap

    def _tell_history(self) -> None:
        self._told(Step(pass_=Pass.HISTORY, done=self._fold.batches, total=self._batches))

    async def _ended(self, least: int) -> Wrong | None:
        """Look up how holds ended that were open when their first row was read, in pages."""
        ended = self._holds.ended
        while len(ended) >= least:
            ids = list(islice(ended, self._page_size))
            _, found = await verify_read.holds_now(self._pool, ids)
            for hold_id in ids:
                self._holds.compare(hold_id, ended.pop(hold_id), found.get(hold_id))
        return self._holds.wrong

    def _at_heads(self, cut: Sequence[Head]) -> Wrong | None:
        for head in cut:
            place = self._fold.place(head)
            told = place.unlike(head)
            if told is not None:
                batch = min(place.seq, head.head_seq) + 1
                return Wrong(rule="head", detail=told, writer=head.writer_id, batch=batch)
        gone = set(self._fold.places) - {head.writer_id for head in cut}
        if gone:
            return Wrong(rule="head", detail="the writer is gone", writer=min(gone))
        return None

    def _compare(self, page: Sequence[Record]) -> Wrong | None:
        for record in page:
            account = self._fold.account(record["account_id"])
            wrong = _balance(record, account)
            if wrong is not None:
                return wrong
        for record in page:
            self._fold.account(record["account_id"]).asset = record["asset"]
        self._progress.accounts += len(page)
        return None

    async def _late_accounts(self) -> Wrong | None:
        """Accounts of history that no page had: opened meanwhile, or gone."""
        while True:
            unseen = [key for key, found in self._fold.accounts.items() if found.asset is None]
            if not unseen:
                return None
            cut, page = await verify_read.accounts_of(self._pool, unseen[: self._page_size])
            if not page:
                told = f"history names account {unseen[0]}, which is not there"
                return Wrong(rule="account", detail=told, account=str(unseen[0]))
            wrong = await self._advance(cut) or self._compare(page)
            if wrong is not None:
                return wrong

    async def _stray(self) -> Wrong | None:
        row = await verify_read.stray_row(self._pool)
        if row is None:
            return None
        return Wrong(
            rule="row without batch",
            detail="its writer has no such batch",
            writer=row["writer_id"],
            batch=row["batch_seq"],
            ord=row["ord"],
            row_id=None if row["row_id"] is None else str(row["row_id"]),
        )

    def _zero_sum(self) -> Wrong | None:
        sums: dict[str, int] = {}
        for account in self._fold.accounts.values():
            asset = account.asset or ""
            sums[asset] = sums.get(asset, 0) + account.cr - account.dr
        for asset, left in sums.items():
            if left:
                return Wrong(rule="zero sum", detail=f"{asset}: credits less debits are {left}")
        return None


def _balance(record: Record, account: Account) -> Wrong | None:
    """An account's balance against its history, and against what its kind may do."""
    name = record["name"]
    kept = (record["dr"], record["cr"], record["held"], record["version"])
    folded = (account.dr, account.cr, account.held, account.entries)
    if kept != folded:
        told = f"debits, credits, held and entries are {kept}, history says {folded}"
        return Wrong(rule="balance is its entries", detail=told, account=name)
    if not record["as_charted"]:
        return Wrong(rule="floor flag", detail="it is not as the chart has it", account=name)
    left = account.cr - account.dr - account.held
    if record["floored"] and left < 0:
        return Wrong(rule="floor", detail=f"{left} is left", account=name)
    return None
