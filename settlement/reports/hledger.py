"""The journal as a file that hledger reads. Pure.

Account names stay as they are in the books, below the word for their side. What hledger would take
for punctuation of its own is written in per cent signs, as in a URL.
"""

from typing import Final
from urllib.parse import quote, unquote

from settlement.ledger.accounts import Side
from settlement.reports.amounts import ASSETS, amount_text
from settlement.reports.transaction import Account, Opening, Transaction

_ROOTS: Final = {
    Side.ASSET: "assets",
    Side.LIABILITY: "liabilities",
    Side.EQUITY: "equity",
    Side.REVENUE: "income",
    Side.EXPENSE: "expenses",
}
_TYPES: Final = {
    Side.ASSET: "A",
    Side.LIABILITY: "L",
    Side.EQUITY: "E",
    Side.REVENUE: "R",
    Side.EXPENSE: "X",
}


def account_name(account: Account) -> str:
    """`user:0b1c…` as `liabilities:user:0b1c…`."""
    return f"{_ROOTS[account.side]}:{_plain(account.name)}"


def book_name(name: str) -> str:
    """The name that our books have for it."""
    return unquote(name.partition(":")[2])


def head(opening: Opening) -> str:
    """What stands before the first transaction: the cut, the commodities, the accounts."""
    lines = [f"; books of {head.name} up to batch {head.seq}" for head in opening.cut]
    lines += ["decimal-mark ."]
    lines += [
        f"commodity 1000.{'0' * asset.decimals} {asset.name}" for _, asset in sorted(ASSETS.items())
    ]
    lines += [
        f"account {account_name(account)}  ; type:{_TYPES[account.side]}"
        for account in opening.accounts
    ]
    if opening.standings:
        lines += ["", f"{opening.first_day} * opening"]
        lines += [_posting(each.account, each.units) for each in opening.standings]
    return "\n".join([*lines, ""])


def transaction(one: Transaction) -> str:
    """One transaction, with a blank line before it."""
    tags = [f"cause_id:{one.cause_id}"]
    if one.external_ref is not None:
        tags.append(f"external_ref:{_plain(one.external_ref)}")
    if one.slot is not None:
        tags.append(f"slot:{one.slot}")
    tags += [
        f"event_at:{one.event_at.isoformat()}",
        f"recorded_at:{one.recorded_at.isoformat()}",
    ]
    lines = ["", f"{one.effective_on} * ({one.place}) {_plain(one.kind)}"]
    lines += [f"    ; {', '.join(tags)}"]
    lines += [f"{_posting(leg.account, leg.units)}, entry:{leg.entry}" for leg in one.legs]
    return "\n".join([*lines, ""])


def _posting(account: Account, units: int) -> str:
    unit = ASSETS[account.asset].unit
    return f"    {account_name(account)}  {amount_text(units, account.asset)}  ; {unit}:{units}"


def _plain(text: str) -> str:
    return quote(text, safe=":")
