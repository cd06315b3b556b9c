"""The journal as one JSON object a line, for machines. Pure.

The first line says what is told (cut, days, accounts, where they stood before the first day); each
other line is a transaction. Amounts are whole units, as the books have them, and the decimal text
beside them; of a leg, `units` is debits minus credits.
"""

import json

from settlement.reports.amounts import decimal_text
from settlement.reports.transaction import Account, Opening, Transaction


def head(opening: Opening) -> str:
    """The first line."""
    days = opening.days
    return _line(
        {
            "record": "books",
            "cut": [
                {"writer": head.writer_id, "name": head.name, "batch": head.seq}
                for head in opening.cut
            ],
            "from": None if days.first is None else days.first.isoformat(),
            "to": None if days.last is None else days.last.isoformat(),
            "accounts": [
                {"account": one.name, "side": one.side.value, "asset": one.asset, "gl": one.gl_code}
                for one in opening.accounts
            ],
            "opening": [_amount(one.account, one.units) for one in opening.standings],
        }
    )


def transaction(one: Transaction) -> str:
    """One line."""
    return _line(
        {
            "record": "transaction",
            "writer": one.writer_id,
            "batch": one.batch_seq,
            "row": one.ord,
            "kind": one.kind,
            "cause_id": str(one.cause_id),
            "external_ref": one.external_ref,
            "slot": one.slot,
            "event_at": one.event_at.isoformat(),
            "recorded_at": one.recorded_at.isoformat(),
            "effective_on": one.effective_on.isoformat(),
            "legs": [
                {**_amount(leg.account, leg.units), "entry": leg.entry, "dr": leg.dr, "cr": leg.cr}
                for leg in one.legs
            ],
        }
    )


def _amount(account: Account, units: int) -> dict[str, object]:
    return {
        "account": account.name,
        "asset": account.asset,
        "units": units,
        "amount": decimal_text(units, account.asset),
    }


def _line(told: dict[str, object]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n"
