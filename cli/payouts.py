"""`pod payouts`: money on its way out, and what only people decide of it.

`list` and `show` read and `approve` writes as finance; `refuse`, `burn` and `resume` act as the
settlement's role. No service can approve. Exit codes: 0 done; 1 refused, or no answer; 2 typed
wrongly.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, TypeVar
from uuid import UUID

import asyncpg
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.ledger_reading import (
    BooksUnreadable,
    Database,
    Mistyped,
    database_of,
    read_books,
    told_plainly,
)
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.clock import SystemClock
from settlement.db.pool import TRANSIENT, DatabaseUnavailable, Pool, open_pool, reading, transaction
from settlement.observability import configure_logging
from settlement.payouts import decide, halt, queue
from settlement.payouts.queue import Queued, Story
from settlement.payouts.states import PayoutState
from settlement.reports.amounts import decimal_text

payouts = typer.Typer(
    no_args_is_help=True, help="Money on its way out, and what people decide of it."
)
T = TypeVar("T")
_ALL = tuple(PayoutState)
_WIDTH = 260
Id = Annotated[str, typer.Argument(metavar="ID", help="Of the payout, as `list` shows it.")]
Actor = Annotated[str, typer.Option(metavar="NAME", help="Who decides it.")]
Reason = Annotated[
    str, typer.Option(metavar="TEXT", help="Why; the payout's owner is told this, too.")
]


class NoSuchId(Mistyped):
    """A payout's id is a UUID, as `pod payouts list` shows it."""


@payouts.callback()
def on_their_way() -> None:
    """Money on its way out, and what people decide of it."""


@payouts.command("list")
def list_(
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only what waits for a person's approval.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what is over.")] = False,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show payouts that are not over, oldest first.

    Example: pod payouts list --waiting
    """
    with told_plainly(as_json=as_json):
        if waiting and everything:
            raise Mistyped("--waiting and --all exclude each other", option="--all")
        states = queue.WAITING if waiting else _ALL if everything else queue.OPEN

        async def found(pool: Pool) -> list[Queued]:
            return [one async for one in queue.queued(pool, states)]

        rows = read_books(database_of(directory, database), found)
    if as_json:
        print(json.dumps([_as_json(one) for one in rows], indent=2))
    elif not rows:
        print("no payout waits for approval" if waiting else "no payouts")
    else:
        _console().print(_table(rows))


@payouts.command()
def show(
    payout_id: Id,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show one payout: who approved it, and every message it was in.

    Example: pod payouts show 0190…
    """
    with told_plainly(as_json=as_json):
        wanted = _id(payout_id)

        async def found(pool: Pool) -> Story:
            async with reading(pool) as conn:
                return await queue.story(conn, wanted)

        told = read_books(database_of(directory, database), found)
    if as_json:
        print(json.dumps(_story_json(told), indent=2))
        return
    console = _console()
    console.print(_table([told.payout]))
    for one in told.approvals:
        console.print(Text(f"approved by {one.approved_by} ({one.login}), {one.approved_at}"))
    for one in told.messages:
        said = one.problem or one.ended or ("confirmed" if one.confirmed_at else "")
        signature = one.signature or "not signed"
        line = f"message {one.attempt} to {one.action}: {signature}, sent {one.sends} times {said}"
        console.print(Text(line))


@payouts.command()
def approve(
    payout_id: Id,
    actor: Actor,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Approve a payout; one that needs two people goes on after the second of them.

    Example: pod payouts approve 0190… --actor ann
    """
    with told_plainly(as_json=as_json):
        wanted = _id(payout_id)

        async def decided(pool: Pool) -> decide.Approved:
            async with transaction(pool) as tx:
                return await decide.approve(tx, wanted, by=actor, now=SystemClock().now())

        done = _act(database_of(directory, database), "pod_finance", decided)
    if as_json:
        print(json.dumps({"payout_id": payout_id, **asdict(done), "goes_on": done.goes_on}))
    elif done.goes_on:
        print(f"approved by {actor}: it goes on")
    else:
        print(f"approved by {actor}: {done.needed - done.approvals} more has to approve it")


@payouts.command()
def refuse(
    payout_id: Id,
    actor: Actor,
    reason: Reason,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a payout that has no number yet: it is cancelled and the money is back at once.

    Example: pod payouts refuse 0190… --actor ann --reason "not their wallet"
    """
    with told_plainly(as_json=as_json):
        wanted = _id(payout_id)

        async def decided(pool: Pool) -> None:
            await decide.refuse_now(pool, wanted, by=actor, reason=reason)

        _act(database_of(directory, database), "pod_settlement", decided)
    _done(as_json, payout_id, "refused", f"refused by {actor}: the money is back")


@payouts.command()
def burn(
    payout_id: Id,
    reason: Reason,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Give a numbered payout up: its number is burned on chain, unless it is paid before that.

    Example: pod payouts burn 0190… --reason "asked by its owner"
    """
    with told_plainly(as_json=as_json):
        wanted = _id(payout_id)

        async def decided(pool: Pool) -> None:
            async with transaction(pool) as tx:
                await decide.burn(tx, wanted, reason=reason)

        _act(database_of(directory, database), "pod_settlement", decided)
    _done(as_json, payout_id, "giving_up", "its number will be burned, unless it is paid first")


@payouts.command()
def halts(
    directory: Directory = DEFAULT_DIRECTORY, database: Database = None, as_json: AsJson = False
) -> None:
    """Show why payouts stand still.

    Example: pod payouts halts
    """
    with told_plainly(as_json=as_json):

        async def found(pool: Pool) -> Sequence[halt.Halt]:
            async with reading(pool) as conn:
                return await halt.open_halts(conn)

        rows = read_books(database_of(directory, database), found)
    if as_json:
        told = [asdict(row) | {"raised_at": row.raised_at.isoformat()} for row in rows]
        print(json.dumps(told, indent=2))
        return
    for row in rows:
        print(f"{row.raised_at}  {row.reason}: {row.detail}")
    if not rows:
        print("payouts are not halted")


@payouts.command()
def resume(
    actor: Actor,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Lift every halt, once its reason was looked into: payouts move again.

    Example: pod payouts resume --actor ann
    """
    with told_plainly(as_json=as_json):
        if not actor.strip():
            raise decide.PersonUnnamed(field="actor")

        async def decided(pool: Pool) -> tuple[str, ...]:
            async with transaction(pool) as tx:
                return await halt.lift(tx, by=actor.strip())

        reasons = _act(database_of(directory, database), "pod_settlement", decided)
    if as_json:
        print(json.dumps({"lifted": list(reasons), "by": actor}))
    else:
        print(f"lifted: {', '.join(reasons) or 'nothing was halted'}")


def _act(dsn: str, role: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    """Do something in the database as a role. Raises `PodError`."""
    configure_logging("pod", "ERROR")  # what is logged must not stand among what is answered
    try:
        return asyncio.run(_acted(dsn, role, work))
    except TRANSIENT as error:
        raise DatabaseUnavailable(problem=error) from error
    except asyncpg.PostgresError as error:
        raise BooksUnreadable(problem=error) from error


async def _acted(dsn: str, role: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    pool = await open_pool(dsn, role=role, application="pod", size=2)
    try:
        return await work(pool)
    finally:
        await pool.close()


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NoSuchId(field="payout_id", got=text) from None


def _done(as_json: bool, payout_id: str, word: str, told: str) -> None:
    print(json.dumps({"payout_id": payout_id, "done": word}) if as_json else told)


def _as_json(one: Queued) -> dict[str, object]:
    return {
        "payout_id": str(one.payout_id),
        "kind": one.kind,
        "account": one.account,
        "amount_microusdc": one.amount_microusdc,
        "destination": one.destination,
        "destination_kind": one.destination_kind,
        "state": one.state.value,
        "requested_at": one.requested_at.isoformat(),
        "not_before": None if one.not_before is None else one.not_before.isoformat(),
        "sequence": one.sequence,
        "approvals_needed": one.approvals_needed,
        "approvals_missing": one.approvals_missing,
        "approved_by": list(one.approved_by),
        "refused_by": one.refused_by,
        "reason": one.reason,
        "outcome_reference": one.outcome_reference,
    }


def _story_json(told: Story) -> dict[str, object]:
    approvals = [
        asdict(one) | {"approved_at": one.approved_at.isoformat()} for one in told.approvals
    ]
    messages = [
        asdict(one)
        | {
            "built_at": one.built_at.isoformat(),
            "confirmed_at": None if one.confirmed_at is None else one.confirmed_at.isoformat(),
        }
        for one in told.messages
    ]
    return _as_json(told.payout) | {"approvals": approvals, "messages": messages}


def _console() -> Console:
    """Wide enough that ids and addresses stay whole: a terminal wraps them, a pipe does not."""
    return Console(soft_wrap=True, highlight=False, width=_WIDTH)


def _table(rows: Sequence[Queued]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("payout", "state", "USDC", "from", "to", "asked", "no.", "says"):
        table.add_column(heading, justify="right" if heading in ("USDC", "no.") else "left")
    for one in rows:
        missing = one.approvals_missing
        said = [f"{missing} more to approve" if missing else "", one.reason or ""]
        cells = (
            str(one.payout_id),
            one.state.value,
            decimal_text(one.amount_microusdc, "USDC"),
            one.account,
            one.destination,
            one.requested_at.isoformat(timespec="seconds"),
            "-" if one.sequence is None else str(one.sequence),
            "; ".join(each for each in said if each) or "-",
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table
