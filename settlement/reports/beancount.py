"""The journal as a file that beancount reads. Pure.

Beancount wants account names of parts that begin with a capital or a digit and have letters, digits
and hyphens only. `account_name` writes ours so, and `book_name` finds ours in it again: no two of
our names become one. Numbers have every decimal place of their asset, so what beancount tolerates
(half of the last place) is less than the smallest unit: a transaction off by one is refused.
"""

import re
from functools import cache
from typing import Final

from settlement.ledger.accounts import Side
from settlement.reports.amounts import ASSETS, amount_text
from settlement.reports.transaction import Account, Opening, Transaction

_ROOTS: Final = {
    Side.ASSET: "Assets",
    Side.LIABILITY: "Liabilities",
    Side.EQUITY: "Equity",
    Side.REVENUE: "Income",
    Side.EXPENSE: "Expenses",
}
# `-Z` opens a byte in hexadecimal; at the end of a part it says that the part began with a capital.
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9-]|-(?=Z)")
_BYTES: Final = re.compile(r"(?:-Z[0-9A-F]{2})+")
_CAPITAL: Final = "-Z"


def account_name(account: Account) -> str:
    """`user:0b1c…` as `Liabilities:User:0b1c…`."""
    return _written(account.side, account.name)


def book_name(name: str) -> str:
    """The name that our books have for it."""
    return ":".join(map(_original, name.split(":")[1:]))


@cache  # an account is named once for every leg it has
def _written(side: Side, name: str) -> str:
    return ":".join([_ROOTS[side], *map(_part, name.split(":"))])


def _part(original: str) -> str:
    assert original, "a name has no empty part"
    plain = _NOT_PLAIN.sub(_as_bytes, original)
    first = plain[0]
    if first.islower() or first.isdigit():
        return first.upper() + plain[1:]
    return f"{plain if first.isupper() else '0' + plain}{_CAPITAL}"


def _as_bytes(found: re.Match[str]) -> str:
    return "".join(f"-Z{byte:02X}" for byte in found[0].encode())


def _original(part: str) -> str:
    if part.endswith(_CAPITAL):
        plain = part.removesuffix(_CAPITAL)
        plain = plain[1:] if plain.startswith("0") else plain
    else:
        plain = part[0].lower() + part[1:]
    return _BYTES.sub(lambda found: bytes.fromhex(found[0].replace("-Z", "")).decode(), plain)


def head(opening: Opening) -> str:
    """What stands before the first transaction: the cut, the commodities, the accounts."""
    lines = [f"; books of {head.name} up to batch {head.seq}" for head in opening.cut]
    lines += ['option "title" "podledger"', 'option "operating_currency" "USDC"']
    day = opening.first_day
    if day is None:
        return "\n".join([*lines, ""])
    lines += [f"{day} commodity {asset}" for asset in sorted(ASSETS)]
    lines += [f"{day} open {account_name(account)} {account.asset}" for account in opening.accounts]
    if opening.standings:
        lines += ["", f'{day} * "opening"']
        lines += [_posting(each.account, each.units) for each in opening.standings]
    return "\n".join([*lines, ""])


def transaction(one: Transaction) -> str:
    """One transaction, with a blank line before it."""
    lines = ["", f"{one.effective_on} * {_quoted(one.kind)}", f'  place: "{one.place}"']
    lines += [f'  cause_id: "{one.cause_id}"']
    if one.external_ref is not None:
        lines.append(f"  external_ref: {_quoted(one.external_ref)}")
    if one.slot is not None:
        lines.append(f"  slot: {one.slot}")
    lines += [f'  event_at: "{one.event_at.isoformat()}"']
    lines += [f'  recorded_at: "{one.recorded_at.isoformat()}"']
    for leg in one.legs:
        lines += [_posting(leg.account, leg.units), f"    entry: {leg.entry}"]
    return "\n".join([*lines, ""])


def _posting(account: Account, units: int) -> str:
    unit = ASSETS[account.asset].unit
    amount = amount_text(units, account.asset)
    return f"  {account_name(account)}  {amount}\n    {unit}: {units}"


def _quoted(text: str) -> str:
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        text = text.replace(character, written)
    return f'"{text}"'
