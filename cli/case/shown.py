"""How cases are shown: JSON for scripts, tables for people. What others wrote is never markup."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.printable import printable
from settlement.cases.lists import Credit, CreditList
from settlement.cases.reading import Affected, Case, ChainStep, FileKept, Signed, contestable
from settlement.cases.states import CaseState
from settlement.reports.amounts import decimal_text

_WIDE = 240


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A case with all its parts; the credits are those of the approved or else the last list."""

    case: Case
    steps: Sequence[ChainStep]
    files: Sequence[FileKept]
    requests: Sequence[Affected]
    lists: Sequence[CreditList]
    credits: Sequence[Credit]


def console() -> Console:
    """Where tables go: as wide as the terminal, or as they are read by another program."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(soft_wrap=True, highlight=False, width=width)


def case_json(one: Case) -> dict[str, object]:
    """A case without its parts."""
    return {
        "case_id": str(one.case_id),
        "operator": str(one.provider_id),
        "bond": one.bond,
        "state": one.state.value,
        "reason_code": one.reason_code,
        "reason": one.reason,
        "evidence_hash": one.evidence.hex(),
        "opened_at": one.opened_at.isoformat(),
        "opened_by": one.opened_by,
        "review": None
        if one.review is None
        else _signed_json(one.review) | {"accepts": one.review_accepts},
        "closing": None if one.closing is None else _signed_json(one.closing),
    }


def whole_json(whole: Whole) -> dict[str, object]:
    """A case with all its parts."""
    return case_json(whole.case) | {
        "steps": [
            {
                "step": one.step.value,
                "at": one.at.isoformat(),
                "slot": one.slot,
                "reference": one.reference,
                "signer": one.signer,
                "execute_after": _moment_json(one.execute_after),
                "decide_by": _moment_json(one.decide_by),
                "dies_at": _moment_json(one.dies_at),
            }
            for one in whole.steps
        ],
        "files": [
            {
                "name": one.name,
                "size_bytes": one.size_bytes,
                "sha256": one.digest.hex(),
                "kept": one.kept,
            }
            for one in whole.files
        ],
        "requests": [
            {
                "request_id": str(one.request_id),
                "paid_microusdc": one.paid_microusdc,
                "claimed_microusdc": one.claimed_microusdc,
            }
            for one in whole.requests
        ],
        "lists": [list_json(one) for one in whole.lists],
        "credits": [credit_json(one) for one in whole.credits],
    }


def list_json(one: CreditList) -> dict[str, object]:
    """A list without its lines."""
    return {
        "list": one.list_no,
        "drawn_at": one.drawn_at.isoformat(),
        "drawn_by": one.drawn_by,
        "losses_microusdc": one.losses_microusdc,
        "credits_microusdc": one.credits_microusdc,
        "seized_microusdc": one.funds.seized_microusdc,
        "carried_microusdc": one.funds.carried_microusdc,
        "backing_microusdc": one.funds.backing_microusdc,
        "approved_at": _moment_json(one.approved_at),
        "approved_by": one.approved_by,
        "settled": one.settled,
        "open": one.open,
        "credited_microusdc": one.credited_microusdc,
    }


def credit_json(one: Credit) -> dict[str, object]:
    """A line of a list."""
    return {
        "request_id": str(one.request_id),
        "user": one.user,
        "loss_microusdc": one.loss_microusdc,
        "amount_microusdc": one.amount_microusdc,
        "credited_microusdc": one.credited_microusdc,
        "transaction_id": None if one.transaction_id is None else str(one.transaction_id),
    }


def case_table(found: Sequence[Case]) -> Table:
    """One line a case."""
    table = _table("case", "state", "operator", "code", "opened", "by", "reason")
    for one in found:
        state = one.state.value
        if one.review is None and one.state is not CaseState.OPEN:
            state += ", not reviewed"
        _row(
            table,
            str(one.case_id),
            state,
            str(one.provider_id),
            str(one.reason_code),
            _day(one.opened_at),
            one.opened_by,
            one.reason if len(one.reason) <= 60 else f"{one.reason[:57]}…",
        )
    return table


def list_table(one: CreditList, lines: Sequence[Credit]) -> Table:
    """The lines of a list."""
    table = _table("request", "user", "loss", "to credit", "credited", right=(2, 3, 4))
    for line in lines:
        done = line.credited_microusdc
        _row(
            table,
            str(line.request_id),
            line.user,
            usdc(line.loss_microusdc),
            usdc(line.amount_microusdc),
            "-" if done is None else usdc(done),
        )
    _row(
        table,
        f"list {one.list_no}",
        "",
        usdc(one.losses_microusdc),
        usdc(one.credits_microusdc),
        usdc(one.credited_microusdc),
    )
    return table


def list_words(one: CreditList) -> str:
    """What a list is paid from, and who stands for it."""
    funds = one.funds
    approved = f"approved by {printable(one.approved_by)}" if one.approved_by else "not approved"
    return (
        f"list {one.list_no}: bond {usdc(funds.seized_microusdc)}, left over by earlier cases"
        f" {usdc(funds.carried_microusdc)}, treasury {usdc(funds.backing_microusdc)} USDC;"
        f" drawn up by {printable(one.drawn_by)}, {approved}; {one.settled} credits settled,"
        f" {one.open} open"
    )


def show_whole(whole: Whole) -> None:
    """Everything about a case, for people."""
    out = console()
    for label, text in _facts(whole):
        out.print(Text(f"{label:<10} {printable(text)}"))
    steps = _table("step", "at", "slot", "signer", "reference", right=(2,))
    for step in whole.steps:
        at, signer = step.at.isoformat(), step.signer or "-"
        _row(steps, step.step.value, at, str(step.slot), signer, step.reference)
    files = _table("file", "bytes", "SHA-256", "", right=(1,))
    for file in whole.files:
        kept = "kept" if file.kept else "hash only"
        _row(files, file.name, str(file.size_bytes), file.digest.hex(), kept)
    requests = _table("request", "paid", "claimed", right=(1, 2))
    for each in whole.requests:
        paid, claimed = usdc(each.paid_microusdc), usdc(each.claimed_microusdc)
        _row(requests, str(each.request_id), paid, claimed)
    for table in (steps, files, requests):
        if table.row_count:
            out.print()
            out.print(table)
    for drawn in whole.lists:
        out.print()
        out.print(Text(list_words(drawn)))


def _facts(whole: Whole) -> list[tuple[str, str]]:
    one = whole.case
    facts = [
        ("case", str(one.case_id)),
        ("state", one.state.value),
        ("operator", str(one.provider_id)),
        ("bond", one.bond or "none"),
        ("reason", f"{one.reason_code}: {one.reason}"),
        ("evidence", f"SHA-256 {one.evidence.hex()}"),
        ("opened", f"{_day(one.opened_at)} by {one.opened_by}"),
    ]
    if one.review is not None:
        word = "agreed" if one.review_accepts else "refused"
        facts.append(("review", f"{word} {_words(one.review)}"))
    times = contestable(whole.steps)
    if times is not None and times.execute_after is not None:
        facts.append(("contest", f"before {times.execute_after.isoformat()}"))
    if one.closing is not None:
        facts.append(("closed", _words(one.closing)))
    return facts


def usdc(amount: int) -> str:
    """Six decimals."""
    return decimal_text(amount, "USDC")


def _words(signed: Signed) -> str:
    return f"{_day(signed.at)} by {signed.actor}: {signed.note}"


def _signed_json(signed: Signed) -> dict[str, object]:
    return {"actor": signed.actor, "at": signed.at.isoformat(), "note": signed.note}


def _moment_json(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _table(*headings: str, right: Sequence[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        # An id that does not fit goes on in the next line: without its end it names nothing.
        justify = "right" if place in right else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(printable(cell)) for cell in cells))
