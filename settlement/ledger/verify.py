"""The check of the books from their history, made while they are being written.

Three passes. History: every writer's chain is followed batch by batch to a cut, re-hashed in Python
and folded into what each account must have. Holds: each is compared with its events. Balances: each
page of accounts is read together with the writers' heads in one short snapshot; the fold is taken
on to these heads, and only then are the two compared. So no snapshot is ever long, rows that arrive
meanwhile are checked too, and a comparison is always exact.

The check stops at the first thing that is wrong. It can be cancelled at any moment: `Progress` then
stands between two batches or pages, and a later run may go on from it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from settlement.db.pool import Pool
from settlement.ledger import verify_read
from settlement.ledger.verify_fold import Account, Head, Wrong
from settlement.ledger.verify_read import FullBatch, Record
from settlement.ledger.verify_state import Progress

_PAGE = 1_000


class Pass(StrEnum):
    """What is being checked."""

    HISTORY = "history"
    HOLDS = "holds"
    BALANCES = "balances"


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a pass is: batches, holds or accounts; the total where it is known."""

    pass_: Pass
    done: int
    total: int | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a finished check found."""

    wrong: Wrong | None
    batches: int
    rows: int
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
    wrong = await check.history() or await check.holds() or await check.balances()
    fold = progress.fold
    return Verdict(
        wrong=wrong,
        batches=fold.batches,
        rows=fold.rows,
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

    async def history(self) -> Wrong | None:
        if self._progress.history_done:
            return None
        wrong = await self._advance(await verify_read.current_heads(self._pool))
        self._progress.history_done = wrong is None
        return wrong

    async def holds(self) -> Wrong | None:
        progress = self._progress
        while not progress.holds_done:
            page = await verify_read.hold_page(self._pool, progress.last_hold, self._page_size)
            for hold in page:
                wrong = _hold(hold)
                if wrong is not None:
                    return wrong
            progress.holds += len(page)
            progress.holds_done = len(page) < self._page_size
            progress.last_hold = str(page[-1]["hold_id"]) if page else progress.last_hold
            self._told(Step(pass_=Pass.HOLDS, done=progress.holds, total=None))
        return None

    async def balances(self) -> Wrong | None:
        progress = self._progress
        stray = await self._stray()
        if stray is not None:
            return stray
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

    async def _advance(self, cut: Sequence[Head]) -> Wrong | None:
        """Fold history up to a cut; batches of several writers go by the time they were made."""
        feeds = [_Feed(self._pool, head, self._fold.place(head).seq) for head in cut]
        total = sum(head.head_seq for head in cut)
        while True:
            ready = [feed for feed in feeds if await self._filled(feed, total)]
            if not ready:
                break
            feed = min(ready, key=lambda feed: feed.waiting[0].batch.created_at)
            full = feed.waiting.popleft()
            wrong = self._fold.take(feed.head, full.batch, full.rows)
            if wrong is not None:
                return wrong
        gap = self._at_heads(cut) or self._fold.gap()
        # The entry that is missing may be in a row that no batch has: then that one is named.
        return None if gap is None else await self._stray() or gap

    async def _filled(self, feed: "_Feed", total: int) -> bool:
        """Whether the feed has a batch; where it had to read, the step before it is told."""
        if not feed.waiting and feed.after < feed.head.head_seq:
            self._told(Step(pass_=Pass.HISTORY, done=self._fold.batches, total=total))
            await feed.read()
        return bool(feed.waiting)

    def _at_heads(self, cut: Sequence[Head]) -> Wrong | None:
        for head in cut:
            place = self._fold.place(head)
            if (place.seq, place.hash) != (head.head_seq, head.head_hash):
                told = f"{head.name} says it is at {head.head_seq}, its chain ends at {place.seq}"
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


class _Feed:
    """The batches of one writer that wait to be folded."""

    def __init__(self, pool: Pool, head: Head, after: int) -> None:
        self.head = head
        self.after = after
        self.waiting: deque[FullBatch] = deque()
        self._pool = pool

    async def read(self) -> None:
        """Read on; a chain that ends before its head is read no further."""
        self.waiting.extend(await verify_read.full_batches(self._pool, self.head, self.after))
        self.after = self.waiting[-1].batch.seq if self.waiting else self.head.head_seq


def _hold(hold: Record) -> Wrong | None:
    is_now = (hold["state"], hold["captured"], hold["released"])
    told = (hold["told"], hold["told_captured"], hold["told_released"])
    if is_now == told:
        return None
    detail = "it says {} ({} spent, {} given back), its events say {} ({}, {})"
    return Wrong(
        rule="hold is its events", detail=detail.format(*is_now, *told), row_id=str(hold["hold_id"])
    )


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
