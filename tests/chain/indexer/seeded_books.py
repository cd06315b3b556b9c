"""What two runs of the story must agree on: everything in the books, whatever it is called."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import asyncpg
import base58

_SIGNATURE = re.compile(r"[1-9A-HJ-NP-Za-km-z]{80,90}")
_ENTRIES = """
select e.kind, coalesce(e.external_ref, '') as ref, a.name as account, e.dr, e.cr
  from settlement.entry e join settlement.account a using (account_id)
"""
_BALANCES = """
select a.name, b.cr - b.dr as net, b.held
  from settlement.balance b join settlement.account a using (account_id)
 where b.cr <> 0 or b.dr <> 0
"""
_MOVEMENTS = """
select signature, outer_index, inner_index, sub_index, kind, from_vault, to_vault, source,
       destination, amount
  from indexer.movement
"""
_EVENTS = """
select signature, outer_index, inner_index, sub_index, kind, booked_as from indexer.event
"""
_PAYOUTS = "select kind, amount, state, cancel_reason, skip_reason from settlement.payout"
_BONDS = "select provider_id::text, amount, state from settlement.bond"
_HALTS = "select reason, detail from settlement.payout_halt"
_STRANGE_NUMBERS = "select how, reference from settlement.payout_number_gone"
# Of the story's own transactions; how often a payout was tried is another matter.
_SIGNATURES = """
select signature, state from indexer.signature
"""


@dataclass(frozen=True, kw_only=True)
class Books:
    """Sorted rows, with labels in the place of signatures."""

    entries: list[str]
    balances: list[str]
    movements: list[str]
    events: list[str]
    payouts: list[str]
    bonds: list[str]
    halts: list[str]
    strange_numbers: list[str]
    signatures: list[str]

    def differences(self, other: "Books") -> list[str]:
        """What one has and the other has not, for people."""
        told: list[str] = []
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            told += [f"{field.name}: only here: {row}" for row in _without(mine, theirs)]
            told += [f"{field.name}: only there: {row}" for row in _without(theirs, mine)]
        return told


def _without(rows: list[str], others: list[str]) -> list[str]:
    left = list(others)
    kept: list[str] = []
    for row in rows:
        if row in left:
            left.remove(row)
        else:
            kept.append(row)
    return kept


async def read_books(dsn: str, labels: Mapping[str, str]) -> Books:
    """Everything as it is now. `labels` gives the story's signatures their names."""
    connection = await asyncpg.connect(dsn)
    try:
        attempts = await connection.fetch(
            "select p.kind, m.signature from settlement.payout_message m"
            " join settlement.payout_attempt a using (message_id)"
            " join settlement.payout p using (payout_id) where m.signature is not null"
        )
        names = {**labels, **{row["signature"]: f"payout {row['kind']}" for row in attempts}}

        async def rows(query: str) -> list[str]:
            return sorted(_told(row, names) for row in await connection.fetch(query))

        return Books(
            entries=await rows(_ENTRIES),
            balances=await rows(_BALANCES),
            movements=await rows(_MOVEMENTS),
            events=await rows(_EVENTS),
            payouts=await rows(_PAYOUTS),
            bonds=await rows(_BONDS),
            halts=await rows(_HALTS),
            strange_numbers=await rows(_STRANGE_NUMBERS),
            signatures=[row for row in await rows(_SIGNATURES) if "payout" not in row],
        )
    finally:
        await connection.close()


def _told(row: asyncpg.Record, names: Mapping[str, str]) -> str:
    def named(value: Any) -> str:  # noqa: ANN401
        text = base58.b58encode(value).decode() if isinstance(value, bytes) else str(value)
        return _SIGNATURE.sub(lambda found: f"<{names.get(found.group(), '?')}>", text)

    return " | ".join(named(value) for value in row.values())
