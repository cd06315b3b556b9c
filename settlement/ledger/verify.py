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
from dataclasses import asdict, dataclass
from enum import StrEnum
from uuid import UUID

from settlement.db.pool import Pool
from settlement.errors import Unavailable
from settlement.ledger import verify_read, verify_seals
from settlement.ledger.seal_read import SealMissing
from settlement.ledger.verify_chain import Wrong
from settlement.ledger.verify_fold import Account
from settlement.ledger.verify_follow import Follower
from settlement.ledger.verify_holds import RULE
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
    from_seal: int
    holds: int
    accounts: int

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        wrong = None if self.wrong is None else asdict(self.wrong)
        return {"right": self.wrong is None, **asdict(self), "wrong": wrong}


class ArchivedMeanwhile(Unavailable):
    """Days were archived while the books were checked: begin anew with --from-start."""


async def verify(
    pool: Pool,
    progress: Progress,
    told: Callable[[Step], None],
    *,
    page_size: int = _PAGE,
    from_seal: int = 0,
) -> Verdict:
    """Check the books from where `progress` stands, which moves on; `told` hears of each step.

    A check that begins takes what `from_seal` has from that seal; what is archived is not there to
    be read, so it begins at the first seal that has all of it at least. Raises `SealMissing`,
    `ArchivedMeanwhile`, `DatabaseUnavailable`, and what `told` raises.
    """
    if not progress.begun:
        progress.from_seal = max(from_seal, await verify_read.archived_up_to(pool))
        progress.begun, progress.held_known = True, progress.from_seal == 0
    check = _Check(pool, progress, told, page_size)
    wrong = await check.seals() or await check.history()
    wrong = wrong or await check.holds() or await check.balances()
    if wrong is not None and await verify_read.archived_up_to(pool) > progress.from_seal:
        raise ArchivedMeanwhile
    fold = progress.fold
    return Verdict(
        wrong=wrong,
        batches=fold.batches,
        rows=fold.rows,
        seals=progress.sealed.seal_no,
        from_seal=progress.from_seal,
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
        self._follow = Follower(pool, progress, self._followed, page_size)

    def _followed(self, done: int, total: int) -> None:
        self._told(Step(pass_=Pass.HISTORY, done=done, total=total))

    async def seals(self) -> Wrong | None:
        """History up to the last seal's cut."""
        progress = self._progress
        while not progress.seals_done:
            seal = await verify_seals.next_seal(self._pool, progress.sealed)
            if seal is None:
                if progress.sealed.seal_no < progress.from_seal:
                    raise SealMissing(seal=progress.from_seal)
                wrong = await verify_seals.stray(self._pool)
                progress.seals_done = wrong is None
            else:
                wrong = await self._seal(SealCheck(self._pool, progress.sealed, seal), seal.seal_no)
            if wrong is not None:
                return wrong
            self._told(Step(pass_=Pass.SEALS, done=progress.sealed.seal_no, total=None))
        return None

    async def _seal(self, check: SealCheck, seal_no: int) -> Wrong | None:
        wrong = await check.begin()
        if wrong is not None:
            return wrong
        cut = check.cut(await self._follow.heads(), self._fold.places)
        if isinstance(cut, Wrong):
            return cut
        if seal_no > self._progress.from_seal:
            return await self._follow.to(cut, check) or await check.finish(self._fold)
        wrong = await check.trust(cut, self._fold)
        self._progress.base = {key: place.seq for key, place in self._fold.places.items()}
        return wrong

    async def history(self) -> Wrong | None:
        """History from there up to now."""
        if self._progress.history_done:
            return None
        wrong = await self._follow.to(await self._follow.heads())
        self._progress.history_done = wrong is None
        return wrong

    async def holds(self) -> Wrong | None:
        """Every hold was placed; those that history leaves open are as they say."""
        # A row beyond the chains first: what it did to a hold would look like the hold's fault.
        stray = await self._follow.stray()
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
        open_now = sorted(self._follow.holds.open)
        for start in range(0, len(open_now), self._page_size):
            wrong = await self._open_holds(open_now[start : start + self._page_size])
            if wrong is not None:
                return wrong
        return None if progress.held_known else await self._learn_held()

    async def _learn_held(self) -> Wrong | None:
        """What accounts had set aside before what is checked: what their open holds say now."""
        cut, held = await verify_read.held_now(self._pool)
        wrong = await self._follow.to(cut)
        if wrong is None:
            for key in self._fold.accounts.keys() | held.keys():
                self._fold.account(key).held = held.get(key, 0)
            self._progress.held_known = True
        return wrong

    async def _open_holds(self, ids: Sequence[UUID]) -> Wrong | None:
        cut, found = await verify_read.holds_now(self._pool, ids)
        wrong = await self._follow.to(cut)
        if wrong is not None:
            return wrong
        # One that ended on the way there was compared when it did.
        for hold_id in filter(self._follow.holds.open.__contains__, ids):
            self._follow.holds.compare_open(hold_id, found.get(hold_id))
        return self._follow.holds.wrong

    async def balances(self) -> Wrong | None:
        progress = self._progress
        more = True
        while more:
            cut, page = await verify_read.account_page(
                self._pool, progress.last_account, self._page_size
            )
            wrong = await self._follow.to(cut) or self._compare(page)
            if wrong is not None:
                return wrong
            more = len(page) == self._page_size
            progress.last_account = page[-1]["account_id"] if page else progress.last_account
            self._told(Step(pass_=Pass.BALANCES, done=progress.accounts, total=None))
        return await self._late_accounts() or self._zero_sum()

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
            wrong = await self._follow.to(cut) or self._compare(page)
            if wrong is not None:
                return wrong

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
